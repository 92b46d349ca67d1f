import { estimateLag } from "../cluster/lag.ts";
import { monotonicMs } from "../host/wait.ts";
import type { AgentContext } from "./context.ts";
import type { SeenMysql } from "./state.ts";

/** Looks at mysqld and keeps what was seen. One that does not answer is a result too, not an error. */
export const observeMysql = async (context: AgentContext): Promise<void> => {
  const { mysql, state } = context;
  const began = monotonicMs();
  const seen = await mysql.observe().then(
    (observed): SeenMysql => ({ ...observed, up: true }),
    (error: unknown): SeenMysql => ({ up: false, error: error instanceof Error ? error.message : String(error) }),
  );
  // Two looks may be under way at once; the one that began later saw the newer state.
  if (began < state.mysqlAt) return;
  state.mysql = seen;
  state.mysqlAt = began;
  if (seen.replication) {
    const { replication, known } = estimateLag(seen.replication, state.knownLag, began);
    state.mysql = { ...seen, replication };
    state.knownLag = known;
  }
};
