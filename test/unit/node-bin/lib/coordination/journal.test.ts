import { describe, expect, it } from "vitest";
import { s3Keys } from "#contract/s3-layout.ts";
import { itemKey } from "#contract/table.ts";
import { content, fakeJournal } from "../operation/fake-journal.ts";
import { answerLost, cutOff } from "./fake-table.ts";

const pk = itemKey.operation("c1", "op-1");
const ninetyDays = 90 * 86_400;

describe("the record of an operation", () => {
  it("is created once; a second caller is shown the first one's", async () => {
    const { created, journal } = fakeJournal();
    const first = await created();
    expect(await journal.create(content({ started_by: "another" }))).toEqual({ written: false, current: first });
    expect(await journal.read("op-1")).toEqual(first);
  });

  it("is not there before it was created", async () => {
    expect(await fakeJournal().journal.read("op-1")).toBeUndefined();
  });

  it("created although the answer was lost is known as created, and not made twice", async () => {
    const { fates, journal, store } = fakeJournal();
    fates.next = [answerLost];
    const result = await journal.create(content());
    expect(result.written).toBe(true);
    expect(store.items.get(pk)).toMatchObject({ rvn: result.written ? result.record.rvn : "" });
  });

  it("that never reached the store is an error, and nothing is there", async () => {
    const { fates, journal, store } = fakeJournal();
    fates.next = [cutOff];
    await expect(journal.create(content())).rejects.toMatchObject({ reason: "store-unavailable" });
    expect(store.items.size).toBe(0);
  });

  it("gets a new version with every change and keeps what was not changed", async () => {
    const { created, journal } = fakeJournal();
    const record = await created({ input: { target: "i-00000000000000002" } });
    const result = await journal.replace(record, { state: "running", node: "i-00000000000000002" });
    expect(result).toMatchObject({
      written: true,
      record: { state: "running", node: "i-00000000000000002", input: record.input, created_at: record.created_at },
    });
    expect((await journal.read("op-1"))?.rvn).not.toBe(record.rvn);
  });

  it("that another has changed meanwhile is not overwritten, and the caller is shown what is there", async () => {
    const { created, journal, others } = fakeJournal();
    const record = await created();
    const newer = await others.replace(record, { abort_requested_at: "2026-11-21T00:00:01.000Z" });
    const late = await journal.replace(record, { state: "running" });
    expect(late).toEqual({ written: false, current: newer.written ? newer.record : undefined });
    expect((await journal.read("op-1"))?.state).toBe("created");
  });

  it("a change whose answer was lost is known as written", async () => {
    const { created, fates, journal } = fakeJournal();
    const record = await created();
    fates.next = [answerLost];
    expect((await journal.replace(record, { state: "running" })).written).toBe(true);
  });

  it("is forgotten by the table some time after it ended, and never while it lives", async () => {
    const { created, journal } = fakeJournal();
    let record = await created();
    expect(record.expires_at).toBeUndefined();
    for (const state of ["running", "succeeded"] as const) {
      const result = await journal.replace(record, { state });
      if (!result.written) throw new Error("not written");
      record = result.record;
      expect(record.expires_at === undefined).toBe(state === "running");
    }
    expect(record.expires_at).toBe(Date.parse("2026-11-21T00:00:00Z") / 1000 + ninetyDays);
  });

  it("run again after it ended is not forgotten while it runs", async () => {
    const { created, journal } = fakeJournal();
    const ended = await created({ state: "undone" });
    expect(ended.expires_at).toBeDefined();
    const again = await journal.replace(ended, { state: "created", attempt: 2 });
    expect(again).toMatchObject({ written: true, record: { attempt: 2 } });
    expect(again.written && again.record.expires_at).toBeUndefined();
  });

  it("is not written malformed, and one that somebody edited is refused with the attribute's name", async () => {
    const { created, journal, store } = fakeJournal();
    const record = await created();
    await expect(journal.replace(record, { node: "my-node" })).rejects.toMatchObject({ reason: "record-malformed" });
    expect(store.items.get(pk)).toMatchObject({ rvn: record.rvn });
    store.items.set(pk, { ...record, state: "happy" });
    await expect(journal.read("op-1")).rejects.toMatchObject({
      reason: "record-malformed",
      message: expect.stringMatching(/operation-c1-op-1.*state/),
    });
  });
});

describe("the audit copy", () => {
  it("is what the record was at its end", async () => {
    const { bucket, created, journal } = fakeJournal();
    const record = await created({ state: "succeeded", result: { changed: true } });
    await journal.keep(record);
    expect(await bucket.getJson(s3Keys.operation("c1", "op-1"))).toEqual(record);
  });

  it("is never overwritten, and a second attempt has its own", async () => {
    const { bucket, created, journal } = fakeJournal();
    const first = await created({ state: "undone" });
    await journal.keep(first);
    await journal.keep({ ...first, started_by: "another" });
    await journal.keep({ ...first, attempt: 2, state: "succeeded" });
    expect(await bucket.getJson(s3Keys.operation("c1", "op-1"))).toEqual(first);
    expect(await bucket.getJson(s3Keys.operation("c1", "op-1.attempt-2"))).toMatchObject({ state: "succeeded" });
  });
});
