import type { IncomingHttpHeaders } from "node:http";

/** How a service writes requests and answers. */
export type Protocol = "ec2" | "query" | "json" | "rest-json" | "s3";

/** Which emulator serves a service, and in which protocol. */
interface ServiceRoute {
  readonly emulator: "moto" | "ministack";
  readonly protocol: Protocol;
}

/** Services of the lab by the name in the credential scope. */
export const services: Readonly<Record<string, ServiceRoute>> = {
  dynamodb: { emulator: "ministack", protocol: "json" },
  s3: { emulator: "ministack", protocol: "s3" },
  secretsmanager: { emulator: "ministack", protocol: "json" },
  lambda: { emulator: "ministack", protocol: "rest-json" },
  events: { emulator: "ministack", protocol: "json" },
  logs: { emulator: "ministack", protocol: "json" },
  ec2: { emulator: "moto", protocol: "ec2" },
  autoscaling: { emulator: "moto", protocol: "query" },
  elasticloadbalancing: { emulator: "moto", protocol: "query" },
  iam: { emulator: "moto", protocol: "query" },
  sts: { emulator: "moto", protocol: "query" },
  sns: { emulator: "moto", protocol: "query" },
  monitoring: { emulator: "moto", protocol: "query" },
  ssm: { emulator: "moto", protocol: "json" },
};

/** Who signed a request, for which service. Nothing of it is verified here. */
export interface CredentialScope {
  readonly accessKeyId: string;
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

const scopeText = /^([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request$/;

const parseScope = (text: string): CredentialScope | undefined => {
  const [, accessKeyId, date, region, service] = scopeText.exec(text) ?? [];
  if (accessKeyId === undefined || date === undefined || region === undefined || service === undefined)
    return undefined;
  return { accessKeyId, date, region, service: service.toLowerCase() };
};

/**
 * The credential scope of a request: from its Authorization header, or from the query for presigned S3 requests. Other services
 * are not read from the query, because a web page can make a browser send such a request.
 */
export const credentialScope = (headers: IncomingHttpHeaders, query: URLSearchParams): CredentialScope | undefined => {
  const found = /Credential=([^,\s]+)/.exec(headers.authorization ?? "")?.[1];
  if (found !== undefined) return parseScope(found);
  const presigned = query.get("X-Amz-Credential");
  const scope = presigned === null ? undefined : parseScope(presigned);
  return scope?.service === "s3" ? scope : undefined;
};

/** The protocol of one request: newer SDKs speak JSON to services that have spoken XML for long. */
export const requestProtocol = (service: string, headers: IncomingHttpHeaders): Protocol => {
  if (headers["x-amz-target"] !== undefined) return "json";
  return services[service]?.protocol ?? "json";
};

const objectOperations: Readonly<Record<string, string>> = {
  GET: "GetObject",
  HEAD: "HeadObject",
  PUT: "PutObject",
  DELETE: "DeleteObject",
};
const bucketOperations: Readonly<Record<string, string>> = {
  GET: "ListObjects",
  HEAD: "HeadBucket",
  PUT: "CreateBucket",
  DELETE: "DeleteBucket",
};
const verbs: Readonly<Record<string, string>> = {
  GET: "Get",
  PUT: "Put",
  DELETE: "Delete",
  POST: "Post",
  HEAD: "Head",
};

/** Name of an S3 operation; a subresource that is not named here gives for example `PutBucketVersioning`. */
export const s3Operation = (
  method: string,
  path: string,
  query: URLSearchParams,
  headers: IncomingHttpHeaders,
): string => {
  const [bucket = "", ...rest] = path.replace(/^\//, "").split("/");
  const isObject = rest.join("/") !== "";
  if (bucket === "") return "ListBuckets";
  if (isObject) {
    if (query.has("uploads")) return method === "POST" ? "CreateMultipartUpload" : "ListMultipartUploads";
    if (query.has("uploadId")) {
      if (method === "PUT") return headers["x-amz-copy-source"] === undefined ? "UploadPart" : "UploadPartCopy";
      if (method === "POST") return "CompleteMultipartUpload";
      return method === "DELETE" ? "AbortMultipartUpload" : "ListParts";
    }
    if (method === "PUT" && headers["x-amz-copy-source"] !== undefined) return "CopyObject";
  } else {
    if (query.has("delete")) return "DeleteObjects";
    if (query.has("uploads")) return "ListMultipartUploads";
    if (query.has("versions")) return "ListObjectVersions";
    if (query.get("list-type") === "2") return "ListObjectsV2";
  }
  const first = [...query.keys()].find(
    (key) => !/^(x-id|x-amz-|versionId|list-type|prefix|marker|max-keys)/i.test(key),
  );
  if (first !== undefined && query.get(first) === "") {
    const name = first.replaceAll(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
    return `${verbs[method] ?? method}${isObject ? "Object" : "Bucket"}${name}`;
  }
  return (isObject ? objectOperations : bucketOperations)[method] ?? method;
};

/** Name of the operation, from wherever the protocol has it; `form` is the body of a query request. */
export const requestOperation = (
  protocol: Protocol,
  request: { method: string; path: string; query: URLSearchParams; headers: IncomingHttpHeaders },
  form?: URLSearchParams,
): string | undefined => {
  switch (protocol) {
    case "json": {
      const target = request.headers["x-amz-target"];
      return typeof target === "string" ? target.slice(target.lastIndexOf(".") + 1) : undefined;
    }
    case "ec2":
    case "query":
      return form?.get("Action") ?? request.query.get("Action") ?? undefined;
    case "s3":
      return s3Operation(request.method, request.path, request.query, request.headers);
    case "rest-json":
      return request.path.endsWith("/invocations") ? "Invoke" : undefined;
  }
};

/** Whether an operation only reads, by AWS's own naming. */
export const isRead = (operation: string): boolean => /^(Describe|Get|List|Lookup|Search|Head)/.test(operation);

/** `Name.member.1`, `Name.member.2`, … of a query request, in order. */
export const formList = (form: URLSearchParams, name: string): string[] => {
  const found: string[] = [];
  for (let n = 1; ; n += 1) {
    const value = form.get(`${name}.member.${n}`);
    if (value === null) return found;
    found.push(value);
  }
};

/** The fields of `Name.member.1.Field`, … of a query request, one object for each member. */
export const formStructures = (form: URLSearchParams, name: string): Record<string, string>[] => {
  const members: Record<string, string>[] = [];
  for (const [key, value] of form) {
    const [, number, field] = new RegExp(`^${name}\\.member\\.(\\d+)\\.(.+)$`).exec(key) ?? [];
    if (number === undefined || field === undefined) continue;
    const member = members[Number(number) - 1] ?? {};
    member[field] = value;
    members[Number(number) - 1] = member;
  }
  return members.filter((member) => member !== undefined);
};
