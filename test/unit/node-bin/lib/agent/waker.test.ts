import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeWaker } from "#node/lib/agent/waker.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Whether it has ended by now. */
const watch = (waiting: Promise<void>) => {
  const seen = { ended: false };
  void waiting.then(() => {
    seen.ended = true;
  });
  return seen;
};
const forever = new AbortController().signal;

describe("a wait", () => {
  it("ends after its time and not before", async () => {
    const seen = watch(makeWaker().wait(500, forever));
    await vi.advanceTimersByTimeAsync(499);
    expect(seen.ended).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(seen.ended).toBe(true);
  });

  it("ends at once when something happens, for everybody who waits", async () => {
    const waker = makeWaker();
    const all = [watch(waker.wait(60_000, forever)), watch(waker.wait(90_000, forever))];
    waker.wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(all.map(({ ended }) => ended)).toEqual([true, true]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that begins after something happened waits its time: a wake is not kept", async () => {
    const waker = makeWaker();
    waker.wake();
    const seen = watch(waker.wait(500, forever));
    await vi.advanceTimersByTimeAsync(400);
    expect(seen.ended).toBe(false);
    await vi.advanceTimersByTimeAsync(100);
    expect(seen.ended).toBe(true);
  });

  it("one that a woken loop begins anew is not ended by the same wake", async () => {
    const waker = makeWaker();
    let rounds = 0;
    const end = new AbortController();
    const loop = async (): Promise<void> => {
      while (!end.signal.aborted) {
        rounds += 1;
        await waker.wait(60_000, end.signal);
      }
    };
    const looping = loop();
    waker.wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(rounds).toBe(2);
    end.abort();
    await looping;
    expect(rounds).toBe(2);
  });

  it("ends when the process is to end, also when that was said before", async () => {
    const end = new AbortController();
    const waker = makeWaker();
    const seen = watch(waker.wait(60_000, end.signal));
    end.abort();
    await vi.advanceTimersByTimeAsync(0);
    expect(seen.ended).toBe(true);
    const late = watch(waker.wait(60_000, end.signal));
    await vi.advanceTimersByTimeAsync(0);
    expect(late.ended).toBe(true);
  });

  it.each([0, -5])("of %i ms does not wait", async (ms) => {
    const seen = watch(makeWaker().wait(ms, forever));
    await vi.advanceTimersByTimeAsync(0);
    expect(seen.ended).toBe(true);
  });

  it("leaves no timer and no listener behind, however it ended", async () => {
    const end = new AbortController();
    const added = vi.spyOn(end.signal, "addEventListener");
    const removed = vi.spyOn(end.signal, "removeEventListener");
    const waker = makeWaker();
    const waits = [waker.wait(10, end.signal), waker.wait(60_000, end.signal), waker.wait(60_000, end.signal)];
    await vi.advanceTimersByTimeAsync(10);
    waker.wake();
    await Promise.all(waits);
    end.abort();
    await waker.wait(60_000, end.signal);
    expect(vi.getTimerCount()).toBe(0);
    expect(removed.mock.calls.length).toBe(added.mock.calls.length);
  });
});
