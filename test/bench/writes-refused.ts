import { setTimeout as delay } from "node:timers/promises";
import { units } from "#contract/names.ts";
import { ports } from "#contract/ports.ts";
import { type Lab, startLab } from "#lab/lab.ts";
import { connect, type SqlLogin } from "#lab/sql.ts";
import { beginSwitchover, ended } from "../cluster/switchover-fixture.ts";
import { type Client, makeTable } from "./clients.ts";
import { type Crowd, startCrowd } from "./crowd.ts";
import type { Figure } from "./figures.ts";
import { orchestratorTakeovers } from "./orchestrator-takeover.ts";

/** Runs of each kind; `BENCH_RUNS` says another number. */
const runs = Number(process.env.BENCH_RUNS ?? 50);

const primaryOf = async (lab: Lab) => {
  const record = await lab.topology();
  const nodes = await lab.nodes();
  const primary = nodes.find((node) => node.instanceId === record?.instance_id);
  if (!primary) throw new Error("The record names nobody of the lab.");
  return { primary, replicas: nodes.filter((node) => node !== primary) };
};

/** What cannot be less: one commit that a replica has applied, and one new session with a commit of its own, milliseconds. */
const floorOf = async (lab: Lab): Promise<number> => {
  const { primary, replicas } = await primaryOf(lab);
  const [writer, reader] = await Promise.all([
    connect(await lab.login(primary.name)),
    connect(await lab.login(replicas[0]?.name ?? "")),
  ]);
  try {
    const began = performance.now();
    await writer.query("INSERT INTO app.bench (k) VALUES (UUID())");
    const [rows] = await writer.query("SELECT @@global.gtid_executed AS executed");
    const set = (rows as { executed: string }[])[0]?.executed ?? "";
    await reader.query("SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 1)", [set]);
    const fresh = await connect(await lab.login(primary.name));
    await fresh.query("INSERT INTO app.bench (k) VALUES (UUID())");
    fresh.destroy();
    return performance.now() - began;
  } finally {
    writer.destroy();
    reader.destroy();
  }
};

interface Measured {
  readonly refused: number[];
  readonly floor: number[];
  failedConnections: number;
}

const measure = async (
  lab: Lab,
  what: string,
  crowd: Crowd,
  disturb: (round: number) => Promise<void>,
): Promise<Measured> => {
  const measured: Measured = { refused: [], floor: [], failedConnections: 0 };
  for (let round = 0; round < runs; round += 1) {
    await lab.waitHealthy(180_000);
    await delay(1000);
    measured.floor.push(await floorOf(lab));
    crowd.interruption();
    for (const client of crowd.clients) client.failedConnections();
    await disturb(round);
    const before = crowd.answered();
    const deadline = performance.now() + 60_000;
    while (crowd.answered() < before + 50) {
      if (performance.now() > deadline) throw new Error(`${what}: no writes within 60 s.`);
      await delay(20);
    }
    const { refusedMs, silentMs } = crowd.interruption();
    measured.refused.push(refusedMs);
    measured.failedConnections += crowd.clients.reduce((sum, client) => sum + client.failedConnections(), 0);
    const at = new Date().toISOString().slice(11, 23);
    process.stderr.write(
      `${at} ${what} ${round + 1}/${runs}: ${refusedMs.toFixed(0)} ms, without an answer ${silentMs.toFixed(0)} ms\n`,
    );
  }
  return measured;
};

/** What is done to the primary, by name; `BENCH_KINDS` chooses some. */
const disturbances: Record<
  string,
  { readonly goals: readonly [number, "p50" | "p99"][]; readonly act: (lab: Lab, round: number) => Promise<void> }
> = {
  "writes refused at a switchover": {
    goals: [
      [60, "p50"],
      [200, "p99"],
    ],
    act: async (lab, round) => {
      const { replicas } = await primaryOf(lab);
      const target = replicas[round % replicas.length];
      const id = await beginSwitchover(lab, target?.name ?? "", { target: target?.instanceId ?? "" });
      const { state, failure_message, steps, result } = await ended(lab, id);
      const times = steps.map(({ name, duration_ms }) => `${name} ${Math.round(duration_ms ?? 0)}`).join(", ");
      process.stderr.write(`probe ${result?.writes_refused_ms} ms; ${times}\n`);
      if (state !== "succeeded") throw new Error(`The switchover ended as ${state}: ${failure_message}`);
    },
  },
  "writes refused when mysqld is killed": {
    goals: [[1000, "p99"]],
    act: async (lab) => {
      const { primary } = await primaryOf(lab);
      await lab.machine(primary.name).killProcess("mysqld");
      await delay(2000);
    },
  },
  "writes refused when the primary's node is killed": {
    goals: [[4500, "p99"]],
    act: async (lab) => {
      const { primary } = await primaryOf(lab);
      await lab.machine(primary.name).kill();
      await delay(8000);
      await lab.machine(primary.name).start();
    },
  },
};

/** How long writes are refused, as clients of the balancer and as clients that connect to the nodes themselves see it. */
export const writesRefused = async (): Promise<Figure[]> => {
  const figures: Figure[] = [];
  const chosen = process.env.BENCH_KINDS;
  const isChosen = (what: string): boolean =>
    chosen === undefined || chosen.split(",").some((word) => what.includes(word));
  for (const [what, { goals, act }] of Object.entries(disturbances)) {
    if (!isChosen(what)) continue;
    const lab = await startLab();
    const crowds: Crowd[] = [];
    try {
      await lab.waitHealthy();
      await makeTable(lab);
      const login = await lab.login("write");
      const balancer = async (): Promise<readonly SqlLogin[]> => [login];
      const nodes = async (): Promise<readonly SqlLogin[]> =>
        (await lab.nodes()).map(({ address }) => ({ ...login, place: { host: address, port: ports.mysql } }));
      for (const [how, places] of [
        ["through the balancer", balancer],
        ["direct connections", nodes],
      ] as const) {
        const crowd = startCrowd(how, places);
        crowds.push(crowd);
        await delay(1000);
        const { refused, floor, failedConnections } = await measure(lab, `${what}, ${how}`, crowd, (round) =>
          act(lab, round),
        );
        await crowd.stop();
        process.stderr.write(
          `${what}, ${how}: ${crowd.answered()} writes acknowledged, ${await lostWrites(lab, crowd.clients)} lost, ${failedConnections} failed new connections\n`,
        );
        const baseline = { name: "floor", measured: floor };
        const name = `${what}, ${how}`;
        if (how === "direct connections") figures.push({ name, unit: "ms", measured: refused, baseline });
        else
          for (const [goal, goalAt] of goals)
            figures.push({ name, unit: "ms", measured: refused, baseline, goal, goalAt });
      }
    } finally {
      if (process.env.BENCH_JOURNALS) await printAgents(lab);
      await Promise.all(crowds.map((crowd) => crowd.stop()));
      await lab.down();
    }
  }
  return isChosen("Orchestrator") ? [...figures, ...(await orchestratorTakeovers(Math.min(runs, 10)))] : figures;
};

/** What the agents said, for whoever wants to know where the time went. */
const printAgents = async (lab: Lab): Promise<void> => {
  for (const { name, instanceId } of await lab.nodes()) {
    const journals = await lab.logs(name);
    process.stderr.write(
      `== ${name} ${instanceId}\n${journals[units.agent] ?? ""}\n${journals[units.bootstrap] ?? ""}\n`,
    );
  }
};

const lostWrites = async (lab: Lab, clients: readonly Client[]): Promise<number> => {
  const { primary } = await primaryOf(lab);
  const result = await lab.sql(primary.name, "SELECT k FROM app.bench");
  const there = new Set("rows" in result ? result.rows.map((row) => String(row.k)) : []);
  return clients.flatMap(({ acknowledged }) => acknowledged).filter((key) => !there.has(key)).length;
};
