import { describe, expect, it } from "vitest";
import { yieldBeforeStop } from "#node/lib/orchestrator/hand-over.ts";

const [self, one, two] = ["10.1.0.1", "10.1.0.2", "10.1.0.3"] as const;

const quick = { electionMs: 500, settledMs: 50 };

/** A raft in which leadership goes to whoever is asked, unless that one is deaf. */
const raft = (leader: string, deaf: readonly string[] = []) => {
  let leads = leader;
  const asked: string[] = [];
  return {
    asked,
    leads: async () => leads === self,
    raftLeader: async () => leads,
    yieldTo: async (address: string) => {
      asked.push(address);
      if (!deaf.includes(address)) leads = address;
    },
  };
};

describe("handing over leadership before a stop", () => {
  it("does nothing where this node does not lead", async () => {
    const client = raft(one);
    expect(await yieldBeforeStop(client, self, [one, two])).toMatchObject({ did: "nothing" });
    expect(client.asked).toEqual([]);
  });

  it("yields to the preferred one, never to itself", async () => {
    const client = raft(self);
    expect(await yieldBeforeStop(client, self, [self, two, one], quick)).toEqual({ did: "yielded", leader: two });
    expect(client.asked).toEqual([two]);
  });

  it("does nothing where nobody else answers", async () => {
    expect(await yieldBeforeStop(raft(self), self, [self])).toMatchObject({ did: "nothing" });
  });

  it("goes on to the next one when the first does not take it", async () => {
    const client = raft(self, [one]);
    expect(await yieldBeforeStop(client, self, [one, two], quick)).toEqual({
      did: "yielded",
      leader: two,
    });
    expect(client.asked).toEqual([one, two]);
  });

  it("does not count one that gives the lead up at once", async () => {
    const client = raft(self);
    const looks = [one, one];
    const raftLeader = async (): Promise<string> => looks.shift() ?? two;
    const settledMs = 250;
    expect(await yieldBeforeStop({ ...client, raftLeader }, self, [two, one], { electionMs: 2000, settledMs })).toEqual(
      {
        did: "yielded",
        leader: two,
      },
    );
  });

  it("says that nobody took it, and that this one still runs", async () => {
    await expect(yieldBeforeStop(raft(self, [one]), self, [one], quick)).rejects.toMatchObject({
      reason: "timed-out",
      changed: expect.stringContaining("still runs"),
    });
  });
});
