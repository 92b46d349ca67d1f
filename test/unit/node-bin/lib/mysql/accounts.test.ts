import { describe, expect, it } from "vitest";
import type { Credentials } from "#contract/credentials.ts";
import { accountStatements, isComplete } from "#node/lib/mysql/account-statements.ts";
import { type Account, clusterAccounts, completionMark, replicationAccount } from "#node/lib/mysql/accounts.ts";

const credentials: Credentials = {
  root: "root-secret-1",
  replication: "replication-secret-2",
  backup: "backup-secret-3",
  monitor: "monitor-secret-4",
  orchestrator: "orchestrator-secret-5",
  agent: "agent-secret-6",
  app: "app-secret-7",
};
const network = "10.1.0.0/255.255.0.0";
const accounts = clusterAccounts({
  credentials,
  network,
  adminOsUser: "root",
  serverIds: [101],
  application: { schema: "web_shop", user: "shop" },
});
const names = accounts.map(({ user, host }) => `${user}@${host}`);
const privilegesOf = (user: string): string[] =>
  accounts.filter((account) => account.user === user).flatMap(({ grants }) => grants.flatMap((g) => g.privileges));
const sample = (change: Partial<Account> = {}): Account => ({
  user: "someone",
  host: network,
  login: { password: "someones-secret" },
  grants: [{ privileges: ["PROCESS"], on: "*.*" }],
  replicated: true,
  ...change,
});

describe("the accounts of a cluster", () => {
  it("are these and no others", () => {
    expect(names.sort()).toEqual([
      "backup@localhost",
      `monitor@${network}`,
      "monitor@localhost",
      `orchestrator@${network}`,
      `probe@${network}`,
      `repl_101@${network}`,
      "root@127.0.0.1",
      "root@localhost",
      "shop@%",
    ]);
  });

  it("have root on the node only, and by the socket as the agents' user", () => {
    const root = accounts.filter(({ user }) => user === "root");
    expect(root.map(({ host }) => host).sort()).toEqual(["127.0.0.1", "localhost"]);
    expect(root.find(({ host }) => host === "localhost")?.login).toEqual({ osUser: "root" });
    expect(accounts.at(-1)).toMatchObject({ user: "root", host: "localhost" });
  });

  it("have everything and the right to grant only as root", () => {
    for (const account of accounts.filter(({ user }) => user !== "root")) {
      expect(account.mayGrant).toBeUndefined();
      expect(account.grants.some((g) => g.privileges.includes("SUPER"))).toBe(false);
      expect(account.grants.some((g) => g.on === "*.*" && g.privileges.includes("ALL PRIVILEGES"))).toBe(false);
    }
    expect(privilegesOf("repl_101")).toEqual(["REPLICATION SLAVE"]);
  });

  it("give the application its own schema, the underscore not as a wildcard", () => {
    expect(accounts.find(({ user }) => user === "shop")?.grants).toEqual([
      { privileges: ["ALL PRIVILEGES"], on: "`web\\_shop`.*" },
    ]);
  });

  it("have a probe for the switchover's own writes, in a schema of its own and nowhere else", () => {
    const probe = accounts.find(({ user }) => user === "probe");
    expect(probe).toMatchObject({ host: network, schema: "percona_actions", login: { password: credentials.monitor } });
    expect(probe?.grants.map(({ on }) => on)).toEqual(["`percona\\_actions`.*"]);
    expect(privilegesOf("probe").sort()).toEqual(["CREATE", "DELETE", "INSERT", "SELECT", "UPDATE"]);
    // It reaches every node of the network, as applications do, and its writes are replicated as theirs are.
    expect(probe?.replicated).toBe(true);
  });

  it("have no application without its password or its schema", () => {
    const { app: _, ...without } = credentials;
    const users = (given: Credentials, application?: { schema: string; user: string }): string[] =>
      clusterAccounts({ credentials: given, network, adminOsUser: "root", serverIds: [], application }).map(
        (a) => a.user,
      );
    expect(users(credentials)).not.toContain("app");
    expect(users(without, { schema: "web", user: "shop" })).not.toContain("shop");
  });

  it("never use the agents' signing key", () => {
    expect(JSON.stringify(accounts)).not.toContain(credentials.agent);
  });

  it("keep what belongs to one node out of the binlog", () => {
    const local = accounts.filter(({ replicated }) => !replicated).map(({ user, host }) => `${user}@${host}`);
    expect(local).toEqual([`repl_101@${network}`, "root@localhost"]);
  });
});

describe("an account's statements", () => {
  it("make its schema before its grants", () => {
    for (const exists of [false, true]) {
      const texts = accountStatements(sample({ schema: "percona_actions" }), exists).map(({ sql }) => sql);
      expect(texts[0]).toBe("CREATE DATABASE IF NOT EXISTS `percona_actions`");
      expect(texts.filter((sql) => sql.startsWith("CREATE DATABASE"))).toHaveLength(1);
    }
  });

  it("have no value in their text, and mark those with a password", () => {
    for (const account of accounts) {
      for (const { sql, values, secret } of [
        ...accountStatements(account, false),
        ...accountStatements(account, true),
      ]) {
        for (const password of Object.values(credentials)) {
          if (password !== undefined) expect(sql).not.toContain(password);
          if (password !== undefined && values.includes(password)) expect(secret).toBe(true);
        }
      }
    }
  });

  it("end with the mark of the complete account, so that an unfinished one is finished the next time", () => {
    const account = sample();
    const statements = accountStatements(account, false);
    expect(statements.at(-1)?.values).toContain(JSON.stringify({ percona_actions: completionMark(account) }));
    const found = { user: account.user, host: account.host, locked: false, mark: undefined };
    expect(isComplete([found], account)).toBe(false);
    expect(isComplete([{ ...found, mark: completionMark(account) }], account)).toBe(true);
    expect(isComplete([{ ...found, host: "%", mark: completionMark(account) }], account)).toBe(false);
  });

  it("take from one that was there before what it should not have, but never from root", () => {
    const revokes = (account: Account, exists: boolean): boolean =>
      accountStatements(account, exists).some(({ sql }) => sql.startsWith("REVOKE"));
    expect(revokes(sample(), true)).toBe(true);
    expect(revokes(sample(), false)).toBe(false);
    expect(revokes(sample({ user: "root", mayGrant: true }), true)).toBe(false);
  });
});

describe("the mark of a complete account", () => {
  it("changes with what it may do and how it logs in, not with its password", () => {
    const mark = completionMark(sample());
    expect(completionMark(sample({ login: { password: "another-secret" } }))).toBe(mark);
    expect(completionMark(sample({ login: { osUser: "root" } }))).not.toBe(mark);
    expect(completionMark(sample({ grants: [] }))).not.toBe(mark);
    expect(completionMark(sample({ mayGrant: true }))).not.toBe(mark);
  });

  it("is the node's own for replication accounts", () => {
    const of = (serverId: number): string =>
      completionMark(replicationAccount({ serverId, network, password: "password" }));
    expect(of(1)).not.toBe(of(2));
  });
});
