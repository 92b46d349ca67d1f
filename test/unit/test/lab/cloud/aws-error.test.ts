import { XMLParser } from "fast-xml-parser";
import { describe, expect, it } from "vitest";
import {
  AwsError,
  deniedError,
  errorAnswer,
  throttlingError,
  unknownOperationError,
  xmlText,
} from "#lab/cloud/aws-error.ts";

const error = new AwsError("SomeCode", "a < b & c", 409);
const parsed = (body: string | Buffer) => new XMLParser({ htmlEntities: true }).parse(body.toString());

describe("errors in the form of their protocol", () => {
  it("EC2", () => {
    const answer = errorAnswer("ec2", error);
    expect(answer.status).toBe(409);
    expect(parsed(answer.body).Response.Errors.Error).toEqual({ Code: "SomeCode", Message: "a < b & c" });
  });
  it("query", () => {
    expect(parsed(errorAnswer("query", error).body).ErrorResponse.Error).toMatchObject({
      Type: "Sender",
      Code: "SomeCode",
    });
  });
  it("S3", () => {
    expect(parsed(errorAnswer("s3", error).body).Error).toMatchObject({ Code: "SomeCode", Message: "a < b & c" });
  });
  it("JSON", () => {
    const answer = errorAnswer("json", error);
    expect(answer.headers["x-amzn-errortype"]).toBe("SomeCode");
    expect(JSON.parse(answer.body.toString())).toEqual({ __type: "SomeCode", message: "a < b & c" });
  });
});

describe("codes differ between services", () => {
  it("for throttling", () => {
    expect(throttlingError("dynamodb", "json").code).toBe("ThrottlingException");
    expect(throttlingError("s3", "s3")).toMatchObject({ code: "SlowDown", status: 503 });
    expect(throttlingError("ec2", "ec2")).toMatchObject({ code: "RequestLimitExceeded", status: 503 });
    expect(throttlingError("autoscaling", "query").code).toBe("Throttling");
  });
  it("for missing permission", () => {
    expect(deniedError("s3", "s3", "PutObject")).toMatchObject({ code: "AccessDenied", status: 403 });
    expect(deniedError("dynamodb", "json", "GetItem").code).toBe("AccessDeniedException");
    expect(deniedError("ec2", "ec2", undefined).code).toBe("UnauthorizedOperation");
  });
  it("for what is not there", () => {
    expect(unknownOperationError("query", "no").code).toBe("InvalidAction");
    expect(unknownOperationError("json", "no").code).toBe("UnknownOperationException");
  });
});

it("text in XML cannot become markup", () => {
  expect(xmlText(`<a b="c">&'`)).not.toMatch(/[<>"']/);
});
