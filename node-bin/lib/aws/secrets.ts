import * as v from "valibot";
import { Credentials } from "#contract/credentials.ts";
import { Failure } from "#contract/failure-reasons.ts";
import type { Aws } from "./clients.ts";
import { awsErrorName, awsErrorText, awsFailure, kindOfAwsError } from "./failures.ts";

/** The secrets of the cluster. */
export interface Secrets {
  /**
   * The credentials of the cluster. `secretId` is the secret's name or ARN. Errors: `credentials-missing` when the secret does
   * not exist, cannot be read or lacks a key; `aws-unavailable`. No value of the secret gets into an error.
   */
  readCredentials(secretId: string): Promise<Credentials>;
}

const unreadable = new Set(["ResourceNotFoundException", "DecryptionFailure", "InvalidRequestException"]);

export const makeSecrets = (aws: Pick<Aws, "secretsManager">): Secrets => ({
  readCredentials: async (secretId) => parseCredentials(secretId, await readText(aws, secretId)),
});

const readText = async (aws: Pick<Aws, "secretsManager">, secretId: string): Promise<string> => {
  try {
    const [client, { GetSecretValueCommand }] = await Promise.all([
      aws.secretsManager(),
      import("./sdk/secrets-manager.ts"),
    ]);
    const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: secretId }));
    if (SecretString !== undefined) return SecretString;
  } catch (error) {
    const call = { action: "secretsmanager:GetSecretValue", resource: `secret ${secretId}` };
    if (!unreadable.has(awsErrorName(error)) && kindOfAwsError(error) !== "refused") throw awsFailure(error, call);
    throw new Failure("credentials-missing", {
      message: `${call.action} on ${call.resource} failed: ${awsErrorText(error)}.`,
      cause: error,
    });
  }
  throw new Failure("credentials-missing", {
    message: `The secret ${secretId} holds bytes; a JSON object of passwords as text was expected.`,
  });
};

/** Reads the JSON object of the secret. Error: `credentials-missing`, which names the keys and never their values. */
export const parseCredentials = (secretId: string, text: string): Credentials => {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text.
    throw new Failure("credentials-missing", { message: `The secret ${secretId} is not JSON.` });
  }
  const parsed = v.safeParse(Credentials, content);
  if (parsed.success) return parsed.output;
  const given = typeof content === "object" && content !== null ? content : {};
  const keys = [...new Set(parsed.issues.map((issue) => v.getDotPath(issue)))];
  const problems = keys.map((key) => {
    if (key === null) return "it is not a JSON object";
    return key in given
      ? `the key ${key} has another form than a password of 8 to 128 printable ASCII characters`
      : `the key ${key} is missing`;
  });
  throw new Failure("credentials-missing", {
    message: `The secret ${secretId} cannot be used: ${problems.join("; ")}.`,
  });
};
