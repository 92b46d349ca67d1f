import { describe, expect, it } from "vitest";
import {
  credentialScope,
  formList,
  formStructures,
  isRead,
  requestOperation,
  requestProtocol,
  s3Operation,
} from "#lab/cloud/aws-request.ts";

const none = new URLSearchParams();
const signed = (service: string) => ({
  authorization: `AWS4-HMAC-SHA256 Credential=AKIA1/20261121/us-east-1/${service}/aws4_request, SignedHeaders=host, Signature=00`,
});

describe("credential scope", () => {
  it("is read from the Authorization header", () => {
    expect(credentialScope(signed("dynamodb"), none)).toEqual({
      accessKeyId: "AKIA1",
      date: "20261121",
      region: "us-east-1",
      service: "dynamodb",
    });
  });

  it("is read from the query of a presigned S3 request, and of no other service", () => {
    const query = (service: string) =>
      new URLSearchParams({ "X-Amz-Credential": `AKIA1/20261121/us-east-1/${service}/aws4_request` });
    expect(credentialScope({}, query("s3"))?.service).toBe("s3");
    expect(credentialScope({}, query("lambda"))).toBeUndefined();
  });

  it("is absent from an unsigned or mangled request", () => {
    expect(credentialScope({}, none)).toBeUndefined();
    expect(
      credentialScope({ authorization: "AWS4-HMAC-SHA256 Credential=AKIA1/s3, Signature=0" }, none),
    ).toBeUndefined();
  });
});

describe("operation", () => {
  const request = (headers: Record<string, string> = {}, method = "POST", path = "/") => ({
    method,
    path,
    query: none,
    headers,
  });

  it("is in the target header of JSON services", () => {
    const headers = { "x-amz-target": "DynamoDB_20120810.GetItem" };
    expect(requestProtocol("dynamodb", headers)).toBe("json");
    expect(requestOperation("json", request(headers))).toBe("GetItem");
  });

  it("is in the body of query services", () => {
    expect(requestProtocol("autoscaling", {})).toBe("query");
    expect(requestOperation("query", request(), new URLSearchParams("Action=DescribeAutoScalingGroups"))).toBe(
      "DescribeAutoScalingGroups",
    );
    expect(requestOperation("ec2", request())).toBeUndefined();
  });

  it.each([
    ["GET", "/", "", "ListBuckets"],
    ["PUT", "/bucket", "", "CreateBucket"],
    ["GET", "/bucket", "list-type=2&prefix=a", "ListObjectsV2"],
    ["PUT", "/bucket", "versioning=", "PutBucketVersioning"],
    ["POST", "/bucket", "delete=", "DeleteObjects"],
    ["PUT", "/bucket/a/b", "x-id=PutObject", "PutObject"],
    ["GET", "/bucket/a/b", "x-id=GetObject", "GetObject"],
    ["HEAD", "/bucket/a", "", "HeadObject"],
    ["PUT", "/bucket/a", "tagging=", "PutObjectTagging"],
    ["POST", "/bucket/a", "uploads=", "CreateMultipartUpload"],
    ["PUT", "/bucket/a", "partNumber=1&uploadId=u", "UploadPart"],
    ["POST", "/bucket/a", "uploadId=u", "CompleteMultipartUpload"],
    ["DELETE", "/bucket/a", "uploadId=u", "AbortMultipartUpload"],
  ])("of S3 for %s %s?%s is %4$s", (method, path, query, operation) => {
    expect(s3Operation(method, path, new URLSearchParams(query), {})).toBe(operation);
  });

  it("only reads when its name says so", () => {
    expect(isRead("DescribeInstances")).toBe(true);
    expect(isRead("TerminateInstances")).toBe(false);
  });
});

describe("query forms", () => {
  const form = new URLSearchParams(
    "Names.member.1=a&Names.member.2=b&Hooks.member.1.Name=x&Hooks.member.1.Timeout=30&Hooks.member.2.Name=y",
  );
  it("have lists", () => {
    expect(formList(form, "Names")).toEqual(["a", "b"]);
    expect(formList(form, "Others")).toEqual([]);
  });
  it("have lists of structures", () => {
    expect(formStructures(form, "Hooks")).toEqual([{ Name: "x", Timeout: "30" }, { Name: "y" }]);
  });
});
