import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ofOthers, subtract } from "#contract/gtid.ts";
import type { Lab } from "#lab/lab.ts";
import { connect } from "#lab/sql.ts";
import { loginAtPrimary, printJournalsOnFailure, roles, startTestLab, value } from "./lab-fixture.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await startTestLab();
  await lab.waitHealthy();
  await lab.sql("write", "CREATE TABLE app.written (id BIGINT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(20))");
});
afterAll(() => lab?.down());
beforeEach(() => printJournalsOnFailure(() => lab));

/** Writes without a pause through the balancer until it is stopped; answers how many writes were acknowledged. */
const writeWithoutPause = async (): Promise<() => Promise<number>> => {
  const connection = await connect(await loginAtPrimary(lab));
  let going = true;
  let acknowledged = 0;
  let failure: unknown;
  const done = (async () => {
    while (going) {
      await connection.query("INSERT INTO app.written (note) VALUES ('x')");
      acknowledged += 1;
    }
  })().catch((error: unknown) => {
    failure = error;
  });
  return async () => {
    going = false;
    await done;
    connection.destroy();
    if (failure) throw failure;
    return acknowledged;
  };
};

const listed = async (): Promise<string[]> => (await roles(lab)).record.ackers.map((acker) => acker.instance_id);

describe("while clients write without a pause", () => {
  it("an acker whose node loses power is refused and taken off the list, and is listed again when it is back", async () => {
    const [lost, kept] = (await roles(lab)).replicas;
    const stop = await writeWithoutPause();
    await lab.machine(lost?.name ?? "").kill();
    await lab.waitUntil(
      "only the other one is listed",
      async () => {
        const ids = await listed();
        return (ids.length === 1 && ids[0] === kept?.instanceId) || { seen: ids };
      },
      60_000,
    );
    const refused = await lab.sql(
      (await roles(lab)).primary.name,
      "SELECT user FROM mysql.user WHERE account_locked = 'Y' AND user LIKE 'repl\\_%'",
    );
    expect("rows" in refused ? refused.rows.length : 0).toBe(1);
    await lab.machine(lost?.name ?? "").start();
    await lab.waitUntil(
      "both are listed, the one that was away in its new incarnation",
      async () => {
        const status = await lab.status(lost?.name ?? "");
        const ids = await listed();
        return (
          (ids.length === 2 && status.record?.listed && status.mysql.semi_sync?.replica_enabled) || {
            seen: { ids, status },
          }
        );
      },
      90_000,
    );
    const acknowledged = await stop();
    expect(acknowledged).toBeGreaterThan(0);
    await lab.waitUntil(
      "every acknowledged write is on the one that was away",
      async () => {
        const rows = Number(await value(lab, lost?.name ?? "", "SELECT COUNT(*) FROM app.written"));
        return rows >= acknowledged || { seen: { rows, acknowledged } };
      },
      30_000,
    );
  });
});

describe("when no acker is left", () => {
  it("a commit waits, nobody is told that it is safe, and it ends when the ackers are back", async () => {
    await lab.waitHealthy();
    const { replicas } = await roles(lab);
    const connection = await connect(await loginAtPrimary(lab));
    await Promise.all(replicas.map((replica) => lab.machine(replica.name).kill()));
    let ended = false;
    const commit = connection.query("INSERT INTO app.written (note) VALUES ('waits')").then(() => {
      ended = true;
    });
    // Long past the moment at which the list would shrink if it were allowed to.
    await lab.waitUntil(
      "the primary says that the commit waits",
      async () => {
        const { mysql } = await lab.status((await roles(lab)).primary.name);
        return (mysql.semi_sync?.waiting ?? 0) > 0 || { seen: mysql.semi_sync };
      },
      30_000,
    );
    await delay(10_000);
    expect(ended).toBe(false);
    expect((await listed()).length).toBeGreaterThanOrEqual((await roles(lab)).record.wait_count);
    await Promise.all(replicas.map((replica) => lab.machine(replica.name).start()));
    await commit;
    connection.destroy();
    await lab.waitHealthy();
  });

  it("a commit that both replicas received before they lost power is not taken for theirs: they join, and it ends", async () => {
    const { primary, replicas } = await roles(lab);
    const connection = await connect(await loginAtPrimary(lab));
    // They receive, and their acknowledgements do not come through: their agents stand still, so nobody lists them anew.
    for (const replica of replicas) {
      await lab.machine(replica.name).killProcess("agent", "SIGSTOP");
      await lab.sql(replica.name, "STOP REPLICA IO_THREAD");
      await lab.sql(replica.name, "SET GLOBAL rpl_semi_sync_replica_enabled = OFF");
      await lab.sql(replica.name, "START REPLICA IO_THREAD");
    }
    let ended = false;
    const commit = connection.query("INSERT INTO app.written (note) VALUES ('received, waits')").then(() => {
      ended = true;
    });
    const uuid = await value(lab, primary.name, "SELECT @@server_uuid");
    await lab.waitUntil(
      "both replicas have executed what the primary has not",
      async () => {
        const theirs = await Promise.all(replicas.map((r) => value(lab, r.name, "SELECT @@global.gtid_executed")));
        const own = await value(lab, primary.name, "SELECT @@global.gtid_executed");
        return (
          theirs.every((set) => ofOthers(subtract(set, own), uuid) === "" && subtract(set, own) !== "") || {
            seen: { theirs, own },
          }
        );
      },
      30_000,
    );
    expect(ended).toBe(false);
    await Promise.all(replicas.map((replica) => lab.machine(replica.name).kill()));
    await Promise.all(replicas.map((replica) => lab.machine(replica.name).start()));
    await commit;
    connection.destroy();
    await lab.waitHealthy();
  });
});
