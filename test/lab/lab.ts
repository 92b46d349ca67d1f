import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accountNames } from "#contract/credentials.ts";
import { units } from "#contract/names.ts";
import { outputFolder, repositoryRoot } from "../../rolldown.config.ts";
import { ensureAll, ensureHaproxy, reportLines } from "./cache/index.ts";
import { run as runToEnd } from "./cache/run.ts";
import {
  type Cloud,
  type ClusterResources,
  createCluster,
  createLifecycleFunction,
  type FaultApi,
  type Routing,
  startCloud,
} from "./cloud/index.ts";
import { controlServer } from "./control.ts";
import type { LabControls, LabNode, MachineOperation } from "./controls.ts";
import { type HostedMachine, type Hypervisor, startHypervisor } from "./hypervisor/hypervisor.ts";
import { startReaper } from "./hypervisor/reaper.ts";
import { type Kept, type KeptMachine, keepCluster, putBack, readKept } from "./kept.ts";
import type { Machine } from "./machine/machine.ts";
import { memoryOf } from "./machine/processes.ts";
import { claimNumber, controlPort, labNumbers } from "./number.ts";
import { orchestratorMissing, orchestratorProgram } from "./orchestrator.ts";
import { type PeerCuts, peerCuts, peerCutsMissing } from "./peer-cuts.ts";
import { type LabDescription, type LabPaths, labPaths, writeDescription } from "./state.ts";
import { type LabView, labView } from "./view.ts";

export interface LabOptions {
  /** Default 3, or what was kept. */
  readonly nodes?: 3 | 5;
  /** Which lab, 1 to 99; by default the first free one. Its addresses are 127.NUMBER.0.0/16. */
  readonly number?: number;
  /** Its data stay when it is taken down, for the next lab with this number; that one goes on with them in any case. */
  readonly keep?: boolean;
  /** The command line finds it without being told its number, and it goes on with data that were kept. */
  readonly forPerson?: boolean;
  /** Default `lab-NUMBER`, or what was kept. */
  readonly clusterId?: string;
  /**
   * How clients reach the primary: through HAProxy on each node, all of which are targets of the balancer; or directly, with the nodes moved
   * between the target groups.
   */
  readonly routing?: Routing;
  /** Who notices that a primary is dead: by default the agents. Orchestrator's program is `ORCHESTRATOR_BIN`, or on PATH. */
  readonly engine?: "agent" | "orchestrator";
  /** Added to the environment of every process of the nodes. */
  readonly env?: Readonly<Record<string, string>>;
  /** Scripts `bootstrap.mjs` and `agent.mjs` to run on the nodes instead of this checkout's own, built. */
  readonly binDir?: string;
  /** Lines for people. */
  readonly report?: (line: string) => void;
  /** Told when a part of the start is done, with how long it took. */
  readonly onPhase?: (phase: string, seconds: number) => void;
  /** `requestDown` of the controls was called, by another process or this one. */
  readonly onDownRequested?: () => void;
}

/** A machine of a running lab, for breaking it. */
export interface LabMachine {
  /** A power cut: SIGKILL to everything on it; its disk stays. */
  kill(): Promise<void>;
  /** Boots it again. */
  start(): Promise<void>;
  /** SIGSTOP to everything on it; its service manager stands still too. */
  stop(): Promise<void>;
  cont(): Promise<void>;
  /** A signal, SIGKILL by default, to the main process of one unit. @throws when the unit does not run. */
  killProcess(unit: UnitWord, signal?: NodeJS.Signals): Promise<void>;
  /** What runs underneath, for what has no method here. */
  readonly machine: Machine;
}

/** A running lab. */
export interface Lab extends LabView {
  readonly clusterId: string;
  /** First two bytes of its addresses, for example `127.1`. */
  readonly network: string;
  readonly cluster: ClusterResources;
  readonly cloud: Cloud;
  readonly faults: FaultApi;
  /** @throws naming the nodes that are there, when there is none of that name. */
  machine(name: string): LabMachine;
  /** Why nodes cannot be cut from each other here; undefined when they can. */
  peerCutsMissing(): Promise<string | undefined>;
  /** No packet passes between two nodes from now on. @throws what `peerCutsMissing` says. */
  cutPeers(one: string, other: string): Promise<void>;
  /** Ends all cuts between nodes. */
  heal(): Promise<void>;
  /** Ends everything and removes its state, unless the lab is kept. May be called more than once. */
  down(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Names of units for people. */
const unitWords = {
  mysqld: units.mysql,
  agent: units.agent,
  bootstrap: units.bootstrap,
  haproxy: units.forwarder,
  orchestrator: units.orchestrator,
} as const;
export type UnitWord = keyof typeof unitWords;

const isUnitWord = (word: string): word is UnitWord => Object.keys(unitWords).includes(word);

/** Sockets lie below the temporary folder, or below /tmp when that has a long path. */
const longestTemporaryPath = 60;

/**
 * Starts a lab in this process: AWS, a cluster's resources, and a machine for each instance. It does not wait for the cluster to
 * be healthy; see `waitHealthy`. Everything of it ends with this process, however that dies.
 *
 * @throws when something is missing or in use; what was started is ended.
 */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const { keep = false, routing = "forward" } = options;
  const report = options.report ?? (() => {});
  const orchestrator = options.engine === "orchestrator" ? orchestratorProgram() : undefined;
  if (options.engine === "orchestrator" && orchestrator === undefined) {
    throw new Error(`${orchestratorMissing}. Nothing was started.`);
  }
  const ending = endingSteps();
  /** Times one phase. */
  const phase = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await work();
    options.onPhase?.(name, (performance.now() - began) / 1000);
    return result;
  };

  try {
    const { number, network, paths, socketsDir, run, control, sessions, cutsWith, kept, stays } = await takePlace(
      options,
      ending,
    );
    const { clusterId, nodes } = choose(options, number, kept, paths);
    // The scripts are needed when machines boot; until then they are built beside.
    const scripts = options.binDir === undefined ? buildScripts() : Promise.resolve(options.binDir);
    scripts.catch(() => {});
    const { mysql, emulators, haproxy } = await phase("programs", () => ensurePrograms(report, routing === "forward"));
    const cloud = await phase("emulated AWS", () =>
      startCloud({
        network,
        stateDir: paths.cloud,
        runDir: join(socketsDir, "cloud"),
        programs: emulators,
        report,
      }),
    );
    ending.push(() => cloud.close());
    const cuts = peerCuts(run, cutsWith);
    ending.push(() => cuts.heal());
    const created = await phase("cluster's resources", () =>
      createCluster(cloud, {
        clusterId,
        nodes,
        application: { schema: accountNames.app, user: accountNames.app },
        serverVersion: mysql.version,
        routing,
      }),
    );
    const cluster = kept === undefined ? created : await phase("kept data", () => putBack(paths, kept, cloud, created));
    const binDir = await phase("node scripts", () => scripts);
    const lifecycle = join(binDir, "raft-lifecycle.mjs");
    // Scripts that somebody else gave may be stand-ins for some of them only.
    if (existsSync(lifecycle)) {
      await phase("termination function", () => createLifecycleFunction(cloud, cluster, lifecycle));
    }
    const hypervisor = startHypervisor({
      cloud,
      cluster,
      software: {
        binDir,
        mysqld: mysql.mysqld,
        ...(haproxy === undefined ? {} : { haproxy }),
        ...(orchestrator === undefined ? {} : { orchestrator }),
      },
      machinesDir: paths.machines,
      socketsDir,
      run,
      sessions,
      environment: options.env ?? {},
      report,
    });
    if (keep) ending.push(() => keepCluster(paths, cloud, cluster, staying(hypervisor)));
    stays(keep);
    ending.push(() => hypervisor.close());
    await phase("machines", () => hypervisor.allBooted(nodes));

    const controls = labControls(hypervisor, cloud, options.onDownRequested ?? (() => {}));
    control.serve(controls);
    const description: LabDescription = {
      number,
      run,
      pid: process.pid,
      network,
      startedAt: new Date().toISOString(),
      keep,
      forPerson: options.forPerson ?? false,
      control: { url: `http://${network}.0.1:${controlPort}/`, secret: control.secret },
      endpoint: cloud.endpoint,
      region: cloud.region,
      operator: cloud.operator,
      operatorEnvironment: cloud.operatorEnvironment(),
      cluster,
      programs: { mysql: mysql.mysql },
      engine: options.engine ?? "agent",
      paths,
    };
    await writeDescription(description);
    const view = labView(description, controls);
    ending.push(async () => view.close());
    return makeLab(view, cloud, hypervisor, cuts, ending.run);
  } catch (error) {
    await ending.run().catch(() => {});
    throw error;
  }
}

/** Steps that end a lab, the last one first. */
interface EndingSteps {
  push(step: () => Promise<void>): void;
  /** Runs all steps, whichever fail, once. @throws the failures together, after all have run. */
  run(): Promise<void>;
}

function endingSteps(): EndingSteps {
  const steps: (() => Promise<void>)[] = [];
  let running: Promise<void> | undefined;
  const runAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const step of steps.reverse()) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, "Parts of the lab did not end as they should.");
  };
  return {
    push: (step) => {
      steps.push(step);
    },
    run: () => {
      running ??= runAll();
      return running;
    },
  };
}

/** Takes a number with its addresses, and folders on disk; starts the reaper that frees them whatever happens. */
async function takePlace(options: LabOptions, ending: EndingSteps) {
  const secret = randomBytes(24).toString("base64url");
  const { server: controlListener, serve } = controlServer(secret);
  const { number, network, server } = await claimNumber(() => controlListener, await numbersFor(options));
  ending.push(async () => {
    const closed = once(server, "close");
    server.close();
    await closed;
  });
  const paths = labPaths(number);
  const kept = await readKept(paths);
  if (kept === undefined) await rm(paths.directory, { recursive: true, force: true });
  // What an earlier lab kept is removed only by a lab that has taken it over.
  let stay = kept !== undefined;
  await mkdir(paths.machines, { recursive: true, mode: 0o700 });
  const temporary = tmpdir().length > longestTemporaryPath ? "/tmp" : tmpdir();
  const socketsDir = await mkdtemp(join(temporary, `lab${number}-`));
  const run = `${number}_${randomBytes(5).toString("hex")}`;
  const reaper = startReaper(run, stay || options.keep ? [socketsDir] : [socketsDir, paths.directory]);
  ending.push(async () => {
    const gone = stay ? [socketsDir, paths.cloud, paths.description] : [socketsDir, paths.directory];
    await Promise.all(gone.map((path) => rm(path, { recursive: true, force: true })));
    await reaper.dismiss();
  });
  return {
    number,
    network,
    paths,
    socketsDir,
    run,
    kept,
    control: { secret, serve },
    sessions: reaper.sessions,
    cutsWith: reaper.cutsWith,
    /** Whether the folder on disk stays when the lab ends. */
    stays: (answer: boolean): void => {
      stay = answer;
    },
  };
}

/** A person without a wish goes on with what they kept; a program's lab keeps away from that. */
async function numbersFor({ number, forPerson = false }: LabOptions): Promise<readonly number[]> {
  if (number !== undefined) return [number];
  const has = await Promise.all(labNumbers.map(async (each) => (await readKept(labPaths(each))) !== undefined));
  const kept = labNumbers.filter((_, at) => has[at]);
  const others = labNumbers.filter((_, at) => !has[at]);
  return forPerson ? [...kept, ...others] : others;
}

/** The cluster's id and size: those of what was kept, which an option must not contradict. */
function choose(
  options: LabOptions,
  number: number,
  kept: Kept | undefined,
  paths: LabPaths,
): { clusterId: string; nodes: 3 | 5 } {
  const clusterId = options.clusterId ?? kept?.clusterId ?? `lab-${number}`;
  const nodes = options.nodes ?? (kept?.nodes === 5 ? 5 : 3);
  if (kept !== undefined && (kept.clusterId !== clusterId || kept.nodes !== nodes)) {
    throw new Error(
      `Lab ${number} has kept the cluster ${kept.clusterId} with ${kept.nodes} nodes; ${clusterId} with ${nodes} was asked for. Nothing was changed. Start it with --nodes ${kept.nodes}, take another number with --lab, or remove ${paths.directory}.`,
    );
  }
  return { clusterId, nodes };
}

/** Machines whose disks are worth keeping: those that are being terminated are not. */
const staying = (hypervisor: Hypervisor): KeptMachine[] =>
  hypervisor
    .machines()
    .filter(({ instance }) => !instance.lifecycleState?.startsWith("Terminating"))
    .map(({ instance }) => ({ instanceId: instance.instanceId, address: instance.privateIp }));

/** What every lab needs from the cache. What is missing is named, or made, all at the same time. */
async function ensurePrograms(report: (line: string) => void, withHaproxy: boolean) {
  const lines = reportLines((line) => report(line.trimEnd()));
  const [programs, haproxy] = await Promise.all([ensureAll(lines), withHaproxy ? ensureHaproxy(lines) : undefined]);
  const python = ({ command: [program] }: (typeof programs)["moto"]): string => {
    if (program === undefined) throw new Error("The cache names no program for an emulator. Nothing was started.");
    return program;
  };
  return {
    mysql: programs.mysql,
    haproxy: haproxy?.haproxy,
    emulators: { motoPython: python(programs.moto), ministackPython: python(programs.ministack) },
  };
}

/**
 * Builds the node scripts from this checkout, in a process of its own, because the bundler keeps hundreds of megabytes. Resolves
 * with their folder.
 */
async function buildScripts(): Promise<string> {
  const builder = join(repositoryRoot, ".ci", "build.ts");
  await runToEnd([process.execPath, builder], { cwd: repositoryRoot });
  return join(repositoryRoot, outputFolder.node);
}

function labControls(hypervisor: Hypervisor, cloud: Cloud, onDownRequested: () => void): LabControls {
  return {
    memory: async () => ({
      nodes: Object.fromEntries(
        hypervisor.machines().map(({ name, machine }) => [name, memoryOf(machine.processes())]),
      ),
      aws: memoryOf(Object.values(cloud.processes)),
      lab: memoryOf([process.pid]),
    }),
    nodes: async () => hypervisor.machines().map(labNode),
    machine: async (name, operation, unit) => operate(hostedMachine(hypervisor, name), operation, unit),
    requestDown: async () => onDownRequested(),
  };
}

function labNode({ name, instance, machine }: HostedMachine): LabNode {
  const states = Object.values(units).map((unit) => [unit, machine.unitState(unit)?.active ?? "inactive"]);
  return {
    name,
    instanceId: instance.instanceId,
    address: instance.privateIp,
    zone: instance.availabilityZone,
    state: instance.state,
    lifecycle: instance.lifecycleState,
    power: machine.power(),
    units: Object.fromEntries(states),
    logDirectory: machine.layout.log,
    mysqlSocket: machine.layout.mysqlSocket,
  };
}

function hostedMachine(hypervisor: Hypervisor, name: string): HostedMachine {
  const machines = hypervisor.machines();
  const found = machines.find((each) => each.name === name || each.instance.instanceId === name);
  if (found !== undefined) return found;
  throw new Error(`There is no node ${name}; there are ${machines.map((each) => each.name).join(", ") || "none"}.`);
}

/** What a person asks of a machine; resolves with what was done, in a sentence. */
async function operate({ name, machine }: HostedMachine, operation: MachineOperation, unit?: string): Promise<string> {
  const before = machine.power();
  switch (operation) {
    case "kill":
      if (unit !== undefined) return killUnit(name, machine, unit, "SIGKILL");
      await machine.kill();
      return before === "off"
        ? `${name} was off already.`
        : `${name} lost power; its disk stays. Boot it with: start ${name}`;
    case "start":
      await machine.boot();
      return before === "off" ? `${name} boots.` : `${name} was ${before} already.`;
    case "stop":
      await machine.stop();
      return before === "on"
        ? `Every process of ${name} is stopped. Let them go on with: cont ${name}`
        : `${name} is ${before}; nothing was done.`;
    case "cont":
      await machine.cont();
      return before === "stopped" ? `${name} goes on.` : `${name} is ${before}; nothing was done.`;
  }
}

function killUnit(name: string, machine: Machine, word: string, signal: NodeJS.Signals): string {
  if (!isUnitWord(word))
    throw new Error(`There is no process ${word}; there are ${Object.keys(unitWords).join(", ")}.`);
  const pid = machine.signalUnit(unitWords[word], signal);
  if (pid === undefined) throw new Error(`${word} does not run on ${name}. Nothing was done.`);
  return `${word} of ${name}, process ${pid}, got ${signal}.`;
}

function makeLab(view: LabView, cloud: Cloud, hypervisor: Hypervisor, cuts: PeerCuts, down: () => Promise<void>): Lab {
  const { cluster, network } = view.description;
  return {
    ...view,
    clusterId: cluster.clusterId,
    network,
    cluster,
    cloud,
    faults: cloud.faults,
    machine: (name) => {
      const { machine } = hostedMachine(hypervisor, name);
      return {
        machine,
        kill: machine.kill,
        start: machine.boot,
        stop: machine.stop,
        cont: machine.cont,
        killProcess: async (unit, signal = "SIGKILL") => {
          killUnit(name, machine, unit, signal);
        },
      };
    },
    peerCutsMissing,
    cutPeers: async (one, other) => {
      const [from, to] = [hostedMachine(hypervisor, one), hostedMachine(hypervisor, other)];
      await cuts.cut(from.instance.privateIp, to.instance.privateIp);
    },
    heal: cuts.heal,
    down,
    [Symbol.asyncDispose]: down,
  };
}
