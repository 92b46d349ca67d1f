/** How a write ended for its client. `unknown`: the connection was lost, or nobody answered, while it was under way. */
export type Outcome = "acknowledged" | "refused" | "unknown";

/** One write: one row, in a transaction of its own. Times are milliseconds on one monotonic clock. */
export interface Write {
  readonly writer: number;
  readonly sequence: number;
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly outcome: Outcome;
  /** Uuid of the server whose session carried it. */
  readonly server: string;
}

/** One time of a server as the recorded primary, in the order of their fences. */
export interface Reign {
  readonly server: string;
  readonly fence: number;
  /** The record did not say so before: the last look that saw it otherwise was sent then. */
  readonly notBefore: number;
}

/** A row that a node has. */
export interface Row {
  readonly writer: number;
  readonly sequence: number;
}

/** What must not be. */
export interface Violation {
  readonly kind: "lost" | "phantom" | "two-writers" | "diverged" | "not-healthy" | "stuck-operation";
  /** In words for people, with times and names. */
  readonly message: string;
}
