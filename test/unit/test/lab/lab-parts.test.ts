import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { NodeConfig } from "#contract/node-config.ts";
import { rowsOf } from "#lab/cli/live-status.ts";
import { nodeConfig, nodeUnits, nodeVariables } from "#lab/hypervisor/node.ts";
import { cutRules } from "#lab/peer-cuts.ts";
import { clientOptionFile } from "#lab/sql.ts";
import { labPaths, stateRoot } from "#lab/state.ts";
import { textTable } from "#lab/tables.ts";
import { waitUntil } from "#lab/wait.ts";
import { cluster, layout } from "./samples.ts";

const software = { binDir: "/repo/node-bin/dist", mysqld: "/cache/bin/mysqld" };

describe("what a node is given", () => {
  it("is a configuration that the scripts accept", () => {
    const config = nodeConfig(cluster, "us-east-1", "127.1", software, layout);
    expect(v.parse(NodeConfig, config)).toEqual(config);
    expect(config.account_network).toBe("127.1.0.0/255.255.0.0");
  });

  it("starts mysqld with its own option file first", () => {
    const mysql = nodeUnits(software, layout).find(({ name }) => name === "mysql");
    expect(mysql?.argv.slice(0, 2)).toEqual([software.mysqld, `--defaults-file=${layout.optionFile}`]);
    expect(mysql).toMatchObject({ restart: "on-failure", restartMs: 100 });
  });

  it("holds no AWS keys", () => {
    const variables = nodeVariables(software, layout, { AWS_ENDPOINT_URL: "http://127.1.0.1:4566" }, { EXTRA: "1" });
    expect(Object.keys(variables).filter((name) => /KEY|SECRET|TOKEN/.test(name))).toEqual([]);
    expect(variables).toMatchObject({ EXTRA: "1", PERCONA_NODE_CONFIG: layout.nodeConfig });
  });
});

describe("waiting", () => {
  it("ends when the condition holds", async () => {
    let looks = 0;
    await waitUntil("it is three", () => ++looks === 3 || "too early", 5000);
    expect(looks).toBe(3);
  });

  it("says what was seen last, errors included", async () => {
    const never = waitUntil(
      "it works",
      () => Promise.reject(new Error("refused")),
      0,
      () => "and more",
    );
    await expect(never).rejects.toThrow(/until it works\. Seen last: error: refused\nand more/);
    await expect(waitUntil("x", () => ({ seen: { a: 1 } }), 0)).rejects.toThrow('{"a":1}');
  });
});

describe("cuts between nodes", () => {
  it("drop packets both ways, and replace the table as a whole", () => {
    const rules = cutRules("percona_lab_1", [["127.1.11.4", "127.1.12.4"]]);
    expect(rules).toContain("ip saddr 127.1.11.4 ip daddr 127.1.12.4 drop");
    expect(rules).toContain("ip saddr 127.1.12.4 ip daddr 127.1.11.4 drop");
    expect(rules).toMatch(/^table inet percona_lab_1\ndelete table inet percona_lab_1\n/);
    expect(cutRules("t", [])).not.toContain("chain");
  });
});

describe("for people", () => {
  it("a table's columns are as wide as their widest cell", () => {
    expect(textTable(["A", "BB"], [["long", "x"]])).toBe("A     BB\nlong  x\n");
  });

  it("a long line takes several rows", () => {
    expect(rowsOf("short\n\n0123456789ab\n", 10)).toBe(4);
  });

  it("MySQL's client gets its password by a file, quoted", () => {
    const file = clientOptionFile({
      user: "app",
      password: 'a"b\\c#',
      schema: "app",
      place: { host: "127.1.0.10", port: 3306 },
    });
    expect(file).toContain('password="a\\"b\\\\c#"');
    expect(file).toContain("[mysql]\ndatabase=app");
  });
});

describe("the state of a lab", () => {
  it("lies where the environment says", () => {
    expect(stateRoot({ PERCONA_ACTIONS_STATE: "/s" }, "/home/me")).toBe("/s");
    expect(stateRoot({ XDG_STATE_HOME: "/x" }, "/home/me")).toBe("/x/percona-actions");
    expect(labPaths(3, stateRoot({}, "/home/me")).description).toBe(
      "/home/me/.local/state/percona-actions/lab-3/lab.json",
    );
  });
});
