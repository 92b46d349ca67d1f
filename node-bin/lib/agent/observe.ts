import { messageOf } from "#contract/failure-reasons.ts";
import { estimateLag } from "../cluster/lag.ts";
import { monotonicMs, pause } from "../host/wait.ts";
import { MysqlError } from "../mysql/connection.ts";
import type { AgentContext } from "./context.ts";
import type { SeenMysql } from "./state.ts";

/** What the system says when no mysqld listens. One that hangs lets the log-in time out, one that is full answers with a number. */
const nobodyListens = new Set(["ECONNREFUSED", "ENOENT"]);

/** How often a session that breaks off is tried again: a server that is being killed resets connections before it refuses them. */
const tries = 10;
const betweenTriesMs = 25;

/** Looks at mysqld and keeps what was seen. One that does not answer is a result too, not an error. */
export const observeMysql = async (context: AgentContext): Promise<void> => {
  const { mysql, state } = context;
  const began = monotonicMs();
  let dead = false;
  const observe = async () => {
    for (let n = 1; ; n++) {
      try {
        return await mysql.observe();
      } catch (error) {
        // One that hangs is not asked twice, and one that is not there or answers with a number has answered.
        const broken = error instanceof MysqlError && error.errno === 0 && !nobodyListens.has(error.code);
        if (!broken || n === tries) throw error;
        await pause(betweenTriesMs, context.signal);
      }
    }
  };
  const seen = await observe().then(
    (observed): SeenMysql => ({ ...observed, up: true }),
    (error: unknown): SeenMysql => {
      dead = error instanceof MysqlError && nobodyListens.has(error.code);
      return { up: false, error: messageOf(error) };
    },
  );
  // Two looks may be under way at once; the one that began later saw the newer state.
  if (began < state.mysqlAt) return;
  state.mysql = seen;
  state.mysqlAt = began;
  if (seen.up) state.mysqlUpAt = began;
  state.mysqldDead = dead;
  if (seen.replication) {
    const { replication, known } = estimateLag(seen.replication, state.knownLag, began);
    state.mysql = { ...seen, replication };
    state.knownLag = known;
  }
};
