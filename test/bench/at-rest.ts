import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { units } from "#contract/names.ts";
import { ports } from "#contract/ports.ts";
import { type Lab, startLab } from "#lab/lab.ts";
import { connect, type SqlLogin } from "#lab/sql.ts";
import type { Figure } from "./figures.ts";

/** Clock ticks a second, as Linux tells them to programs. */
const ticks = 100;
/** Memory is looked at after both, three minutes after the cluster became healthy: until then some of it is that of the start. */
const settleSeconds = 120;
const idleSeconds = 60;
const rounds = 10;
const statements = 200;

const cpuSeconds = async (pid: number): Promise<number> => {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticks;
};

const residentMegabytes = async (pid: number): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
};

/** p50 of statements one after the other, milliseconds. */
const latency = async (login: SqlLogin, sql: string): Promise<number> => {
  const connection = await connect(login);
  const times: number[] = [];
  for (let n = 0; n < statements; n += 1) {
    const began = performance.now();
    await connection.query(sql);
    times.push(performance.now() - began);
  }
  connection.destroy();
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)] ?? Number.NaN;
};

/** Statements a second of eight clients at once. */
const throughput = async (login: SqlLogin, sql: string): Promise<number> => {
  const connections = await Promise.all(Array.from({ length: 8 }, () => connect(login)));
  const until = performance.now() + 1500;
  let done = 0;
  await Promise.all(
    connections.map(async (connection) => {
      while (performance.now() < until) {
        await connection.query(sql);
        done += 1;
      }
    }),
  );
  for (const connection of connections) connection.destroy();
  return done / 1.5;
};

interface Agent {
  readonly pid: number;
  readonly role: "primary" | "replica";
}

const agentsOf = async (lab: Lab): Promise<Agent[]> => {
  const record = await lab.topology();
  return (await lab.nodes()).flatMap(({ name, instanceId }) => {
    const pid = lab.machine(name).machine.unitState(units.agent)?.mainPid;
    return pid === undefined || pid === 0
      ? []
      : [{ pid, role: instanceId === record?.instance_id ? "primary" : "replica" }];
  });
};

/** What the agent and the forwarder cost while nothing happens. */
export const atRest = async (): Promise<Figure[]> => {
  const lab = await startLab();
  try {
    await lab.waitHealthy();
    await lab.sql("write", "CREATE TABLE app.rest (id BIGINT PRIMARY KEY AUTO_INCREMENT)");
    await delay(settleSeconds * 1000);
    const agents = await agentsOf(lab);
    const before = await Promise.all(agents.map(({ pid }) => cpuSeconds(pid)));
    await delay(idleSeconds * 1000);
    const after = await Promise.all(agents.map(({ pid }) => cpuSeconds(pid)));
    const percent = after.map((seconds, n) => ((seconds - (before[n] ?? 0)) * 100) / idleSeconds);
    const memory = await Promise.all(agents.map(({ pid }) => residentMegabytes(pid)));
    const of = (role: Agent["role"], values: readonly number[]): number[] =>
      values.filter((_value, n) => agents[n]?.role === role);

    const record = await lab.topology();
    const primary = (await lab.nodes()).find((node) => node.instanceId === record?.instance_id);
    const login = await lab.login("write");
    const at = (port: number): SqlLogin => ({ ...login, place: { host: primary?.address ?? "", port } });
    const direct = at(ports.mysql);
    const forwarded = at(ports.forwardWrite);
    const insert = "INSERT INTO app.rest () VALUES ()";
    const withAgent: number[] = [];
    const withoutAgent: number[] = [];
    const selects: { direct: number[]; forwarded: number[] } = { direct: [], forwarded: [] };
    const inserts: { direct: number[]; forwarded: number[] } = { direct: [], forwarded: [] };
    for (let round = 0; round < rounds; round += 1) {
      withAgent.push(await latency(direct, insert));
      selects.direct.push(await latency(direct, "SELECT 1"));
      selects.forwarded.push(await latency(forwarded, "SELECT 1"));
      inserts.direct.push(await throughput(direct, insert));
      inserts.forwarded.push(await throughput(forwarded, insert));
      // A lease goes stale meanwhile, and nobody is there to take it over.
      for (const { name } of await lab.nodes()) await lab.machine(name).killProcess("agent", "SIGSTOP");
      withoutAgent.push(await latency(direct, insert));
      for (const { name } of await lab.nodes()) await lab.machine(name).killProcess("agent", "SIGCONT");
      await delay(1500);
    }
    const added = selects.forwarded.map((ms, n) => ms - (selects.direct[n] ?? 0));
    const ratio = inserts.forwarded.map((rate, n) => (rate / (inserts.direct[n] ?? 1)) * 100);
    return [
      { name: "the primary's agent at rest: share of a core", unit: "%", measured: of("primary", percent), goal: 0.5 },
      { name: "a replica's agent at rest: share of a core", unit: "%", measured: of("replica", percent), goal: 0.5 },
      { name: "the primary's agent at rest: resident memory", unit: "MB", measured: of("primary", memory), goal: 80 },
      { name: "a replica's agent at rest: resident memory", unit: "MB", measured: of("replica", memory), goal: 80 },
      {
        name: "a commit on the primary, with the agents running",
        unit: "ms",
        measured: withAgent,
        baseline: { name: "agents stopped", measured: withoutAgent },
      },
      { name: "what the forwarder adds to a round trip", unit: "ms", measured: added, goal: 0.2 },
      {
        name: "commits a second through the forwarder, of those without it",
        unit: "%",
        measured: ratio,
        goal: 90,
        more: true,
      },
    ];
  } finally {
    await lab.down();
  }
};
