import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { orchestratorConfigFile } from "#node/lib/orchestrator/config-file.ts";

let folder: string;
let path: string;
let credentials: string;
const password = 'a"b\\c#d;e=f';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "orchestrator-config-"));
  path = join(folder, "orchestrator.conf.json");
  credentials = join(folder, "orchestrator.cnf");
  await writeFile(
    path,
    JSON.stringify({
      ListenAddress: "10.1.0.7:3000",
      RaftNodes: [],
      HTTPAuthPassword: "",
      MySQLTopologyCredentialsConfigFile: credentials,
      RecoverNonWriteableMaster: false,
    }),
  );
});
afterEach(() => rm(folder, { recursive: true }));

const mode = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;

describe("Orchestrator's configuration file", () => {
  it("gets peers and passwords, keeps everything else, and is its owner's alone", async () => {
    const file = orchestratorConfigFile(path);
    expect(await file.write({ raftNodes: ["10.1.0.7", "10.1.0.8"], password })).toBe(true);
    expect(JSON.parse(await readFile(path, "utf8"))).toEqual({
      ListenAddress: "10.1.0.7:3000",
      RaftNodes: ["10.1.0.7", "10.1.0.8"],
      HTTPAuthPassword: password,
      MySQLTopologyCredentialsConfigFile: credentials,
      RecoverNonWriteableMaster: false,
    });
    expect(await readFile(credentials, "utf8")).toBe('[client]\nuser = orchestrator\npassword = "a\\"b\\\\c#d;e=f"\n');
    expect([await mode(path), await mode(credentials)]).toEqual([0o600, 0o600]);
    expect(await file.raftNodes()).toEqual(["10.1.0.7", "10.1.0.8"]);
  });

  it("is not written again when nothing differs, but is when others could read it", async () => {
    const file = orchestratorConfigFile(path);
    await file.write({ raftNodes: ["10.1.0.7", "10.1.0.8"], password });
    expect(await file.write({ raftNodes: ["10.1.0.7", "10.1.0.8"], password })).toBe(false);
    await chmod(path, 0o644);
    expect(await file.write({})).toBe(true);
    expect(await mode(path)).toBe(0o600);
  });

  it("changes the peers and leaves the password, which it need not be told", async () => {
    const file = orchestratorConfigFile(path);
    await file.write({ password });
    await file.write({ raftNodes: ["10.1.0.8", "10.1.0.9"] });
    expect(JSON.parse(await readFile(path, "utf8"))).toMatchObject({
      RaftNodes: ["10.1.0.8", "10.1.0.9"],
      HTTPAuthPassword: password,
    });
  });

  it("refuses a password that Orchestrator would take for a variable, without writing it anywhere", async () => {
    const before = await readFile(path, "utf8");
    await expect(orchestratorConfigFile(path).write({ password: ["x$", "{HOME}y"].join("") })).rejects.toMatchObject({
      reason: "credentials-missing",
    });
    expect(await readFile(path, "utf8")).toBe(before);
  });

  it.each([
    ["is missing", undefined],
    ["is half written", '{"HTTPAuthPassword": "very secret'],
    ["lacks RaftNodes", '{"HTTPAuthPassword": "very secret", "MySQLTopologyCredentialsConfigFile": "/x"}'],
  ])("says so when it %s, without its secrets", async (_, text) => {
    if (text === undefined) await rm(path);
    else await writeFile(path, text);
    const error = await orchestratorConfigFile(path)
      .raftNodes()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ reason: "bad-input", message: expect.stringContaining(path) });
    expect(JSON.stringify([String(error), (error as Error).cause ?? ""])).not.toContain("very secret");
  });
});
