import { describe, expect, it } from "vitest";
import { judge } from "#actions/status/judge.ts";
import { logLines, summaryOf, worstVerdict } from "#actions/status/report.ts";
import { A, B, C, healthy, withMysql, withSilent, withStatus } from "./situations.ts";

const summary = (snapshot = healthy): string => summaryOf([judge(snapshot)]);

describe("the summary", () => {
  it("begins with the verdict, and tells the nodes in a table", () => {
    const lines = summary().split("\n");
    expect(lines[0]).toBe("## 🟢 <code>orders</code> is healthy");
    expect(lines[2]).toBe(
      `**Nothing to do.** Primary: <code>${A}</code> at 10.0.1.11 in eu-west-1a, fence 7, timeline 2. Operation under way: NONE. Last backup: full, 2026-11-21T00-17-05Z, ended 12 h ago, 3.0 GiB. Read at 2026-11-21T12:00:00.000Z.`,
    );
    expect(lines).toContain(
      `| <code>${A}</code> | **primary** | 10.0.1.11 | eu-west-1a | InService | 9.7.4 | yes | – | in | out | – |`,
    );
    expect(lines).toContain(
      `| <code>${C}</code> | replica | 10.0.3.13 | eu-west-1c | InService | 9.7.4 | no | 0 s | out | in | yes |`,
    );
  });

  it("tells what is wrong before the nodes, the critical first", () => {
    const text = summary(withSilent(withMysql(healthy, B, { read_only: false }), C));
    expect(text).toMatch(/^## 🔴 .* is critical\n\n\*\*A person is needed\.\*\*/);
    const order = ["| 🔴 |", "| 🟡 |", "| Node |"].map((part) => text.indexOf(part));
    expect(Math.min(...order)).toBeGreaterThan(0);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
  });

  it("draws who gets writes and reads, and who follows whom", () => {
    const picture = /```mermaid\n([\s\S]*?)```/.exec(summary())?.[1]?.split("\n") ?? [];
    expect(picture[0]).toBe("flowchart LR");
    expect(picture).toContain("  write --> n0");
    expect(picture).toContain("  read --> n2");
    expect(picture).toContain("  n0 ==>|0 s| n1");
    expect(picture).not.toContain("  write --> n1");
  });

  it("draws a broken line to a node that does not answer", () => {
    expect(summary(withSilent(healthy, C))).toContain("  n0 -.->|?| n2");
  });

  it("takes no structure from what nodes say", () => {
    const evil = "</code>\n```\n| x | <img src=x> [a](https://evil.example) ::error::x";
    const text = summary(
      withStatus(withMysql(healthy, B, { version: evil }), B, (status) => ({ ...status, problems: [evil] })),
    );
    expect(text).not.toContain("<img");
    expect(text).not.toContain("https://evil");
    expect(text.match(/```/g)?.length).toBe(2);
    for (const row of text.split("\n").filter((line) => line.startsWith("| <code>i-") && line.includes("eu-west"))) {
      expect(row.split("|").length).toBe(13);
    }
  });

  it("of several clusters begins with an overview", () => {
    const carts = { ...judge(withSilent(healthy, C)), cluster_id: "carts" };
    const text = summaryOf([judge(healthy), carts]);
    expect(text).toMatch(/^\| Cluster \| Verdict \|/);
    expect(text).toContain(`| <code>orders</code> | 🟢 healthy | <code>${A}</code> | 0 |`);
    expect(text).toContain(`| <code>carts</code> | 🟡 degraded | <code>${A}</code> | 1 |`);
  });

  it("of a cluster without instances has no table of nodes", () => {
    const text = summary({ ...healthy, nodes: [], writeTargets: [], readTargets: [] });
    expect(text).toContain("There is no instance of this cluster.");
    expect(text).not.toContain("mermaid");
  });
});

describe("the log", () => {
  it("tells the verdict, the nodes, and each finding with its meaning", () => {
    const lines = logLines(judge(withSilent(healthy, C)));
    expect(lines[0]).toBe("🟡 orders is degraded. It works; something should be looked at.");
    expect(lines[1]).toBe(`   primary ${A}, fence 7, timeline 2, operation NONE, last backup 2026-11-21T00-17-05Z`);
    expect(lines[2]).toMatch(
      /^ {3}i-0000000000000000a {2}primary {2}10\.0\.1\.11 .* writable {2}lag – {2}write in {2}read out$/,
    );
    expect(lines.slice(-2)[0]).toContain(`🟡 node-unreachable: ${C} gave no status: no answer within 35 s.`);
  });
});

it("the worst verdict of several", () => {
  const [good, bad] = [judge(healthy), judge(withMysql(healthy, B, { read_only: false }))];
  expect([worstVerdict([good]), worstVerdict([good, bad]), worstVerdict([bad, good])]).toEqual([
    "healthy",
    "critical",
    "critical",
  ]);
});
