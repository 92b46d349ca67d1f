import { describe, expect, it } from "vitest";
import { renamed, successors } from "#lab/kept.ts";

const former = (n: number, address: string) => ({ instanceId: `i-0000000${n}`, address });
const fresh = (n: number, privateIp: string) => ({ instanceId: `i-aaaaaaa${n}`, privateIp });

describe("disks that were kept", () => {
  it("go to the new instances at the same addresses, the rest to those left over", () => {
    const pairs = successors(
      [former(1, "127.1.11.4"), former(2, "127.1.12.5"), former(3, "127.1.13.4")],
      [fresh(1, "127.1.13.4"), fresh(2, "127.1.12.4"), fresh(3, "127.1.11.4")],
    );
    expect(
      pairs.map(({ former: one, successor }) => [one.instanceId, successor.instanceId, successor.address]),
    ).toEqual([
      ["i-00000001", "i-aaaaaaa3", "127.1.11.4"],
      ["i-00000002", "i-aaaaaaa2", "127.1.12.4"],
      ["i-00000003", "i-aaaaaaa1", "127.1.13.4"],
    ]);
  });

  it("that are too many are left out", () => {
    expect(successors([former(1, "127.1.11.4"), former(2, "127.1.12.4")], [fresh(1, "127.1.11.4")])).toHaveLength(1);
  });
});

describe("items that were kept", () => {
  it("name the new instances and addresses, each whole and once", () => {
    const pairs = successors(
      [former(1, "127.1.1.4"), former(2, "127.1.1.5")],
      [fresh(1, "127.1.1.5"), fresh(2, "127.1.1.6")],
    );
    // i-00000001 at .4 goes to .6, i-00000002 stays at .5: no replacement is replaced again.
    const text = '{"i-00000001":"127.1.1.4","x":"i-00000002 127.1.1.5 127.1.1.44 1127.1.1.4 i-000000019"}';
    expect(renamed(text, pairs)).toBe(
      '{"i-aaaaaaa2":"127.1.1.6","x":"i-aaaaaaa1 127.1.1.5 127.1.1.44 1127.1.1.4 i-000000019"}',
    );
  });
});
