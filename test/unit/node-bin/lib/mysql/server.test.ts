import { describe, expect, it } from "vitest";
import type { MysqlConnection, Row } from "#node/lib/mysql/connection.ts";
import type { IncarnationSource } from "#node/lib/mysql/incarnation.ts";
import { makeMysqlServer } from "#node/lib/mysql/server.ts";

const uuid = "eb39ebf2-e5b6-11f1-8b85-02fc00000001";

interface FakeState {
  receiver: string;
  applier: string;
  received: string;
  acknowledges: boolean;
  status: boolean;
}

/** A mysqld of the test: answers what the port reads, and does what `acts` says to a statement. */
const fakeMysqld = (state: FakeState, acts: Readonly<Record<string, () => void>> = {}) => {
  const changes: string[] = [];
  const answer = (sql: string): Row[] => {
    if (sql.startsWith("SELECT @@version")) {
      return [{ v: "9.7.4", u: uuid, l: "0", p: "16384", d: "/data/", f: "/data/pid", b: null }];
    }
    if (sql.startsWith("SHOW GLOBAL VARIABLES")) return [{ Variable_name: "a" }, { Variable_name: "b" }];
    if (sql.startsWith("SHOW GLOBAL STATUS")) {
      return [{ Variable_name: "Rpl_semi_sync_replica_status", Value: state.status ? "ON" : "OFF" }];
    }
    if (sql === "SHOW REPLICA STATUS") {
      return [
        {
          Source_Host: "10.1.0.5",
          Replica_IO_Running: state.receiver,
          Replica_SQL_Running: state.applier,
          Auto_Position: "1",
          Retrieved_Gtid_Set: state.received,
        },
      ];
    }
    if (sql.includes("rpl_semi_sync_replica_enabled AS value")) return [{ value: state.acknowledges ? "1" : "0" }];
    if (sql.startsWith("SELECT")) return [{ id: "1", ro: "1", sro: "1", executed: "", purged: "" }];
    return [];
  };
  const connect = async (): Promise<MysqlConnection> => ({
    id: 1,
    usable: () => true,
    close: async () => {},
    query: async (sql) => {
      if (!/^(SELECT|SHOW|SET SESSION)/.test(sql)) changes.push(sql.split(" SOURCE_HOST")[0] ?? "");
      acts[sql.split(" SOURCE_HOST")[0] ?? ""]?.();
      return answer(sql);
    },
  });
  return { connect, changes };
};

const running = (): FakeState => ({
  receiver: "Yes",
  applier: "Yes",
  received: `${uuid}:1-9`,
  acknowledges: false,
  status: false,
});
const source = { host: "10.1.0.6", port: 3306, user: "repl_2", password: "replication-password", tls: true };

/** Counts lives instead of reading them. */
const fakeIncarnation = (): IncarnationSource & { life: number } => {
  const self = {
    life: 1,
    current: async () => `life ${self.life}`,
    discarding: async <T>(work: () => Promise<T>): Promise<T> => {
      self.life++;
      try {
        return await work();
      } finally {
        self.life++;
      }
    },
  };
  return self;
};

describe("an observation", () => {
  it("never goes under the name of another life than the one that was looked at", async () => {
    const lives = ["one", "two", "two", "two"];
    const seen: string[] = [];
    const incarnation: IncarnationSource = {
      current: async () => {
        const life = lives.shift() ?? "none";
        seen.push(life);
        return life;
      },
      discarding: (work) => work(),
    };
    const { connect } = fakeMysqld(running());
    const observation = await makeMysqlServer({ connect, incarnation }).observe();
    expect(observation.incarnation).toBe("two");
    expect(seen).toEqual(["one", "two", "two", "two"]);
  });

  it("is none when the lives follow each other without end", async () => {
    let life = 0;
    const incarnation: IncarnationSource = { current: async () => String(life++), discarding: (work) => work() };
    const { connect } = fakeMysqld(running());
    await expect(makeMysqlServer({ connect, incarnation }).observe()).rejects.toThrow(/incarnation changed/);
  });
});

describe("switching acknowledging", () => {
  it.each([true, false])("to %s is done while nothing is received", async (on) => {
    const state = { ...running(), acknowledges: !on, status: !on };
    const { connect, changes } = fakeMysqld(state);
    await makeMysqlServer({ connect }).setAcknowledging(on);
    expect(changes).toEqual([
      "STOP REPLICA IO_THREAD",
      `SET GLOBAL rpl_semi_sync_replica_enabled = ${on ? "ON" : "OFF"}`,
      "START REPLICA IO_THREAD",
    ]);
  });

  it("that breaks off leaves the receiver stopped, not one that does other than it says", async () => {
    const { connect, changes } = fakeMysqld(running(), {
      "SET GLOBAL rpl_semi_sync_replica_enabled = ON": () => {
        throw new Error("lost");
      },
    });
    await expect(makeMysqlServer({ connect }).setAcknowledging(true)).rejects.toThrow("lost");
    expect(changes).not.toContain("START REPLICA IO_THREAD");
  });

  it("does not start a receiver that was stopped", async () => {
    const { connect, changes } = fakeMysqld({ ...running(), receiver: "No" });
    await makeMysqlServer({ connect }).setAcknowledging(true);
    expect(changes).toEqual(["SET GLOBAL rpl_semi_sync_replica_enabled = ON"]);
  });

  it("does nothing where it is so already", async () => {
    const { connect, changes } = fakeMysqld({ ...running(), acknowledges: true, status: true });
    await makeMysqlServer({ connect }).setAcknowledging(true);
    expect(changes).toEqual([]);
  });
});

describe("the incarnation", () => {
  it.each(["configureSource", "resetReplication"] as const)(
    "has changed before %s and changes again after it",
    async (what) => {
      const incarnation = fakeIncarnation();
      let atChange = 0;
      const note = (): void => {
        atChange = incarnation.life;
      };
      const { connect } = fakeMysqld(
        { ...running(), receiver: "No", applier: "No" },
        {
          "CHANGE REPLICATION SOURCE TO": note,
          "RESET REPLICA ALL": note,
        },
      );
      const server = makeMysqlServer({ connect, incarnation });
      await (what === "configureSource" ? server.configureSource(source) : server.resetReplication());
      expect([atChange, incarnation.life]).toEqual([2, 3]);
    },
  );

  it("stays when a source is changed and the relay logs are kept", async () => {
    const incarnation = fakeIncarnation();
    const { connect } = fakeMysqld({ ...running(), receiver: "No" });
    await makeMysqlServer({ connect, incarnation }).changeSourceKeepingRelayLogs(source);
    expect(incarnation.life).toBe(1);
  });

  it("changes when the applier stopped just before a source was changed, and the relay logs went with it", async () => {
    const incarnation = fakeIncarnation();
    const state = { ...running(), receiver: "No" };
    const { connect } = fakeMysqld(state, {
      "CHANGE REPLICATION SOURCE TO": () => {
        state.received = "";
      },
    });
    await expect(makeMysqlServer({ connect, incarnation }).changeSourceKeepingRelayLogs(source)).rejects.toMatchObject({
      reason: "replication-broken",
      message: expect.stringContaining(`${uuid}:1-9`),
    });
    expect(incarnation.life).toBeGreaterThan(1);
  });

  it.each([
    ["the receiver runs", { receiver: "Yes" }],
    ["the receiver is connecting", { receiver: "Connecting" }],
    ["the applier is stopped", { receiver: "No", applier: "No" }],
  ])("is not put at risk: a source is not changed while %s", async (_, change) => {
    const { connect, changes } = fakeMysqld({ ...running(), ...change });
    await expect(makeMysqlServer({ connect }).changeSourceKeepingRelayLogs(source)).rejects.toMatchObject({
      reason: "replication-broken",
    });
    expect(changes).toEqual([]);
  });
});
