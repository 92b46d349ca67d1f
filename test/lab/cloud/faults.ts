import * as v from "valibot";

/** Which calls a fault concerns. An absent field matches everything. */
export const FaultMatch = v.strictObject({
  /** The caller: an instance id, or `operator`. */
  principal: v.exactOptional(v.string()),
  /** Service as in the credential scope (`dynamodb`, `s3`, `secretsmanager`, …), or `imds` for the metadata service. */
  service: v.exactOptional(v.string()),
  /** Operation, for example `PutObject` or `UpdateItem`. */
  operation: v.exactOptional(v.string()),
});
export type FaultMatch = Readonly<v.InferOutput<typeof FaultMatch>>;

/** What is done to the calls that match. */
export const FaultEffect = v.variant("kind", [
  /** The connection is reset at once, also under calls that are on their way. */
  v.strictObject({ kind: v.literal("cut") }),
  /** The request is read and never answered. It has no effect. */
  v.strictObject({ kind: v.literal("black-hole") }),
  /** The service's own throttling error. */
  v.strictObject({ kind: v.literal("throttle") }),
  /** The request is held for so long, then served. */
  v.strictObject({ kind: v.literal("delay"), delayMs: v.pipe(v.number(), v.minValue(0)) }),
  /** The service's own access-denied error. */
  v.strictObject({ kind: v.literal("deny") }),
  /** The request has its effect, then the connection is reset instead of an answer. */
  v.strictObject({ kind: v.literal("drop-reply") }),
]);
export type FaultEffect = Readonly<v.InferOutput<typeof FaultEffect>>;

export const Fault = v.strictObject({
  match: FaultMatch,
  effect: FaultEffect,
  /** The fault removes itself after so many calls. */
  times: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});
export type Fault = Readonly<v.InferOutput<typeof Fault>>;

export interface FaultApi {
  /** Adds a fault; returns a function that removes it. */
  add(fault: Fault): () => void;
  /** Removes all faults. */
  clear(): void;
  list(): readonly Fault[];
}

/** A call as faults see it. */
export interface FaultSubject {
  readonly principal: string | undefined;
  readonly service: string;
  readonly operation: string | undefined;
}

export interface Faults extends FaultApi {
  /** What to do to this call, counting it: the sum of the delays, and the first other effect. */
  effectsOn(subject: FaultSubject): { delayMs: number; effect: Exclude<FaultEffect, { kind: "delay" }> | undefined };
  /** Calls on their way; those that a new `cut` matches are reset. Returns a function to call when the call has ended. */
  track(subject: FaultSubject, reset: () => void): () => void;
}

const matches = (match: FaultMatch, subject: FaultSubject): boolean =>
  (match.principal === undefined || match.principal === subject.principal) &&
  (match.service === undefined || match.service === subject.service) &&
  (match.operation === undefined || match.operation === subject.operation);

/** Faults of one lab; none at first. */
export const createFaults = (): Faults => {
  const faults = new Map<Fault, { left: number }>();
  const underWay = new Set<{ subject: FaultSubject; reset: () => void }>();
  return {
    add: (given) => {
      const fault: Fault = { ...given };
      faults.set(fault, { left: fault.times ?? Number.POSITIVE_INFINITY });
      if (fault.effect.kind === "cut") {
        for (const call of [...underWay]) if (matches(fault.match, call.subject)) call.reset();
      }
      return () => {
        faults.delete(fault);
      };
    },
    clear: () => faults.clear(),
    list: () => [...faults.keys()],
    effectsOn: (subject) => {
      let delayMs = 0;
      let effect: Exclude<FaultEffect, { kind: "delay" }> | undefined;
      for (const [fault, count] of [...faults]) {
        if (!matches(fault.match, subject)) continue;
        if (fault.effect.kind === "delay") delayMs += fault.effect.delayMs;
        else if (effect === undefined) effect = fault.effect;
        else continue;
        count.left -= 1;
        if (count.left <= 0) faults.delete(fault);
      }
      return { delayMs, effect };
    },
    track: (subject, reset) => {
      const call = { subject, reset };
      underWay.add(call);
      return () => {
        underWay.delete(call);
      };
    },
  };
};
