import { describe, expect, it, vi } from "vitest";
import { Failure } from "#contract/failure-reasons.ts";
import { leaseTimings } from "#contract/lease.ts";
import type { Table } from "#node/lib/aws/table.ts";
import { type LeaseTimings, makeLease } from "#node/lib/coordination/lease.ts";
import { type FakeClock, fakeClock } from "./fake-clock.ts";
import { answerLost, cutOff, type Fate, fakeStore, prompt } from "./fake-table.ts";

const pk = "lock-x";
const { leaseMs, renewEveryMs, observeEveryMs } = leaseTimings.short;
let uuids = 0;

const leaseOf = (
  owner: string,
  table: Table,
  clock: FakeClock,
  options: { timings?: LeaseTimings; wallClock?: () => Date } = {},
) =>
  makeLease({
    table,
    pk,
    owner,
    timings: options.timings ?? leaseTimings.short,
    purpose: `a test by ${owner}`,
    now: clock.now,
    wallClock: options.wallClock ?? (() => new Date(0)),
    uuid: () => `rvn-${++uuids}`,
    sleep: clock.sleep,
  });

/** Two observers of one lease on one store, with the fates of the first one's calls in the test's hand. */
const two = () => {
  const clock = fakeClock();
  const store = fakeStore();
  const fates: { next: Fate[]; now: Fate } = { next: [], now: prompt };
  return {
    clock,
    store,
    fates,
    a: leaseOf(
      "i-aaaaaaaa",
      store.connect(() => fates.next.shift() ?? fates.now, clock.sleep),
      clock,
    ),
    b: leaseOf("i-bbbbbbbb", store.connect(), clock),
  };
};

const failed = async (work: Promise<unknown> | (() => unknown)): Promise<Failure> => {
  const error = await (typeof work === "function" ? (async () => work())() : work).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (!(error instanceof Failure)) throw new Error(`expected a Failure, got ${String(error)}`);
  return error;
};

describe("taking a lease", () => {
  it("a lease that nobody ever held is free, and its first fence is 1", async () => {
    const { a } = two();
    expect(await a.observe()).toMatchObject({ state: "free", item: undefined, leaseMs });
    expect((await a.tryAcquire())?.fence).toBe(1);
  });

  it("a lock item that was lost begins above the fence that the caller knows", async () => {
    const { a } = two();
    expect((await a.tryAcquire({ fenceAbove: 41 }))?.fence).toBe(42);
  });

  it("nobody takes what another holds, and the refusal names the holder and its purpose", async () => {
    const { a, b, clock } = two();
    const grant = await a.tryAcquire();
    grant?.startRenewing();
    expect(await b.tryAcquire()).toBeUndefined();
    const waiting = failed(b.acquire({ deadlineMs: 10_000 }));
    await clock.advance(11_000);
    const refusal = await waiting;
    expect(refusal.reason).toBe("lock-held");
    expect(refusal.message).toMatch(/i-aaaaaaaa for: a test by i-aaaaaaaa/);
    expect(grant?.held()).toBe(true);
  });

  it("a released lease is taken at the next look, with a higher fence, and the item is kept", async () => {
    const { a, b, store } = two();
    const grant = await a.tryAcquire();
    expect(await grant?.release("done")).toBe("released");
    expect(store.items.get(pk)).toMatchObject({ fence: 1, released: "done" });
    expect(store.items.get(pk)).not.toHaveProperty("owner");
    expect(await b.observe()).toMatchObject({ state: "free" });
    expect((await b.tryAcquire())?.fence).toBe(2);
  });

  it("a holder that stopped renewing is replaced after its whole lease on the observer's clock, not before", async () => {
    const { a, b, clock } = two();
    await a.tryAcquire();
    await b.observe();
    await clock.advance(leaseMs - 1);
    expect(await b.tryAcquire()).toBeUndefined();
    await clock.advance(1);
    expect(await b.observe()).toMatchObject({ state: "stale", unchangedMs: leaseMs });
    expect((await b.tryAcquire())?.fence).toBe(2);
  });

  it("a candidate that waits takes over within a lease and one look", async () => {
    const { a, b, clock } = two();
    await a.tryAcquire();
    let takenAt: number | undefined;
    const waiting = b.acquire().then((grant) => {
      takenAt = clock.now();
      return grant;
    });
    await clock.advance(leaseMs + observeEveryMs);
    expect((await waiting).fence).toBe(2);
    expect(takenAt).toBe(leaseMs);
  });

  it("a holder with a longer lease is given its own length", async () => {
    const { clock, store, b } = two();
    const long = leaseOf("i-cccccccc", store.connect(), clock, { timings: leaseTimings.long });
    await long.tryAcquire();
    await b.observe();
    await clock.advance(leaseTimings.long.leaseMs - 1);
    expect(await b.tryAcquire()).toBeUndefined();
  });

  it("an observer that was stopped while its question was on the way does not take what was renewed meanwhile", async () => {
    const { a, b, clock, fates } = two();
    const grant = await b.tryAcquire();
    grant?.startRenewing();
    await a.observe();
    fates.now = { effectAfter: 0, answerAfter: leaseMs * 2, answered: true };
    const looked = a.observe();
    await clock.advance(leaseMs * 2);
    expect((await looked).state).toBe("held");
    expect(grant?.held()).toBe(true);
  });

  it("counts from when the answer came: the holder may have renewed while the question was on its way", async () => {
    const { a, b, clock, fates } = two();
    const grant = await b.acquire();
    fates.next = [{ effectAfter: 1500, answerAfter: 1500, answered: true }];
    const looked = a.observe();
    await clock.advance(1400);
    await grant.renewNow();
    await clock.advance(1600);
    await looked;
    expect(await a.tryAcquire()).toBeUndefined();
    expect(grant.held()).toBe(true);
  });

  it("an acquisition whose answer is lost is known by what it left behind", async () => {
    const { a, fates } = two();
    fates.next = [prompt, answerLost];
    expect((await a.tryAcquire())?.fence).toBe(1);
  });

  it("an acquisition that was given up does not take effect after the lease changed hands", async () => {
    for (const used of [false, true]) {
      const { a, b, clock, fates } = two();
      if (used) await (await b.acquire()).release("used once");
      fates.next = [prompt, { effectAfter: 5000, answerAfter: 1000, answered: false }];
      const lost = failed(a.tryAcquire());
      await clock.advance(1000);
      expect((await lost).reason).toBe("store-unavailable");
      await (await b.acquire()).release("done");
      await clock.advance(5000);
      expect((await b.observe()).state).toBe("free");
    }
  });

  it("of two candidates for a stale lease one wins", async () => {
    const { a, b, clock, store } = two();
    await leaseOf("i-cccccccc", store.connect(), clock).tryAcquire();
    await Promise.all([a.observe(), b.observe()]);
    await clock.advance(leaseMs);
    const grants = await Promise.all([a.tryAcquire(), b.tryAcquire()]);
    expect(grants.filter(Boolean).map((grant) => grant?.fence)).toEqual([2]);
  });

  it("the recorded primary takes its lease from whoever holds it, and the holder learns it at its next renewal", async () => {
    const { a, b, clock } = two();
    const displaced = await a.tryAcquire();
    displaced?.startRenewing();
    expect((await b.tryAcquire({ force: true }))?.fence).toBe(2);
    await clock.advance(renewEveryMs);
    expect(displaced?.held()).toBe(false);
    expect(displaced?.signal.aborted).toBe(true);
  });

  it("waiting can be interrupted", async () => {
    const { a, b, clock } = two();
    (await a.tryAcquire())?.startRenewing();
    const stop = new AbortController();
    const waiting = failed(b.acquire({ signal: stop.signal }));
    await clock.advance(100);
    stop.abort();
    expect((await waiting).reason).toBe("interrupted");
  });

  it("waiting goes on while the store does not answer, and says so when that lasts until the deadline", async () => {
    const { a, clock, fates } = two();
    fates.now = cutOff;
    const patient = a.acquire({ deadlineMs: 60_000 });
    const hasty = failed(a.acquire({ deadlineMs: 1000 }));
    await clock.advance(5000);
    expect((await hasty).reason).toBe("store-unavailable");
    fates.now = prompt;
    await clock.advance(observeEveryMs);
    expect((await patient).fence).toBe(1);
  });

  it("an item that somebody edited is refused with the name of the attribute", async () => {
    const { a, store } = two();
    store.items.set(pk, { pk, rvn: "1", fence: "seven", lease_ms: 3000 });
    const failure = await failed(a.tryAcquire());
    expect(failure.reason).toBe("record-malformed");
    expect(failure.message).toMatch(/lock-x.*fence/);
  });
});

describe("holding a lease", () => {
  it("is kept as long as it is renewed", async () => {
    const { a, b, clock } = two();
    const grant = await a.acquire();
    grant.startRenewing();
    for (let second = 0; second < 60; second += 1) {
      await clock.advance(1000);
      expect(await b.tryAcquire()).toBeUndefined();
    }
    expect(grant.held()).toBe(true);
    expect(grant.signal.aborted).toBe(false);
  });

  it("ends before an observer may take it, and stays lost", async () => {
    const { a, b, clock } = two();
    const grant = await a.acquire();
    await b.observe();
    await clock.advance(leaseMs - 1);
    expect(grant.held()).toBe(false);
    expect((await failed(grant.assertHeld)).reason).toBe("lock-lost");
    expect((await failed(grant.renewNow())).reason).toBe("lock-lost");
    expect(grant.signal.aborted).toBe(true);
  });

  it("counts from when the renewal was sent, not from its answer", async () => {
    const { a, clock, fates } = two();
    const grant = await a.acquire();
    fates.now = { effectAfter: 0, answerAfter: 2000, answered: true };
    const renewal = grant.renewNow();
    await clock.advance(2000);
    await renewal;
    await clock.advance(499);
    expect(grant.held()).toBe(true);
    await clock.advance(1);
    expect(grant.held()).toBe(false);
  });

  it("survives an outage of the store that is shorter than the lease", async () => {
    const { a, b, clock, fates } = two();
    const grant = await a.acquire();
    grant.startRenewing();
    await clock.advance(900);
    fates.now = cutOff;
    await clock.advance(1900 - 900);
    fates.now = prompt;
    for (let look = 0; look < 20; look += 1) {
      await clock.advance(observeEveryMs);
      expect(await b.tryAcquire()).toBeUndefined();
    }
    expect(grant.held()).toBe(true);
  });

  it("is lost in an outage that is longer, and says so through its signal at that moment", async () => {
    const { a, clock, fates } = two();
    const grant = await a.acquire();
    grant.startRenewing();
    fates.now = cutOff;
    let lostAt: number | undefined;
    grant.signal.addEventListener("abort", () => {
      lostAt = clock.now();
    });
    await clock.advance(10_000);
    expect(lostAt).toBe(2500);
    expect(grant.signal.reason).toMatchObject({ reason: "lock-lost" });
  });

  it("a renewal whose answer was lost is known by what it left behind", async () => {
    const { a, clock, fates } = two();
    const grant = await a.acquire();
    await clock.advance(1000);
    fates.next = [answerLost];
    await grant.renewNow();
    await clock.advance(2000);
    expect(grant.held()).toBe(true);
  });

  it("a renewal after ones of unknown fate succeeds, whichever of them took effect", async () => {
    for (const landed of [0, 1, 2]) {
      const { a, clock, fates } = two();
      const grant = await a.acquire();
      for (let attempt = 0; attempt < 3; attempt += 1) {
        fates.now = attempt === landed ? answerLost : cutOff;
        await clock.advance(100);
        await failed(grant.renewNow());
      }
      fates.now = prompt;
      await clock.advance(1700);
      await grant.renewNow();
      await clock.advance(2400);
      expect(grant.held()).toBe(true);
    }
  });

  it("a renewal that a later one overtook is not a loss", async () => {
    const { a, clock, fates } = two();
    const grant = await a.acquire();
    fates.now = { effectAfter: 700, answerAfter: 700, answered: true };
    const slow = grant.renewNow();
    await clock.advance(100);
    fates.now = prompt;
    await grant.renewNow();
    await clock.advance(600);
    await slow;
    expect(grant.held()).toBe(true);
    await grant.renewNow();
  });

  it("the answer of an earlier renewal that comes late does not shorten the lease", async () => {
    const { a, clock, fates } = two();
    const grant = await a.acquire();
    fates.next = [{ effectAfter: 0, answerAfter: 900, answered: true }];
    const slow = grant.renewNow();
    await clock.advance(500);
    await grant.renewNow();
    await clock.advance(400);
    await slow;
    await clock.advance(2000);
    expect(grant.held()).toBe(true);
  });

  it("a late renewal or release of an earlier grant does not disturb a later one of the same owner", async () => {
    const { a, clock, fates } = two();
    const earlier = await a.acquire();
    fates.next = [{ effectAfter: 6000, answerAfter: 1000, answered: false }];
    const late = failed(earlier.renewNow());
    await clock.advance(1000);
    await late;
    await clock.advance(leaseMs);
    const later = await a.acquire();
    later.startRenewing();
    await clock.advance(5000);
    expect(await earlier.release("late")).toBe("lost");
    await clock.advance(5000);
    expect(later.held()).toBe(true);
  });

  it("an item that was deleted is a loss", async () => {
    const { a, clock, store } = two();
    const grant = await a.acquire();
    grant.startRenewing();
    store.items.clear();
    await clock.advance(renewEveryMs);
    expect(String(grant.signal.reason.message)).toMatch(/the item was deleted/);
  });
});

describe("letting go", () => {
  it("does not end the successor's lease", async () => {
    const { a, b, clock, store } = two();
    const old = await a.acquire();
    await b.observe();
    await clock.advance(leaseMs);
    const successor = await b.tryAcquire();
    expect(await old.release("late")).toBe("lost");
    expect(store.items.get(pk)).toMatchObject({ owner: "i-bbbbbbbb", fence: 2 });
    expect(successor?.held()).toBe(true);
  });

  it("works while a renewal of unknown fate is under way, and that renewal does not bring the lease back", async () => {
    const { a, b, clock, fates, store } = two();
    const grant = await a.acquire();
    fates.now = { effectAfter: 300, answerAfter: 300, answered: true };
    const renewal = failed(grant.renewNow());
    fates.now = prompt;
    expect(await grant.release("done")).toBe("released");
    await clock.advance(300);
    expect((await renewal).reason).toBe("lock-lost");
    expect(store.items.get(pk)).not.toHaveProperty("owner");
    expect(await b.tryAcquire()).toBeDefined();
  });

  it("stops the renewals, does not abort the signal, and refuses further use", async () => {
    const { a, clock, store } = two();
    const grant = await a.acquire();
    grant.startRenewing();
    await grant.release("done");
    const after = store.items.get(pk);
    await clock.advance(5000);
    expect(store.items.get(pk)).toEqual(after);
    expect(grant.signal.aborted).toBe(false);
    expect((await failed(grant.assertHeld)).message).toMatch(/released by its holder/);
  });

  it("never throws: without an answer its outcome is unknown", async () => {
    const { a, fates } = two();
    const grant = await a.acquire();
    fates.now = cutOff;
    expect(await grant.release("done")).toBe("unknown");
  });

  it("a lease that was acquired too slowly to be used is given back", async () => {
    const { a, b, clock, fates } = two();
    fates.now = { effectAfter: 0, answerAfter: leaseMs, answered: true };
    const acquired = a.tryAcquire();
    await clock.advance(leaseMs);
    fates.now = prompt;
    await clock.advance(leaseMs);
    expect(await acquired).toBeUndefined();
    expect(await b.observe()).toMatchObject({ state: "free" });
  });
});

it("wall clocks decide nothing: hours of error on either side change no grant, and none is read but for the text", async () => {
  const clock = fakeClock();
  const store = fakeStore();
  const hour = 3_600_000;
  const RealDate = Date;
  let readings = 0;
  const ahead = leaseOf("i-aaaaaaaa", store.connect(), clock, { wallClock: () => new RealDate(9 * hour) });
  const jumping = leaseOf("i-bbbbbbbb", store.connect(), clock, {
    wallClock: () => new RealDate((5 - ++readings) * hour),
  });
  vi.stubGlobal(
    "Date",
    class {
      static now(): never {
        throw new Error("the wall clock was read");
      }
      constructor() {
        throw new Error("the wall clock was read");
      }
    },
  );
  try {
    const grant = await ahead.acquire();
    grant.startRenewing();
    for (let second = 0; second < 20; second += 1) {
      await clock.advance(1000);
      expect(await jumping.tryAcquire()).toBeUndefined();
    }
    expect(grant.held()).toBe(true);
    await grant.release("done");
    expect((await jumping.tryAcquire())?.fence).toBe(2);
    expect(store.items.get(pk)?.acquired_at).toBe("1970-01-01T04:00:00.000Z");
  } finally {
    vi.unstubAllGlobals();
  }
});
