import type { Clock } from "#actions/lib/clock.ts";
import { forPeople } from "#actions/lib/duration.ts";
import type { NodeAnswer } from "#actions/lib/run-command.ts";
import { Failure, messageOf } from "#contract/failure-reasons.ts";
import { isLive, type OperationRecord } from "#contract/operation.ts";
import { goesOn, type OperationName } from "./attach.ts";
import { heartbeatLine, progressLines } from "./progress.ts";

/** What following an operation reads and does. */
export interface FollowSources {
  /** The record, by a consistent read. */
  read(): Promise<OperationRecord | undefined>;
  /** Has a node complete or undo the operation when nobody runs it; a node that finds it running leaves it alone. */
  resume(instanceId: string): Promise<NodeAnswer>;
}

/** How the request to begin it went; undefined while that is open. */
export type Start = { readonly begun: true } | { readonly begun: false; readonly failure: Failure };

/** What `follow` needs besides the sources. */
export interface FollowOptions extends OperationName {
  readonly clock: Clock;
  /** Ends the watching, not the operation. */
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  /** For how long it is watched, milliseconds. */
  readonly limitMs: number;
  /** Nodes that may be asked to resume it, best first. */
  readonly helpers: (record: OperationRecord) => readonly string[];
  /** Given by the run that began it. */
  readonly start?: () => Start | undefined;
  /** Ends the record of an operation that no node begins; false when it was changed meanwhile. */
  readonly endUnbegun?: (record: OperationRecord, failure: Failure) => Promise<boolean>;
}

/** Milliseconds. */
export const followTimings = {
  pollEvery: 1000,
  /** A live record that stays the same for so long has lost its runner. */
  staleAfter: 20_000,
  sayEvery: 60_000,
  /** How long the store may be away before the watching is given up. */
  awayFor: 120_000,
} as const;

/**
 * Watches an operation until it has ended, and says each change. When nobody runs it any more, other nodes are asked to take it over.
 *
 * @throws a Failure that says that the operation goes on, and how to attach: the signal's, `timed-out`, `permission-denied` when
 * credentials end, `store-unavailable`. `start`'s failure when no node began it; its record is then ended.
 */
export async function follow(sources: FollowSources, options: FollowOptions): Promise<OperationRecord> {
  const ended = await untilEnded(sources, options).catch((error: unknown) => {
    throw error instanceof Failure ? goesOn(error, options) : error;
  });
  if (ended instanceof Failure) throw ended;
  return ended;
}

async function untilEnded(sources: FollowSources, options: FollowOptions): Promise<OperationRecord | Failure> {
  const { clock, signal, log, limitMs, operationId } = options;
  const beganAt = clock.now();
  const help = helping(sources, options);
  let before: OperationRecord | undefined;
  let changedAt = beganAt;
  let saidAt = beganAt;
  let answeredAt = beganAt;
  const say = (line: string): void => {
    saidAt = clock.now();
    log(line);
  };
  for (;;) {
    const record = await readOnce();
    const now = clock.now();
    if (record !== undefined) {
      answeredAt = now;
      if (before?.rvn !== record.rvn) changedAt = now;
      for (const line of progressLines(before, record)) say(line);
      before = record;
      if (!isLive(record)) return record;
      // A begin that ended with the watching is no reason to end the record.
      signal.throwIfAborted();
      const start = options.start?.();
      const pending = options.start !== undefined && start === undefined;
      if (start?.begun === false && record.state === "created") {
        if ((await options.endUnbegun?.(record, start.failure)) === true) return start.failure;
      } else if (!pending && now - changedAt >= followTimings.staleAfter) {
        help(record, now, now - changedAt);
      }
      if (now - saidAt >= followTimings.sayEvery) say(heartbeatLine(record, now - beganAt));
    }
    if (now - beganAt >= limitMs) {
      throw new Failure("timed-out", {
        message: `The operation ${operationId} was watched for ${forPeople(limitMs)} and has not ended.`,
      });
    }
    await clock.sleep(followTimings.pollEvery, signal);
  }

  /** Undefined when the store does not answer, which is borne for a while: the operation goes on meanwhile. */
  async function readOnce(): Promise<OperationRecord | undefined> {
    try {
      const record = await sources.read();
      if (record !== undefined) return record;
    } catch (error) {
      const borne = error instanceof Failure && error.reason === "store-unavailable";
      if (!borne || clock.now() - answeredAt >= followTimings.awayFor) throw error;
      if (clock.now() - saidAt >= followTimings.sayEvery) say(`${operationId}: ${error.message} It is read again.`);
      return undefined;
    }
    throw new Failure("unknown-operation", { message: `There is no record of the operation ${operationId}.` });
  }
}

/** Asks one node after the other to take the operation over, each time the record has stood still for long enough. */
function helping(
  { resume }: FollowSources,
  { log, helpers, operationId }: FollowOptions,
): (record: OperationRecord, now: number, unchangedMs: number) => void {
  let asked = 0;
  let askedAt = Number.NEGATIVE_INFINITY;
  return (record, now, unchangedMs) => {
    if (now - askedAt < followTimings.staleAfter) return;
    askedAt = now;
    const nodes = helpers(record);
    const node = nodes[asked++ % Math.max(1, nodes.length)];
    if (asked === 1) {
      log(
        `${operationId}: its record has stood still for ${forPeople(unchangedMs)}: ${record.node ?? "its node"} may be dead; another node is asked to complete or undo it`,
      );
    }
    if (node === undefined) return log(`${operationId}: there is no other node to ask`);
    // The record tells what came of it; nobody waits for the answer.
    void resume(node).then(
      (answer) =>
        log(`${operationId}: ${node} ${answer.ok ? "has looked after it" : `did not help: ${answer.detail}`}`),
      (error: unknown) => log(`${operationId}: ${node} could not be asked: ${messageOf(error)}`),
    );
  };
}
