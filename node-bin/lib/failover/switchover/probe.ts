import type { MysqlConnection } from "../../mysql/connection.ts";
import type { Probe, ProbeReport } from "./context.ts";

/** What a probe client acts through. */
export interface ProbeParts {
  /** Connects the way clients do, or to each node in turn. */
  readonly places: readonly (() => Promise<MysqlConnection>)[];
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Who probes, for its row. */
  readonly name: string;
}

/** Between two writes, milliseconds: fine enough to measure a gap, and few enough to be nobody's load. */
const everyMs = 4;
const statementTimeoutMs = 5000;
/** How long the probe goes on at most, to see a write answered again, milliseconds. */
const patienceMs = 10_000;

/** The probe's own table; its writes are ordinary commits that wait for an acknowledgement. */
const table = "`percona_actions`.`probe`";

/** Writes without a pause until it is stopped, and measures the longest time without an answer. */
export const startProbe = async (parts: ProbeParts): Promise<Probe> => {
  const { name, now, places, sleep } = parts;
  let stopping = false;
  let errors = 0;
  let longest: number | undefined;
  let lastAnswer: number | undefined;
  let failedSinceAnswer = false;
  let connection: MysqlConnection | undefined;
  let place = 0;

  const write = async (): Promise<void> => {
    if (!connection?.usable()) {
      const connect = places[place % places.length];
      if (!connect) throw new Error("There is no place to write to.");
      connection = await connect();
    }
    await connection.query(`REPLACE INTO ${table} (node, at) VALUES (?, ?)`, [name, Math.round(now())], {
      timeoutMs: statementTimeoutMs,
    });
  };
  const answered = (): void => {
    const at = now();
    if (lastAnswer !== undefined) longest = Math.max(longest ?? 0, at - lastAnswer);
    lastAnswer = at;
    failedSinceAnswer = false;
  };
  const round = async (): Promise<void> => {
    try {
      await write();
      answered();
      await sleep(everyMs);
    } catch {
      errors += 1;
      failedSinceAnswer = true;
      place += 1;
      await connection?.close();
      connection = undefined;
      await sleep(1);
    }
  };
  // The first write may find its table missing.
  const first = places[0];
  if (first) {
    const setUp = await first();
    await setUp.query(
      `CREATE TABLE IF NOT EXISTS ${table} (node VARCHAR(64) NOT NULL PRIMARY KEY, at BIGINT NOT NULL)`,
      [],
      { timeoutMs: statementTimeoutMs },
    );
    await setUp.close();
  }
  const running = (async () => {
    let until = Number.POSITIVE_INFINITY;
    while (!stopping || (failedSinceAnswer && now() < until)) {
      if (stopping && until === Number.POSITIVE_INFINITY) until = now() + patienceMs;
      await round();
    }
    await connection?.close();
  })();
  return {
    stop: async (): Promise<ProbeReport> => {
      stopping = true;
      await running;
      return { refusedMs: longest, errors };
    },
  };
};
