import fc from "fast-check";
import { expect, it } from "vitest";
import { leaseTimings } from "#contract/lease.ts";
import { type Grant, makeLease } from "#node/lib/coordination/lease.ts";
import { fakeClock } from "./fake-clock.ts";
import { cutOff, type Fate, fakeStore, prompt } from "./fake-table.ts";

const pk = "lock-x";
const { observeEveryMs } = leaseTimings.short;

/** What a node's way to the store is like for a while. */
const networks = {
  good: fc.constant(prompt),
  /** Answers take their time, on the way there or on the way back. */
  slow: fc.record({
    effectAfter: fc.nat(1500),
    answerAfter: fc.integer({ min: 0, max: 2000 }),
    answered: fc.constant(true),
  }),
  /** No answer after a second, and what was asked takes effect at once, much later, or never. */
  lossy: fc.record({
    effectAfter: fc.option(fc.nat(8000), { nil: undefined }),
    answerAfter: fc.constant(1000),
    answered: fc.constantFrom(true, false, false),
  }),
  cut: fc.constant({ ...cutOff, answerAfter: 1000 }),
};
type Network = keyof typeof networks;

const node = fc.nat(2);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 50, max: 3000 }) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("network" as const),
      node,
      is: fc.constantFrom<Network[]>("good", "slow", "lossy", "cut"),
    }),
  },
  // Stopped like by SIGSTOP: nothing of it runs, its clock goes on.
  { weight: 2, arbitrary: fc.record({ do: fc.constant("stop" as const), node, ms: fc.nat(9000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("release" as const), node }) },
);

it("three nodes want one lease, whatever is slow, lost, late or stopped: never two holders, ever higher fences", async () => {
  let granted = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 30, maxLength: 80 }),
      fc.record({
        good: fc.infiniteStream(networks.good),
        slow: fc.infiniteStream(networks.slow),
        lossy: fc.infiniteStream(networks.lossy),
        cut: fc.infiniteStream(networks.cut),
      }),
      async (steps, fates) => {
        const clock = fakeClock();
        const store = fakeStore();
        const end = new AbortController();
        const grants: Grant[] = [];
        let uuids = 0;

        const startNode = (n: number) => {
          const self = { network: "good" as Network, stoppedUntil: 0, grant: undefined as Grant | undefined };
          const goOn = async (): Promise<void> => {
            while (self.stoppedUntil > clock.now()) await clock.sleep(self.stoppedUntil - clock.now());
          };
          const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
            await clock.sleep(ms, signal);
            await goOn();
          };
          const answered = async <T>(answer: Promise<T>): Promise<T> => {
            await answer.catch(() => {});
            await goOn();
            return answer;
          };
          const table = store.connect((): Fate => {
            const fate = fates[self.network].next().value;
            // An answer comes after its effect.
            return fate.answered ? { ...fate, answerAfter: Math.max(fate.answerAfter, fate.effectAfter ?? 0) } : fate;
          }, clock.sleep);
          const lease = makeLease({
            table: {
              ...table,
              get: (key) => answered(table.get(key)),
              update: (...call) => answered(table.update(...call)),
            },
            pk,
            owner: `i-0000000${n}`,
            timings: leaseTimings.short,
            purpose: "model",
            // Each node's monotonic clock has its own origin.
            now: () => clock.now() + n * 1_000_000,
            wallClock: () => new Date(0),
            uuid: () => `rvn-${++uuids}`,
            sleep,
          });
          const contend = async (): Promise<void> => {
            while (!end.signal.aborted) {
              if (!self.grant?.held()) {
                self.grant = await lease.tryAcquire().catch(() => undefined);
                if (self.grant) {
                  self.grant.startRenewing();
                  grants.push(self.grant);
                }
              }
              await sleep(observeEveryMs, end.signal);
            }
          };
          return { self, running: contend() };
        };
        const nodes = [0, 1, 2].map(startNode);

        for (const action of steps) {
          if (action.do === "pass") {
            for (let left = action.ms; left > 0; left -= 50) {
              await clock.advance(Math.min(left, 50));
              expect(grants.filter((grant) => grant.held()).length).toBeLessThanOrEqual(1);
            }
            continue;
          }
          const actor = nodes[action.node]?.self;
          if (!actor) throw new Error("no such node");
          if (action.do === "network") actor.network = action.is;
          else if (action.do === "stop") actor.stoppedUntil = clock.now() + action.ms;
          else if (actor.stoppedUntil <= clock.now()) void actor.grant?.release("model");
        }

        // In the order in which the grants were given out, each by one write of the store.
        const fences = grants.map(({ fence }) => fence);
        expect(new Set(fences).size).toBe(fences.length);
        granted += fences.length;

        // When all is well again, somebody gets it.
        for (const { self } of nodes) self.network = "good";
        await clock.advance(20_000);
        expect(grants.filter((grant) => grant.held()).length).toBe(1);
        expect(Math.max(...grants.map(({ fence }) => fence))).toBe(store.items.get(pk)?.fence);

        end.abort();
        for (const grant of grants) void grant.release("end");
        await clock.advance(20_000);
        await Promise.all(nodes.map(({ running }) => running));
      },
    ),
    { numRuns: 120 },
  );
  // It would prove nothing if the lease seldom changed hands.
  expect(granted).toBeGreaterThan(240);
}, 60_000);
