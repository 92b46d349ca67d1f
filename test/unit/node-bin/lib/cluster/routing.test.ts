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
  seen: { roleTag: "master", inWriteGroup: true, inReadGroup: false, protectedFromScaleIn: true },
};
const replica: RoutingView = {
  servesWrites: no,
  servesReads: yes,
  isPrimary: false,
  serving: true,
  joined: true,
  leaving: false,
  mode: "registration",
  seen: { roleTag: "replica", inWriteGroup: false, inReadGroup: true, protectedFromScaleIn: false },
};
const nowhere = { roleTag: undefined, inWriteGroup: false, inReadGroup: false, protectedFromScaleIn: false };

describe("what the reconciler repairs", () => {
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
    expect(routingRepairs(view).map((r) => (r.repair === "tag-role" ? `tag-role ${r.value}` : r.repair))).toEqual(
      expected,
    );
  });
});
