import type { SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { describe, expect, it } from "vitest";
import type { Failure } from "#contract/failure-reasons.ts";
import { makeSecrets } from "#node/lib/aws/secrets.ts";
import { fakeClient, type SentCall, sdkError } from "./fake-client.ts";

const passwords = {
  root: "root-password",
  replication: "replication-password",
  backup: "backup-password",
  monitor: "monitor-password",
  orchestrator: "orchestrator-password",
  agent: "agent-signing-key",
};

const secretsOf = (answer: (call: SentCall) => unknown) =>
  makeSecrets({ secretsManager: fakeClient<SecretsManagerClient>(answer).as });

const reading = (content: unknown): Promise<unknown> =>
  secretsOf(() => ({ SecretString: typeof content === "string" ? content : JSON.stringify(content) })).readCredentials(
    "x/mysql",
  );

const refused = (reading: Promise<unknown>): Promise<Failure> =>
  reading.then(
    () => {
      throw new Error("expected a failure");
    },
    (error: Failure) => error,
  );

describe("the credentials", () => {
  it("are read by the secret's name or ARN, with keys of others ignored", async () => {
    const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:x/mysql-credentials-AbCdEf";
    const { calls, as } = fakeClient<SecretsManagerClient>(() => ({
      SecretString: JSON.stringify({ ...passwords, app: "app-password", someone: "else" }),
    }));
    const credentials = await makeSecrets({ secretsManager: as }).readCredentials(arn);
    expect(credentials).toEqual({ ...passwords, app: "app-password" });
    expect(calls[0]?.input).toEqual({ SecretId: arn });
  });

  it.each(Object.keys(passwords))("without %s are refused, naming that key", async (key) => {
    const failure = await refused(reading({ ...passwords, [key]: undefined }));
    expect(failure.reason).toBe("credentials-missing");
    expect(failure.message).toBe(`The secret x/mysql cannot be used: the key ${key} is missing.`);
  });

  it("with several faults are refused with all of them, and no value is shown", async () => {
    const failure = await refused(
      reading({ ...passwords, root: "sh0rt", agent: "has a space in it", backup: undefined }),
    );
    expect(failure.message).toMatch(/root has another form.*backup is missing.*agent has another form/);
    const shown = `${failure.message} ${failure.next} ${String(failure.cause)}`;
    expect(shown).not.toMatch(/sh0rt|a space|-password/);
  });

  it.each(["not json: root-password", '["root-password"]', '"root-password"', "null"])(
    "%s is refused without quoting it",
    async (text) => {
      const failure = await refused(reading(text));
      expect(failure.reason).toBe("credentials-missing");
      expect(`${failure.message} ${String(failure.cause)}`).not.toContain("root-password");
    },
  );

  it.each(["ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure", "InvalidRequestException"])(
    "that cannot be read (%s) are missing, with what AWS said",
    async (name) => {
      const failure = await refused(
        secretsOf(() => {
          throw sdkError(name, "as AWS puts it");
        }).readCredentials("x/mysql"),
      );
      expect(failure.reason).toBe("credentials-missing");
      expect(failure.message).toBe(`secretsmanager:GetSecretValue on secret x/mysql failed: ${name}: as AWS puts it.`);
    },
  );

  it("as bytes are refused", async () => {
    const failure = await refused(secretsOf(() => ({ SecretBinary: new Uint8Array(3) })).readCredentials("x/mysql"));
    expect(failure.reason).toBe("credentials-missing");
  });

  it("are not called missing when the service does not answer", async () => {
    const failure = await refused(
      secretsOf(() => {
        throw sdkError("TimeoutError");
      }).readCredentials("x/mysql"),
    );
    expect(failure.reason).toBe("aws-unavailable");
  });
});
