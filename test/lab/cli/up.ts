import { remoteControls } from "../control.ts";
import { type Lab, startLab } from "../lab.ts";
import type { LabDescription } from "../state.ts";
import { overviewText } from "../tables.ts";
import { type LabView, labView } from "../view.ts";
import type { CommandLine } from "./arguments.ts";
import { logLine, startDaemon } from "./daemon.ts";
import { takeDown } from "./down.ts";
import { runningLabs } from "./find-lab.ts";
import { showUntil } from "./live-status.ts";
import { memoryText, phaseLine, welcome } from "./messages.ts";
import { print, printJson, say } from "./output.ts";

/** A lab of this user that a start without a number, or with this one, would repeat. */
const alreadyUp = async (number: number | undefined): Promise<LabDescription | undefined> =>
  (await runningLabs(number))[0];

/** Starts a lab in the background and waits until its cluster is healthy. */
export async function up(line: CommandLine): Promise<void> {
  const existing = await alreadyUp(line.lab);
  if (existing !== undefined) {
    if (line.json) return printJson(forPrograms(existing, {}));
    say(
      `Lab ${existing.number} is up already. A second one gets another number: npm run lab -- up --lab ${existing.number + 1}`,
    );
    return;
  }
  const began = performance.now();
  const phases: Record<string, number> = {};
  const phase = (name: string, seconds: number): void => {
    phases[name] = seconds;
    if (!line.json) print(phaseLine(name, seconds));
  };
  if (!line.json) print("Starting a lab");
  const description = await startDaemon(line, { report: line.json ? () => {} : reportStart, phase });
  const undo = (): void => {
    say("Interrupted: taking the lab down.");
    takeDown(description).then(
      () => process.exit(130),
      (error: unknown) => {
        say(String(error));
        process.exit(1);
      },
    );
  };
  process.once("SIGINT", undo).once("SIGTERM", undo);
  if (!line.json) print(running(description));
  const controls = remoteControls(description);
  const view = labView(description, controls);
  try {
    const waiting = performance.now();
    const overview = await view.waitHealthy();
    phase("healthy cluster", (performance.now() - waiting) / 1000);
    phase("all", (performance.now() - began) / 1000);
    const memory = await controls.memory();
    if (line.json) return printJson({ ...forPrograms(description, phases), memory, overview });
    print(
      `\n${overviewText(overview)}\n${memoryText(memory)}${welcome(description, (await runningLabs()).length === 1)}`,
    );
  } catch (error) {
    throw new Error(
      `${error instanceof Error ? error.message : error}\nThe lab stays up: see \`npm run lab -- logs NODE\`, and take it down with \`npm run lab -- down\`.`,
    );
  } finally {
    process.off("SIGINT", undo).off("SIGTERM", undo);
    view.close();
  }
}

/** Starts a lab in this process, shows its status until a signal or `down`, and takes it down. */
export async function foreground(line: CommandLine): Promise<void> {
  const existing = await alreadyUp(line.lab);
  const ended = new AbortController();
  const end = (): void => ended.abort();
  if (existing !== undefined) {
    process.on("SIGINT", end).on("SIGTERM", end);
    say(
      `Lab ${existing.number} runs in the background; Ctrl-C ends this display only. Take it down with: npm run lab -- down`,
    );
    return watch(labView(existing, remoteControls(existing)), ended.signal);
  }
  let lab: Lab | undefined;
  const stop = (): void => {
    // Nothing of a lab that is still starting outlives this process.
    if (lab === undefined) process.exit(130);
    if (!ended.signal.aborted) say("\nTaking the lab down.");
    end();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  print("Starting a lab; Ctrl-C takes it down");
  const began = performance.now();
  lab = await startLab({
    ...(line.nodes === undefined ? {} : { nodes: line.nodes }),
    ...(line.engine === undefined ? {} : { engine: line.engine }),
    keep: line.keep,
    forPerson: true,
    ...(line.lab === undefined ? {} : { number: line.lab }),
    report: (text) => (lab === undefined ? reportStart(text) : logLine(lab.description, text)),
    onPhase: (name, seconds) => print(phaseLine(name, seconds)),
    onDownRequested: stop,
  });
  print(running(lab.description));
  try {
    await lab.waitHealthy(undefined, ended.signal).then(
      () => print(phaseLine("all, until healthy", (performance.now() - began) / 1000)),
      // The display shows what is wrong.
      (error: unknown) => ended.signal.aborted || say(String(error)),
    );
    if (!ended.signal.aborted) print(welcome(lab.description, true, " in another terminal"));
    await watch(lab, ended.signal);
  } finally {
    const downBegan = performance.now();
    await lab.down();
    say(`The lab is down after ${((performance.now() - downBegan) / 1000).toFixed(1)} s.`);
  }
}

const running = ({ number, network, cluster, engine }: LabDescription): string =>
  `Lab ${number} runs on ${network}.0.0/16; its cluster ${cluster.clusterId} is forming; failover engine: ${engine}`;

const watch = (view: LabView, signal: AbortSignal): Promise<void> =>
  showUntil(signal, async () => overviewText(await view.overview()));

/** What happens during a start; the emulators' doings concern nobody. */
function reportStart(line: string): void {
  if (!line.startsWith("cloud:")) say(`    ${line}`);
}

/** What a program gets to know of a lab. */
const forPrograms = (description: LabDescription, phases: Readonly<Record<string, number>>) => ({
  lab: description.number,
  network: description.network,
  clusterId: description.cluster.clusterId,
  engine: description.engine,
  balancer: description.cluster.loadBalancerAddress,
  endpoint: description.endpoint,
  environment: description.operatorEnvironment,
  state: description.paths.directory,
  seconds: phases,
});
