import { setTimeout as delay } from "node:timers/promises";
import { ports } from "#contract/ports.ts";
import { type Lab, startLab } from "#lab/lab.ts";
import { connect, type SqlLogin } from "#lab/sql.ts";
import { beginSwitchover, ended } from "../cluster/switchover-fixture.ts";
import { type Client, makeTable, startClient } from "./clients.ts";
import type { Figure } from "./figures.ts";

/** Runs of each kind; `BENCH_RUNS` says another number. */
const runs = Number(process.env.BENCH_RUNS ?? 50);
const writers = 8;
const writesPerSecond = 300;

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
  readonly forward: number[];
  readonly direct: number[];
  readonly floor: number[];
  failedConnections: number;
}

const measure = async (
  lab: Lab,
  what: string,
  clients: { readonly forward: Client; readonly direct: Client },
  disturb: (round: number) => Promise<void>,
): Promise<Measured> => {
  const measured: Measured = { forward: [], direct: [], floor: [], failedConnections: 0 };
  for (let round = 0; round < runs; round += 1) {
    await lab.waitHealthy(180_000);
    await delay(1000);
    measured.floor.push(await floorOf(lab));
    for (const client of [clients.forward, clients.direct]) {
      client.longestGap();
      client.failedConnections();
    }
    await disturb(round);
    const counts = [clients.forward, clients.direct].map(({ acknowledged }) => acknowledged.length);
    const deadline = performance.now() + 60_000;
    while (
      [clients.forward, clients.direct].some(({ acknowledged }, n) => acknowledged.length < (counts[n] ?? 0) + 20)
    ) {
      if (performance.now() > deadline) throw new Error(`${what}: no writes within 60 s.`);
      await delay(20);
    }
    measured.forward.push(clients.forward.longestGap());
    measured.direct.push(clients.direct.longestGap());
    measured.failedConnections += clients.forward.failedConnections();
    process.stderr.write(
      `${what} ${round + 1}/${runs}: ${measured.forward.at(-1)?.toFixed(0)} ms forwarded, ${measured.direct.at(-1)?.toFixed(0)} ms direct\n`,
    );
  }
  return measured;
};

/** How long writes are refused, as a client of the balancer and as one that connects to the nodes themselves see it. */
export const writesRefused = async (): Promise<Figure[]> => {
  const lab = await startLab();
  const all: Client[] = [];
  try {
    await lab.waitHealthy();
    await makeTable(lab);
    const balancer = async (): Promise<readonly SqlLogin[]> => [await lab.login("write")];
    const nodes = async (): Promise<readonly SqlLogin[]> => {
      const login = await lab.login("write");
      return (await lab.nodes()).map(({ address }) => ({ ...login, place: { host: address, port: ports.mysql } }));
    };
    for (let n = 0; n < writers; n += 1) {
      all.push(startClient(`writer${n}`, balancer, (1000 * writers) / writesPerSecond));
    }
    const forward = startClient("forward", balancer, 4);
    const direct = startClient("direct", nodes, 4);
    all.push(forward, direct);
    const clients = { forward, direct };
    const switchover = await measure(lab, "switchover", clients, async (round) => {
      const { replicas } = await primaryOf(lab);
      const target = replicas[round % replicas.length];
      const id = await beginSwitchover(lab, target?.name ?? "", { target: target?.instanceId ?? "" });
      const { state, failure_message } = await ended(lab, id);
      if (state !== "succeeded") throw new Error(`The switchover ended as ${state}: ${failure_message}`);
    });
    const mysqldKilled = await measure(lab, "mysqld killed", clients, async () => {
      const { primary } = await primaryOf(lab);
      await lab.machine(primary.name).killProcess("mysqld");
      await delay(2000);
    });
    const nodeKilled = await measure(lab, "node killed", clients, async () => {
      const { primary } = await primaryOf(lab);
      await lab.machine(primary.name).kill();
      await delay(8000);
      await lab.machine(primary.name).start();
    });
    await Promise.all(all.map((client) => client.stop()));
    const lost = await lostWrites(lab, all);
    process.stderr.write(
      `acknowledged writes: ${all.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0)}, lost: ${lost}; ` +
        `failed new connections through the balancer: switchover ${switchover.failedConnections}, mysqld ${mysqldKilled.failedConnections}, node ${nodeKilled.failedConnections}\n`,
    );
    const figures = (name: string, measured: Measured, goal: number, goalAt: "p50" | "p99"): Figure[] => [
      {
        name: `${name}, through the balancer`,
        unit: "ms",
        measured: measured.forward,
        baseline: { name: "floor", measured: measured.floor },
        goal,
        goalAt,
      },
      {
        name: `${name}, direct connections`,
        unit: "ms",
        measured: measured.direct,
        baseline: { name: "floor", measured: measured.floor },
      },
    ];
    return [
      ...figures("writes refused at a switchover", switchover, 60, "p50"),
      ...figures("the same, its p99", switchover, 200, "p99").slice(0, 1),
      ...figures("writes refused when mysqld is killed", mysqldKilled, 1000, "p99"),
      ...figures("writes refused when the primary's node is killed", nodeKilled, 4500, "p99"),
    ];
  } finally {
    await Promise.all(all.map((client) => client.stop()));
    await lab.down();
  }
};

const lostWrites = async (lab: Lab, clients: readonly Client[]): Promise<number> => {
  const { primary } = await primaryOf(lab);
  const result = await lab.sql(primary.name, "SELECT k FROM app.bench");
  const there = new Set("rows" in result ? result.rows.map((row) => String(row.k)) : []);
  return clients.flatMap(({ acknowledged }) => acknowledged).filter((key) => !there.has(key)).length;
};
