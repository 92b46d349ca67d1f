import type { Timers } from "./timers.ts";
import type { UnitDefinition } from "./unit.ts";

/** How a process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** All processes of one run of a unit: systemd's control group. */
export interface ControlGroup {
  /** Process id of the main process. */
  readonly pid: number;
  /** The end of the main process; others of the group may live on. */
  readonly ended: Promise<Ended>;
  /** Process ids of those that live. */
  members(): number[];
  /** To every member, or to the main process only. */
  signal(signal: NodeJS.Signals, whom: "all" | "main"): void;
}

export type ActiveState = "inactive" | "activating" | "active" | "deactivating" | "failed";

/** What `systemctl show` tells. */
export interface ServiceState {
  readonly active: ActiveState;
  readonly sub: string;
  readonly result: "success" | "exit-code" | "signal" | "timeout";
  readonly mainPid: number;
  /** Automatic restarts since the last start that somebody asked for. */
  readonly restarts: number;
  /** How the main process ended last. */
  readonly lastEnd?: Ended;
  /** Id of the present or last run. */
  readonly invocation: string;
}

/** What a job led to. */
export type JobOutcome = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** What a service needs from around it. */
export interface ServiceHost {
  readonly timers: Timers;
  /** Starts the unit's process; a program that cannot be run is an `ended` with code 203, as in systemd. */
  launch(unit: UnitDefinition, invocation: string): ControlGroup;
  newInvocation(): string;
  /** One line for the unit's journal. */
  note(line: string): void;
  /** The unit has ended for good and is to be forgotten. */
  forget(): void;
}

export interface Service {
  readonly unit: UnitDefinition;
  state(): ServiceState;
  /** Resolves when it is active, or has ended if it is a oneshot. Joins a start that is under way. */
  start(): Promise<JobOutcome>;
  /** Resolves when no process of it is left. */
  stop(): Promise<void>;
  signal(signal: NodeJS.Signals, whom: "all" | "main"): void;
  resetFailed(): void;
  /** The machine has lost power: nothing more happens to this object. */
  cutPower(): void;
}

/** How often a group that is being stopped is looked at, milliseconds. */
const lookEveryMs = 10;

/** Signals after which a service counts as ended well, except for a oneshot (systemd.service(5), SuccessExitStatus). */
const cleanSignals: readonly string[] = ["SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"];

const lostPower = "the machine lost power";

const ends = ({ code, signal }: Ended): string => (signal === null ? `status ${code}` : `signal ${signal}`);

/** One service with systemd's rules for starting, stopping and restarting. */
export function createService(unit: UnitDefinition, host: ServiceHost): Service {
  let state: ServiceState = {
    active: "inactive",
    sub: "dead",
    result: "success",
    mainPid: 0,
    restarts: 0,
    invocation: "",
  };
  let group: ControlGroup | undefined;
  let cancelRestart = (): void => {};
  let waiting: ((outcome: JobOutcome) => void)[] = [];
  /** Stops under way or asked for during the end of a run; no restart follows. */
  let stopping = false;
  let idle: (() => void)[] = [];
  let powered = true;

  const become = (change: Partial<ServiceState>): void => {
    state = { ...state, ...change };
  };
  const answer = (outcome: JobOutcome): void => {
    const told = waiting;
    waiting = [];
    for (const tell of told) tell(outcome);
  };
  const rest = (): void => {
    stopping = false;
    const told = idle;
    idle = [];
    for (const tell of told) tell();
  };

  const run = (): void => {
    const invocation = host.newInvocation();
    const mine = host.launch(unit, invocation);
    group = mine;
    become({ invocation, mainPid: mine.pid, result: "success" });
    host.note(`started, process ${mine.pid}`);
    if (unit.type === "simple") {
      become({ active: "active", sub: "running" });
      answer({ ok: true });
    } else become({ active: "activating", sub: "start" });
    void mine.ended.then((end) => {
      if (powered) mainEnded(mine, end);
    });
  };

  const mainEnded = (mine: ControlGroup, end: Ended): void => {
    host.note(`main process ${mine.pid} ended with ${ends(end)}`);
    become({ mainPid: 0, lastEnd: end });
    // A stop that is under way sees to the rest itself.
    if (state.active === "deactivating") return;
    if (mine.members().length === 0) over(end, "in time");
    else {
      become({ active: "deactivating", sub: "final-sigterm" });
      terminate(mine);
    }
  };

  /** SIGTERM to the whole group, SIGKILL when the time is up; ends in `over`. */
  const terminate = (mine: ControlGroup): void => {
    mine.signal(unit.killSignal, "all");
    // A stopped process sees the signal only when it goes on.
    mine.signal("SIGCONT", "all");
    let timing: "in time" | "too late" = "in time";
    const cancelDeadline = host.timers.after(unit.timeoutStopMs, () => {
      timing = "too late";
      host.note(`still there after ${unit.timeoutStopMs} ms: SIGKILL`);
      become({ sub: "stop-sigkill" });
      mine.signal("SIGKILL", "all");
    });
    let mainEnd: Ended | undefined;
    void mine.ended.then((end) => {
      mainEnd = end;
    });
    const look = (): void => {
      if (!powered) return;
      if (mainEnd !== undefined && mine.members().length === 0) {
        cancelDeadline();
        over(mainEnd, timing);
        return;
      }
      if (timing === "too late") mine.signal("SIGKILL", "all");
      host.timers.after(lookEveryMs, look);
    };
    host.timers.after(lookEveryMs, look);
  };

  /** No process of this run is left. */
  const over = (end: Ended, timing: "in time" | "too late"): void => {
    group = undefined;
    const result = timing === "too late" ? "timeout" : resultOf(unit, end);
    become({ result, mainPid: 0, lastEnd: end });
    const again = !stopping && (unit.restart === "always" || (unit.restart === "on-failure" && result !== "success"));
    if (again) {
      become({ active: "activating", sub: "auto-restart", restarts: state.restarts + 1 });
      cancelRestart = host.timers.after(unit.restartMs, run);
      rest();
      return;
    }
    if (result === "success") {
      if (unit.type === "oneshot" && unit.remainAfterExit && !stopping) become({ active: "active", sub: "exited" });
      else become({ active: "inactive", sub: "dead" });
      answer(stopping ? { ok: false, why: "canceled" } : { ok: true });
    } else {
      become({ active: "failed", sub: "failed" });
      host.note(`failed with result '${result}'`);
      answer({ ok: false, why: result });
    }
    rest();
    const gone = state.active === "inactive" ? unit.transient : state.active === "failed" && unit.collect;
    if (gone) host.forget();
  };

  const whenIdle = (): Promise<void> => new Promise((resolve) => idle.push(resolve));

  return {
    unit,
    state: () => state,
    start: async () => {
      while (state.active === "deactivating") await whenIdle();
      if (!powered) return { ok: false, why: lostPower };
      if (state.active === "active") return { ok: true };
      const outcome = new Promise<JobOutcome>((resolve) => waiting.push(resolve));
      if (state.active === "inactive" || state.active === "failed") {
        become({ restarts: 0 });
        run();
      }
      return outcome;
    },
    stop: async () => {
      if (state.active === "inactive" || state.active === "failed") return;
      if (state.sub === "auto-restart" || group === undefined) {
        cancelRestart();
        become({ active: "inactive", sub: "dead" });
        answer({ ok: false, why: "canceled" });
        if (unit.transient) host.forget();
        return;
      }
      const ended = whenIdle();
      const terminating = state.active === "deactivating";
      stopping = true;
      if (!terminating) {
        become({ active: "deactivating", sub: "stop-sigterm" });
        host.note("stopping");
        terminate(group);
      }
      await ended;
    },
    signal: (signal, whom) => group?.signal(signal, whom),
    resetFailed: () => {
      if (state.active === "failed") become({ active: "inactive", sub: "dead", result: "success" });
    },
    cutPower: () => {
      powered = false;
      cancelRestart();
      become({ active: "inactive", sub: "dead", mainPid: 0 });
      answer({ ok: false, why: lostPower });
      rest();
    },
  };
}

function resultOf(unit: UnitDefinition, { code, signal }: Ended): ServiceState["result"] {
  if (signal !== null) return unit.type === "simple" && cleanSignals.includes(signal) ? "success" : "signal";
  return code === 0 ? "success" : "exit-code";
}
