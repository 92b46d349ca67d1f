import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeFailure, Failure, messageOf, reasonOf } from "#contract/failure-reasons.ts";
import { keepLaunchHookAlive } from "./lib/bootstrap/launch-hook.ts";
import { watchPrimary } from "./lib/bootstrap/primary-watch.ts";
import { progressFile, writeProgress } from "./lib/bootstrap/progress.ts";
import { runBootstrap } from "./lib/bootstrap/run-bootstrap.ts";
import { allocateServerId, renewServerId } from "./lib/coordination/server-ids.ts";
import { readNodeConfig } from "./lib/host/config.ts";
import { makeLog } from "./lib/host/log.ts";
import { runMain } from "./lib/host/main.ts";
import { version } from "./lib/host/version.ts";
import { monotonicMs } from "./lib/host/wait.ts";
import { writeServerOptions } from "./lib/mysql/server-options.ts";
import { wireNode } from "./lib/wiring.ts";

const usage = `Usage: bootstrap [--initialise-empty] [--adopt] [--help] [--version]

Takes this node from wherever it is to a member of its cluster: forms it, restores and joins, or rejoins.

  --initialise-empty  begin an empty cluster although the bucket has backups of this cluster id
  --adopt             take over a data directory that this project did not make`;

const log = makeLog("bootstrap");

const readFlags = () => {
  try {
    return parseArgs({
      options: {
        "initialise-empty": { type: "boolean", default: false },
        adopt: { type: "boolean", default: false },
        version: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new Failure("bad-input", { message: `${messageOf(error)}\n${usage}` });
  }
};

runMain(log, async (signal) => {
  const flags = readFlags();
  if (flags.version || flags.help) {
    process.stdout.write(`${flags.help ? usage : version}\n`);
    return;
  }
  const config = await readNodeConfig();
  const progress = join(config.state_dir, progressFile);
  let lastStep = "reading who this node is";
  const step = async (what: string): Promise<void> => {
    lastStep = what;
    log.info(what);
    await writeProgress(progress, { state: "running", step: what });
  };
  const joined = (): Promise<void> => writeProgress(progress, { state: "joined", step: lastStep });
  try {
    await step(lastStep);
    const node = await wireNode(config, log, "bootstrap");
    const { autoScaling, identity, table } = node;
    const hook = keepLaunchHookAlive({
      autoScaling,
      group: config.asg_name,
      instanceId: identity.instanceId,
      log,
      signal,
    });
    await step("allocating a server id");
    const serverId = await allocateServerId(table, config.cluster_id, identity.instanceId);
    const useServerId = (id: number): Promise<void> =>
      writeServerOptions(config.mysql.include_dir, { serverId: id, reportHost: identity.privateIp });
    await useServerId(serverId);
    const mysql = node.mysqlServer();
    await runBootstrap(
      {
        ...node,
        mysql,
        flags: { initialiseEmpty: flags["initialise-empty"], adopt: flags.adopt },
        election: node.lock("election", "bootstrap"),
        primaryWatch: watchPrimary(node.primaryLease, monotonicMs),
        engine: node.backupEngine(mysql),
        renewServerId: async () => {
          const id = await renewServerId(table, config.cluster_id, identity.instanceId);
          await useServerId(id);
          return id;
        },
        step,
        joined,
        now: () => new Date(),
        signal,
      },
      serverId,
    );
    await joined();
    await hook.complete();
    log.info("done");
  } catch (error) {
    await writeProgress(progress, {
      state: "failed",
      step: describeFailure(error),
      failure_reason: reasonOf(error),
    }).catch(() => {});
    throw error;
  }
});
