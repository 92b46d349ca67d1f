import { describe, expect, it } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { type MysqlConnection, MysqlError, type Row } from "#node/lib/mysql/connection.ts";
import { makeSessions } from "#node/lib/mysql/sessions.ts";

/** What a server of the test answers; a rejection is an error of the statement. */
type Answer = (sql: string, session: number) => Promise<Row[]>;

const fakeServer = (answer: Answer) => {
  const log: string[] = [];
  const open = new Map<number, boolean>();
  let last = 0;
  const connect = async (): Promise<MysqlConnection> => {
    const id = ++last;
    open.set(id, true);
    return {
      id,
      usable: () => open.get(id) === true,
      query: async (sql) => {
        log.push(`${id} ${sql.replace(/^SET SESSION sql_mode.*/, "prepare")}`);
        try {
          return await answer(sql, id);
        } catch (error) {
          if (error instanceof Failure && error.reason === "timed-out") open.set(id, false);
          throw error;
        }
      },
      close: async () => {
        log.push(`${id} close`);
        open.set(id, false);
      },
    };
  };
  return { connect, log, lose: (id: number) => open.set(id, false) };
};

const timedOut = (): Failure => new Failure("timed-out", { message: "no answer" });
const nothing: Answer = async () => [];

describe("sessions", () => {
  it("are kept, one for looking and one for changing, and every one is prepared first", async () => {
    const server = fakeServer(nothing);
    const sessions = makeSessions(server.connect);
    await sessions.reading(({ query }) => query("SELECT 1"));
    await sessions.changing(({ query }) => query("CHANGE"));
    await sessions.reading(({ query }) => query("SELECT 2"));
    expect(server.log).toEqual(["1 prepare", "1 SELECT 1", "2 prepare", "2 CHANGE", "1 SELECT 2"]);
  });

  it("that were lost are replaced by others, under another key", async () => {
    const server = fakeServer(nothing);
    const sessions = makeSessions(server.connect);
    const first = await sessions.reading(async ({ key }) => key);
    expect(await sessions.reading(async ({ key }) => key)).toBe(first);
    server.lose(1);
    expect(await sessions.reading(async ({ key }) => key)).not.toBe(first);
    expect(sessions.isOurs(1)).toBe(false);
    expect(sessions.isOurs(2)).toBe(true);
  });

  it("let nobody look between the statements of one piece of work", async () => {
    const server = fakeServer(nothing);
    const sessions = makeSessions(server.connect);
    const work = (name: string) =>
      sessions.changing(async ({ query }) => {
        await query(`${name} 1`);
        await query(`${name} 2`);
      });
    await Promise.all([work("a"), work("b")]);
    expect(server.log.slice(1)).toEqual(["1 a 1", "1 a 2", "1 b 1", "1 b 2"]);
  });

  it("go on after work that failed", async () => {
    const server = fakeServer(nothing);
    const sessions = makeSessions(server.connect);
    const failed = sessions.changing(async () => {
      throw new Error("refused");
    });
    const next = sessions.changing(async () => "done");
    await expect(failed).rejects.toThrow("refused");
    expect(await next).toBe("done");
  });
});

describe("a change that was given up", () => {
  it("is killed at the server, by the session that reads, before anybody hears of it", async () => {
    let asked = 0;
    const server = fakeServer(async (sql) => {
      if (sql === "CHANGE") throw timedOut();
      // The killed session is there for a moment longer.
      if (sql === "SHOW PROCESSLIST") return asked++ === 0 ? [{ Id: "1" }] : [{ Id: "2" }];
      return [];
    });
    const sessions = makeSessions(server.connect);
    await expect(sessions.changing(({ query }) => query("CHANGE"))).rejects.toMatchObject({ reason: "timed-out" });
    expect(server.log).toEqual([
      "1 prepare",
      "1 CHANGE",
      "2 prepare",
      "2 KILL 1",
      "2 SHOW PROCESSLIST",
      "2 SHOW PROCESSLIST",
    ]);
  });

  it("is reported as such when the server does not answer the kill either", async () => {
    const server = fakeServer(async (sql) => {
      if (sql === "CHANGE" || sql.startsWith("KILL")) throw timedOut();
      return [];
    });
    const sessions = makeSessions(server.connect);
    await expect(sessions.changing(({ query }) => query("CHANGE"))).rejects.toMatchObject({ message: "no answer" });
  });

  it("is killed by one session only: a look that was given up changes nothing", async () => {
    const server = fakeServer(async (sql) => {
      if (sql === "LOOK") throw timedOut();
      return [];
    });
    const sessions = makeSessions(server.connect);
    await expect(sessions.reading(({ query }) => query("LOOK"))).rejects.toMatchObject({ reason: "timed-out" });
    expect(server.log).toEqual(["1 prepare", "1 LOOK"]);
  });
});

describe("a session of its own", () => {
  it("has its variables, and ends with its work, also with work that fails", async () => {
    const server = fakeServer(nothing);
    const sessions = makeSessions(server.connect);
    await expect(
      sessions.own({ sql_log_bin: 0, lock_wait_timeout: 9 }, async ({ query }) => {
        await query("WORK");
        throw new Error("refused");
      }),
    ).rejects.toThrow("refused");
    expect(server.log).toEqual([
      "1 prepare",
      "1 SET SESSION sql_log_bin = 0, lock_wait_timeout = 9",
      "1 WORK",
      "1 close",
    ]);
    expect(sessions.isOurs(1)).toBe(false);
  });

  it("that cannot be prepared is not left open", async () => {
    const server = fakeServer(async () => {
      throw new MysqlError("no", 1, "NO");
    });
    await expect(makeSessions(server.connect).own({}, async () => {})).rejects.toThrow("no");
    expect(server.log).toEqual(["1 prepare", "1 close"]);
  });
});

describe("killing", () => {
  it("a session that is gone already is no error; another error is", async () => {
    const gone = fakeServer(async (sql) => {
      if (sql === "KILL QUERY 7") throw new MysqlError("unknown thread", 1094, "ER_NO_SUCH_THREAD");
      if (sql === "KILL 8") throw new MysqlError("not allowed", 1095, "ER_KILL_DENIED_ERROR");
      return [];
    });
    const sessions = makeSessions(gone.connect);
    await sessions.kill(7, "statement");
    await expect(sessions.kill(8)).rejects.toThrow("not allowed");
  });
});
