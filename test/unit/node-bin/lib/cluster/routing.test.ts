import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RoutingView, routingRepairs } from "#node/lib/cluster/routing.ts";

const yes = { ok: true, because: "" };
const no = { ok: false, because: "" };
const primary: RoutingView = {
  servesWrites: yes,
  servesReads: no,
  isPrimary: true,
  serving: true,
  joined: true,
  leaving: false,
  mode: "registration",
  leaseHeld: true,
  seen: {
    roleTag: "master",
    inWriteGroup: true,
    othersInWriteGroup: [],
    inReadGroup: false,
    protectedFromScaleIn: true,
  },
};
const replica: RoutingView = {
  servesWrites: no,
  servesReads: yes,
  isPrimary: false,
  serving: true,
  joined: true,
  leaving: false,
  mode: "registration",
  leaseHeld: false,
  seen: {
    roleTag: "replica",
    inWriteGroup: false,
    othersInWriteGroup: [],
    inReadGroup: true,
    protectedFromScaleIn: false,
  },
};
const nowhere = {
  roleTag: undefined,
  inWriteGroup: false,
  othersInWriteGroup: [],
  inReadGroup: false,
  protectedFromScaleIn: false,
};
/** The group as a new primary finds it when the old one has died. */
const withTheDead = { ...primary.seen, inWriteGroup: false, othersInWriteGroup: ["i-dead"] };

const forward = (view: RoutingView, seen: Partial<RoutingView["seen"]> = {}): RoutingView => ({
  ...view,
  mode: "forward",
  seen: { ...view.seen, inWriteGroup: true, inReadGroup: true, ...seen },
});
const told = (view: RoutingView): string[] =>
  routingRepairs(view).map((r) => {
    if (r.repair === "tag-role") return `tag-role ${r.value}`;
    return r.repair === "deregister-other-write" ? `${r.repair} ${r.instanceId}` : r.repair;
  });

describe("what the reconciler repairs with registration", () => {
  it.each<[string, RoutingView, string[]]>([
    ["a primary where it should be", primary, []],
    ["a replica where it should be", replica, []],
    ["a new primary", { ...primary, seen: nowhere }, ["register-write", "tag-role master", "protect"]],
    ["a new replica", { ...replica, seen: nowhere }, ["register-read", "tag-role replica"]],
    [
      "a former primary",
      { ...replica, seen: { ...primary.seen } },
      ["deregister-write", "register-read", "tag-role replica", "unprotect"],
    ],
    [
      "a promoted replica",
      { ...primary, seen: { ...replica.seen } },
      ["deregister-read", "register-write", "tag-role master", "protect"],
    ],
    ["a primary that does not serve now keeps its place", { ...primary, servesWrites: no }, []],
    [
      "a new primary takes out the dead one, after it has put itself in",
      { ...primary, seen: withTheDead },
      ["register-write", "deregister-other-write i-dead"],
    ],
    [
      "a primary that does not serve takes nobody out: it may have been replaced",
      { ...primary, servesWrites: no, seen: withTheDead },
      [],
    ],
    [
      "a primary that has lost the lease takes nobody out: it may have been replaced",
      { ...primary, leaseHeld: false, seen: withTheDead },
      ["register-write"],
    ],
    [
      "a replica takes nobody out: who is the primary is another's matter",
      { ...replica, seen: { ...replica.seen, othersInWriteGroup: ["i-primary"] } },
      [],
    ],
    [
      "a primary that does not serve is not put in",
      { ...primary, servesWrites: no, seen: { ...nowhere, roleTag: "master", protectedFromScaleIn: true } },
      [],
    ],
    ["a replica that is behind keeps its place", { ...replica, servesReads: no }, []],
    ["a forming primary is nowhere", { ...primary, serving: false, seen: nowhere }, []],
    ["a replica that is about to be terminated is taken out", { ...replica, leaving: true }, ["deregister-read"]],
    ["a primary that is about to be terminated stays until another one is there", { ...primary, leaving: true }, []],
    ["a node that has not joined is taken out", { ...replica, joined: false }, ["deregister-read"]],
    [
      "an instance that is not in service cannot be protected yet",
      { ...primary, seen: { ...primary.seen, protectedFromScaleIn: undefined } },
      [],
    ],
  ])("%s", (_name, view, expected) => {
    expect(told(view)).toEqual(expected);
  });
});

describe("what the reconciler repairs with a forwarder on every node", () => {
  it.each<[string, RoutingView, string[]]>([
    ["a primary in both groups", forward(primary), []],
    ["a replica in both groups", forward(replica), []],
    [
      "a primary that leaves the others where they are",
      forward(primary, { othersInWriteGroup: ["i-replica", "i-other"] }),
      [],
    ],
    ["a new primary", forward(primary, nowhere), ["register-write", "register-read", "tag-role master", "protect"]],
    ["a new replica", forward(replica, nowhere), ["register-write", "register-read", "tag-role replica"]],
    [
      "a promoted replica: the load balancer need not know",
      forward({ ...primary, seen: replica.seen }),
      ["tag-role master", "protect"],
    ],
    [
      "a former primary: the load balancer need not know",
      forward({ ...replica, seen: primary.seen }),
      ["tag-role replica", "unprotect"],
    ],
    [
      "a node whose mysqld serves nobody now forwards all the same",
      forward({ ...replica, servesReads: no }, { inWriteGroup: false, inReadGroup: false }),
      ["register-write", "register-read"],
    ],
    ["a primary that does not serve now keeps its place", forward({ ...primary, servesWrites: no }), []],
    [
      "a node that has not joined is taken out",
      forward({ ...replica, joined: false }),
      ["deregister-write", "deregister-read"],
    ],
    [
      "a replica that is about to be terminated is taken out",
      forward({ ...replica, leaving: true }),
      ["deregister-write", "deregister-read"],
    ],
    [
      "a forming cluster is nowhere",
      forward({ ...primary, serving: false }, { protectedFromScaleIn: false }),
      ["deregister-write", "deregister-read"],
    ],
    [
      "the cluster was changed from registration to forward",
      forward(primary, { inReadGroup: false }),
      ["register-read"],
    ],
  ])("%s", (_name, view, expected) => {
    expect(told(view)).toEqual(expected);
  });
});

const verdict = fc.constantFrom(yes, no);
const anyView: fc.Arbitrary<RoutingView> = fc.record({
  servesWrites: verdict,
  servesReads: verdict,
  isPrimary: fc.boolean(),
  serving: fc.boolean(),
  joined: fc.boolean(),
  leaving: fc.boolean(),
  mode: fc.constantFrom("forward" as const, "registration" as const),
  leaseHeld: fc.boolean(),
  seen: fc.record({
    roleTag: fc.constantFrom("master", "replica", undefined),
    inWriteGroup: fc.boolean(),
    othersInWriteGroup: fc.subarray(["i-one", "i-other"]),
    inReadGroup: fc.boolean(),
    protectedFromScaleIn: fc.constantFrom(true, false, undefined),
  }),
});

/** What is seen once the repairs are done. */
const repaired = (view: RoutingView): RoutingView => {
  const seen = { ...view.seen };
  for (const each of routingRepairs(view)) {
    switch (each.repair) {
      case "tag-role":
        seen.roleTag = each.value;
        break;
      case "protect":
      case "unprotect":
        seen.protectedFromScaleIn = each.repair === "protect";
        break;
      case "deregister-other-write":
        seen.othersInWriteGroup = seen.othersInWriteGroup.filter((id) => id !== each.instanceId);
        break;
      default:
        seen[each.repair.endsWith("write") ? "inWriteGroup" : "inReadGroup"] = each.repair.startsWith("register");
    }
  }
  return { ...view, seen };
};

describe("whatever is seen", () => {
  it("repairs come to an end: after them nothing is left to do", () => {
    fc.assert(
      fc.property(anyView, (view) => {
        expect(routingRepairs(repaired(view))).toEqual([]);
      }),
    );
  });

  it("with a forwarder on every node a change of primary needs nothing of the load balancer", () => {
    fc.assert(
      fc.property(anyView, (view) => {
        const before = repaired({ ...view, mode: "forward", joined: true, leaving: false });
        for (const isPrimary of [true, false]) {
          expect(told({ ...before, isPrimary }).filter((repair) => repair.includes("register"))).toEqual([]);
        }
      }),
    );
  });

  it("with registration only the primary is put into the write group, and only replicas into the read group", () => {
    fc.assert(
      fc.property(anyView, (view) => {
        const repairs = told({ ...view, mode: "registration" });
        if (repairs.includes("register-write")) expect(view.isPrimary && view.servesWrites.ok).toBe(true);
        if (repairs.includes("register-read")) expect(!view.isPrimary && view.servesReads.ok).toBe(true);
      }),
    );
  });

  it("the primary is never taken out of the write group because its group wants it gone, unless every node forwards", () => {
    fc.assert(
      fc.property(anyView, (view) => {
        const leader = { ...view, isPrimary: true, serving: true, mode: "registration" as const };
        expect(told(leader)).not.toContain("deregister-write");
      }),
    );
  });
});
