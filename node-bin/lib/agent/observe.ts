import { estimateLag } from "../cluster/lag.ts";
import { monotonicMs } from "../host/wait.ts";
import { MysqlError } from "../mysql/connection.ts";
import type { AgentContext } from "./context.ts";
import type { SeenMysql } from "./state.ts";

/** What the system says when no mysqld listens. One that hangs lets the log-in time out, one that is full answers with a number. */
const nobodyListens = new Set(["ECONNREFUSED", "ENOENT"]);

/** Looks at mysqld and keeps what was seen. One that does not answer is a result too, not an error. */
export const observeMysql = async (context: AgentContext): Promise<void> => {
  const { mysql, state } = context;
  const began = monotonicMs();
  let dead = false;
  const observe = () => mysql.observe();
  const seen = await observe()
    // A session that was lost says little about its server; the second look makes a new one. One that hangs is not asked twice.
    .catch((error: unknown) => {
      if (error instanceof MysqlError) return observe();
      throw error;
    })
    .then(
      (observed): SeenMysql => ({ ...observed, up: true }),
      (error: unknown): SeenMysql => {
        dead = error instanceof MysqlError && nobodyListens.has(error.code);
        return { up: false, error: error instanceof Error ? error.message : String(error) };
      },
    );
  // Two looks may be under way at once; the one that began later saw the newer state.
  if (began < state.mysqlAt) return;
  state.mysql = seen;
  state.mysqlAt = began;
  state.mysqldDead = dead;
  if (seen.replication) {
    const { replication, known } = estimateLag(seen.replication, state.knownLag, began);
    state.mysql = { ...seen, replication };
    state.knownLag = known;
  }
};
