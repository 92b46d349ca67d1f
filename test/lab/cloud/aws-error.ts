import { randomUUID } from "node:crypto";
import type { Protocol } from "./aws-request.ts";

/** A complete answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** An error that the caller of the cloud gets in its service's own form. */
export class AwsError extends Error {
  readonly code: string;
  readonly status: number;
  constructor(code: string, message: string, status = 400) {
    super(message);
    this.name = "AwsError";
    this.code = code;
    this.status = status;
  }
}

/** Text for an XML element or attribute. */
export const xmlText = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** An answer of an XML service. */
export const xmlAnswer = (body: string, status = 200): Answer => ({
  status,
  headers: { "content-type": "text/xml" },
  body: `<?xml version="1.0" encoding="utf-8"?>\n${body}`,
});

/** The result of an operation of the query protocol; `result` is XML. */
export const queryAnswer = (namespace: string, operation: string, result: string): Answer =>
  xmlAnswer(
    `<${operation}Response xmlns="${namespace}"><${operation}Result>${result}</${operation}Result>` +
      `<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata></${operation}Response>`,
  );

/** The result of an operation of a JSON service. */
export const jsonAnswer = (result: unknown): Answer => ({
  status: 200,
  headers: { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": randomUUID() },
  body: JSON.stringify(result),
});

/** An error in the form that SDKs of this protocol understand. */
export const errorAnswer = (protocol: Protocol, { code, message, status }: AwsError): Answer => {
  const id = randomUUID();
  const xmlCode = `<Code>${xmlText(code)}</Code><Message>${xmlText(message)}</Message>`;
  switch (protocol) {
    case "ec2":
      return xmlAnswer(
        `<Response><Errors><Error>${xmlCode}</Error></Errors><RequestID>${id}</RequestID></Response>`,
        status,
      );
    case "query": {
      const type = status < 500 ? "Sender" : "Receiver";
      return xmlAnswer(
        `<ErrorResponse><Error><Type>${type}</Type>${xmlCode}</Error><RequestId>${id}</RequestId></ErrorResponse>`,
        status,
      );
    }
    case "s3":
      return xmlAnswer(`<Error>${xmlCode}<RequestId>${id}</RequestId></Error>`, status);
    case "json":
    case "rest-json":
      return {
        status,
        headers: {
          "content-type": protocol === "json" ? "application/x-amz-json-1.1" : "application/json",
          "x-amzn-requestid": id,
          "x-amzn-errortype": code,
        },
        body: JSON.stringify({ __type: code, message }),
      };
  }
};

/** What a service answers to a caller that sends too much. */
export const throttlingError = (service: string, protocol: Protocol): AwsError => {
  const message = "Rate exceeded (a fault of the lab)";
  if (service === "s3") return new AwsError("SlowDown", message, 503);
  if (service === "ec2") return new AwsError("RequestLimitExceeded", message, 503);
  if (service === "lambda") return new AwsError("TooManyRequestsException", message, 429);
  return new AwsError(protocol === "query" ? "Throttling" : "ThrottlingException", message);
};

/** What a service answers to a caller without permission. */
export const deniedError = (service: string, protocol: Protocol, operation: string | undefined): AwsError => {
  const message = `User is not authorized to perform: ${service}:${operation ?? "this operation"} (a fault of the lab)`;
  if (service === "ec2") return new AwsError("UnauthorizedOperation", message, 403);
  if (protocol === "s3" || protocol === "query") return new AwsError("AccessDenied", message, 403);
  return new AwsError("AccessDeniedException", message, protocol === "rest-json" ? 403 : 400);
};

/** What a service answers to an operation that it does not have. */
export const unknownOperationError = (protocol: Protocol, what: string): AwsError => {
  if (protocol === "s3") return new AwsError("NotImplemented", what, 501);
  if (protocol === "ec2" || protocol === "query") return new AwsError("InvalidAction", what);
  return new AwsError("UnknownOperationException", what);
};
