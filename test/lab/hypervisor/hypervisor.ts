import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { units } from "#contract/names.ts";
import type { Closable, Cloud, CloudInstance } from "../cloud/index.ts";
import { machineLayout } from "../machine/layout.ts";
import { createMachine, type Machine } from "../machine/machine.ts";
import type { SessionRegistry } from "../machine/process-group.ts";
import { type ClusterOfNode, type NodeSoftware, nodeConfig, nodeUnits, nodeVariables, provisionNode } from "./node.ts";
import { ownerVariable } from "./reaper.ts";

/** An instance with its machine. */
export interface HostedMachine {
  /** `n1`, `n2`, … in the order in which they were launched. */
  readonly name: string;
  readonly instance: CloudInstance;
  readonly machine: Machine;
}

export interface HypervisorOptions {
  readonly cloud: Pick<
    Cloud,
    "instances" | "onChange" | "attachNodes" | "metadata" | "nodeEnvironment" | "region" | "network"
  >;
  readonly cluster: ClusterOfNode;
  readonly software: NodeSoftware;
  /** Holds a folder for each machine: its disk. */
  readonly machinesDir: string;
  /** A short path, for sockets. */
  readonly socketsDir: string;
  /** Marks the lab's processes; see the reaper. */
  readonly run: string;
  readonly sessions: SessionRegistry;
  /** Added to the environment of every node's processes. */
  readonly environment: Readonly<Record<string, string>>;
  /** One line for people. */
  readonly report: (line: string) => void;
}

/** Runs a machine for each instance. */
export interface Hypervisor {
  /** Resolves when so many machines have been booted; rejects when one could not be. */
  allBooted(count: number): Promise<void>;
  /** In the order of their names. */
  machines(): readonly HostedMachine[];
  /** Kills every machine; disks stay. */
  close(): Promise<void>;
}

interface Hosted {
  readonly name: string;
  instance: CloudInstance;
  readonly machine: Machine;
  metadata: Closable | undefined;
  /** Switched off because EC2 stopped the instance, so it goes on when EC2 starts it. */
  stoppedByEc2: boolean;
  /** What is to be done and is under way for it. */
  work: Promise<void>;
  /** Settles with its first boot. */
  readonly booted: PromiseWithResolvers<void>;
}

/** How long the group may take to launch its instances. */
const launchDeadlineMs = 30_000;

const isGone = (state: string): boolean => state === "shutting-down" || state === "terminated";

/**
 * Watches the emulated instances. One that runs gets a machine on its private address, booted as cloud-init would; one that is
 * being terminated loses every process and its disk at once.
 */
export function startHypervisor(options: HypervisorOptions): Hypervisor {
  const { cloud, report } = options;
  const hosted = new Map<string, Hosted>();
  /** Machines on their way out. */
  const leaving = new Set<Hosted>();
  /** Told after each look. */
  const watching: (() => void)[] = [];
  let launched = 0;
  let closed = false;

  const machineFor = (instance: CloudInstance, name: string): Machine => {
    const layout = machineLayout(join(options.machinesDir, instance.instanceId), join(options.socketsDir, name));
    const config = nodeConfig(options.cluster, cloud.region, cloud.network, options.software, layout);
    return createMachine({
      layout,
      units: nodeUnits(options.software, layout),
      bootUnits: [units.bootstrap, units.forwarder],
      provision: () => provisionNode(layout, config, instance.privateIp, options.software),
      environment: nodeVariables(
        options.software,
        layout,
        cloud.nodeEnvironment(instance.privateIp),
        options.environment,
      ),
      owner: { variable: ownerVariable, value: `${options.run}/${instance.instanceId}` },
      sessions: options.sessions,
    });
  };

  /** Queues work for one machine; a failure is told and does not hold up what comes next. */
  const then = (host: Hosted, what: string, work: () => Promise<void>): void => {
    host.work = host.work
      .then(work)
      .catch((error: unknown) =>
        report(`${host.name}: ${what} failed: ${error instanceof Error ? error.message : error}`),
      );
  };

  const look = (instances: readonly CloudInstance[]): void => {
    if (closed) return;
    const seen = new Map(instances.map((instance) => [instance.instanceId, instance]));
    for (const [id, host] of hosted) {
      const instance = seen.get(id);
      host.instance = instance ?? { ...host.instance, state: "terminated" };
      if (isGone(host.instance.state)) {
        hosted.delete(id);
        leaving.add(host);
        report(`${host.name}: instance ${id} is ${host.instance.state}; its machine is destroyed`);
        then(host, "destroying it", async () => {
          await host.machine.destroy();
          await host.metadata?.close();
          leaving.delete(host);
        });
      } else if (host.instance.state.startsWith("stop") && !host.stoppedByEc2) {
        host.stoppedByEc2 = true;
        then(host, "switching it off", () => host.machine.kill());
      } else if (host.instance.state === "running" && host.stoppedByEc2) {
        host.stoppedByEc2 = false;
        then(host, "booting it", () => host.machine.boot());
      }
    }
    for (const instance of instances) {
      if (instance.state !== "running" || hosted.has(instance.instanceId)) continue;
      const name = `n${++launched}`;
      const host: Hosted = {
        name,
        instance,
        machine: machineFor(instance, name),
        metadata: undefined,
        stoppedByEc2: false,
        work: Promise.resolve(),
        booted: Promise.withResolvers(),
      };
      host.booted.promise.catch(() => {});
      hosted.set(instance.instanceId, host);
      report(`${name}: instance ${instance.instanceId} at ${instance.privateIp} boots`);
      then(host, "booting it", async () => {
        if (closed) return;
        try {
          host.metadata = await cloud.metadata.listen(instance.instanceId, instance.privateIp);
          await host.machine.boot();
          host.booted.resolve();
        } catch (error) {
          host.booted.reject(error);
          throw error;
        }
      });
    }
    for (const tell of watching.splice(0)) tell();
  };

  mkdirSync(options.machinesDir, { recursive: true });
  const unwatch = cloud.onChange(look);
  cloud.attachNodes({
    isOn: (instanceId) => hosted.get(instanceId)?.machine.power() === "on",
    run: async (instanceId, command) => {
      const host = hosted.get(instanceId);
      if (host === undefined) throw new Error(`No machine runs for the instance ${instanceId}.`);
      return host.machine.run(command);
    },
  });
  look(cloud.instances());

  return {
    allBooted: async (count) => {
      const deadline = AbortSignal.timeout(launchDeadlineMs);
      while (hosted.size < count) {
        if (deadline.aborted) throw new Error(`Of ${count} instances ${hosted.size} ran after ${launchDeadlineMs} ms.`);
        await new Promise<void>((resolve) => {
          watching.push(resolve);
          deadline.addEventListener("abort", () => resolve(), { once: true });
        });
      }
      await Promise.all([...hosted.values()].map(({ booted }) => booted.promise));
    },
    machines: () => [...hosted.values()],
    close: async () => {
      if (closed) return;
      closed = true;
      unwatch();
      // What is under way may still start processes, hence the second time.
      const killed = [...hosted.values()].map(async (host) => {
        await host.machine.kill();
        await host.work;
        await host.machine.kill();
        await host.metadata?.close();
      });
      await Promise.all([...killed, ...[...leaving].map((host) => host.work)]);
    },
  };
}
