import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { NodeConfig } from "#contract/node-config.ts";
import { parseCommandLine, UsageError } from "#lab/cli/arguments.ts";
import { nodeConfig, nodeUnits } from "#lab/hypervisor/node.ts";
import { labOrchestratorConfig, orchestratorProgram } from "#lab/orchestrator.ts";
import { cluster, layout } from "./samples.ts";

const agents = { binDir: "/repo/node-bin/dist", mysqld: "/cache/bin/mysqld" };
const withOrchestrator = { ...agents, orchestrator: "/opt/orchestrator" };

describe("Orchestrator in the lab", () => {
  it("is the engine of a node that has it, and may log in from where it connects", () => {
    const config = nodeConfig(cluster, "us-east-1", "127.1", withOrchestrator, layout);
    expect(v.parse(NodeConfig, config)).toMatchObject({
      failover_engine: "orchestrator",
      orchestrator: { config_file: layout.orchestratorConfig },
      account_network: "127.0.0.0/255.0.0.0",
    });
    const unit = nodeUnits(withOrchestrator, layout).find(({ name }) => name === "orchestrator");
    expect(unit?.argv).toEqual(["/opt/orchestrator", "--config", layout.orchestratorConfig, "http"]);
  });

  it("is not there unless it is asked for", () => {
    expect(nodeConfig(cluster, "us-east-1", "127.1", agents, layout).failover_engine).toBe("agent");
    expect(nodeUnits(agents, layout).map(({ name }) => name)).not.toContain("orchestrator");
  });

  it("begins without peers and without a password: its node's agent adds them before it starts", async () => {
    const text = await labOrchestratorConfig({ address: "127.1.11.4", folder: "/data/o", hook: "/bin/hook" });
    expect(JSON.parse(text)).toMatchObject({ RaftNodes: [], HTTPAuthPassword: "", RaftBind: "127.1.11.4:10008" });
  });

  it("is the program that is named, before any on PATH", () => {
    expect(orchestratorProgram({ ORCHESTRATOR_BIN: "/a/orchestrator", PATH: "/usr/bin" })).toBe("/a/orchestrator");
    expect(orchestratorProgram({ ORCHESTRATOR_BIN: "", PATH: "/there/is/nothing" })).toBeUndefined();
    expect(orchestratorProgram({})).toBeUndefined();
  });

  it("is chosen on the command line", () => {
    expect(parseCommandLine(["up", "--engine", "orchestrator"])).toMatchObject({ engine: "orchestrator" });
    expect(parseCommandLine(["up"]).engine).toBeUndefined();
    expect(() => parseCommandLine(["up", "--engine", "galera"])).toThrow(UsageError);
    expect(() => parseCommandLine(["status", "--engine", "agent"])).toThrow("takes no --engine");
  });
});
