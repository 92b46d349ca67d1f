import { setTimeout as delay } from "node:timers/promises";
import type { Connection } from "mysql2/promise";
import { expect } from "vitest";
import type { Lab } from "#lab/lab.ts";
import { connect } from "#lab/sql.ts";
import { roles, value } from "./lab-fixture.ts";

/** Clients that write through the balancer, and remember what was acknowledged. */
export interface Writing {
  acknowledged(): number;
  /** Longest time without an acknowledgement since the last call, milliseconds. */
  longestGap(): number;
  /** Ends them; answers the keys that were acknowledged. */
  stop(): Promise<string[]>;
}

/** The table that writers write to. */
export const makeTable = (lab: Lab): Promise<unknown> =>
  lab.sql("write", "CREATE TABLE app.written (k VARCHAR(40) PRIMARY KEY)");

/** Starts clients that write one row after the other, and connect again when they lose their session. */
export const startWriting = (lab: Lab, clients = 4, pauseMs = 20): Writing => {
  const keys: string[] = [];
  let last = performance.now();
  let gap = 0;
  let going = true;
  const run = `${Date.now() % 1_000_000}`;
  const client = async (n: number): Promise<void> => {
    let connection: Connection | undefined;
    for (let i = 0; going; i++) {
      const key = `${run}-${n}-${i}`;
      try {
        connection ??= await connect(await lab.login("write"));
        await connection.query({ sql: "INSERT INTO app.written (k) VALUES (?)", values: [key], timeout: 15_000 });
        keys.push(key);
        const now = performance.now();
        gap = Math.max(gap, now - last);
        last = now;
        await delay(pauseMs);
      } catch {
        connection?.destroy();
        connection = undefined;
        await delay(10);
      }
    }
    connection?.destroy();
  };
  const all = Promise.all(Array.from({ length: clients }, (_, n) => client(n)));
  return {
    acknowledged: () => keys.length,
    longestGap: () => {
      const longest = Math.max(gap, performance.now() - last);
      gap = 0;
      last = performance.now();
      return longest;
    },
    stop: async () => {
      going = false;
      await Promise.race([all, delay(20_000)]);
      return keys;
    },
  };
};

/** Every acknowledged key is on the primary, and on every replica once it has caught up. */
export const expectAllThere = async (lab: Lab, keys: readonly string[]): Promise<void> => {
  const { primary, replicas } = await roles(lab);
  const there = async (name: string): Promise<Set<string>> => {
    const result = await lab.sql(name, "SELECT k FROM app.written");
    if (!("rows" in result)) throw new Error("no rows");
    return new Set(result.rows.map((row) => String(row.k)));
  };
  const onPrimary = await there(primary.name);
  expect(
    keys.filter((key) => !onPrimary.has(key)),
    "acknowledged, and not on the primary",
  ).toEqual([]);
  const set = (await value(lab, primary.name, "SELECT @@global.gtid_executed")).replaceAll(/\s/g, "");
  for (const replica of replicas) {
    await lab.waitUntil(
      `${replica.name} has what the primary has`,
      async () =>
        (await value(lab, replica.name, `SELECT GTID_SUBSET('${set}', @@global.gtid_executed)`)) === "1" || "not yet",
      30_000,
    );
    const onReplica = await there(replica.name);
    expect(
      keys.filter((key) => !onReplica.has(key)),
      `acknowledged, and not on ${replica.name}`,
    ).toEqual([]);
  }
};
