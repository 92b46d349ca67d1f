import { describe, expect, it } from "vitest";
import { fitSummary, markdownCode, markdownText, plainLine, plainLines, shortened } from "#actions/lib/text.ts";

describe("plainLine", () => {
  it.each([
    ["a workflow command", "::set-output name=x::y", ": :set-output name=x::y"],
    ["an indented one", "  ::error::x", "  : :error::x"],
    ["one of the old form, anywhere in the line", "log ##[add-path]/tmp", "log ## [add-path]/tmp"],
    ["colours", "\u001b[31mred\u001b[0m", "red"],
    ["line breaks of all kinds", "a\r\n::error::b\u2028c", "a ::error::b c"],
    ["nothing else", "GTID a:1-5, 50 % – ok", "GTID a:1-5, 50 % – ok"],
  ])("takes the sting out of %s", (_, text, plain) => {
    expect(plainLine(text)).toBe(plain);
  });
});

it("plainLines keeps lines apart, and each is harmless", () => {
  expect(plainLines("one\r\n::stop-commands::x\nthree")).toEqual(["one", ": :stop-commands::x", "three"]);
});

describe("markdownText", () => {
  it.each([
    "<script>alert(1)</script>",
    "a | b",
    "**bold** _it_ `code` ~no~",
    "[x](https://example.org)",
    "![x](x)",
    "https://example.org and www.example.org",
    "@someone #12 :smile: $x$",
    "# heading",
    "- item",
    "1. item",
    "+ item",
    "    code",
    "===",
    "> quote",
    "\\|",
    "&amp;",
  ])("leaves no structure in %s", (text) => {
    const escaped = markdownText(text);
    expect(escaped).not.toMatch(/[<>|*_`~[\]!@$\\]|:\S|www\.|&(?!#\d+;)|(?<!&)#/);
    expect(escaped).not.toMatch(/^([-+= ]|\d+[.)])/);
    // What is rendered is the text.
    expect(escaped.replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))).toBe(text);
  });

  it("leaves sentences readable", () => {
    expect(markdownText("It is 5 s behind (limit: 30 s), look at it.")).toBe(
      "It is 5 s behind (limit: 30 s), look at it.",
    );
  });

  it("makes one line", () => {
    expect(markdownText("a\n\n# b")).toBe("a &#35; b");
  });
});

it("markdownCode cannot be left", () => {
  expect(markdownCode("</code><img>")).toBe("<code>&#60;/code&#62;&#60;img&#62;</code>");
});

describe("fitSummary", () => {
  it("leaves alone what fits", () => {
    expect(fitSummary("ä".repeat(50), 100)).toBe("ä".repeat(50));
  });

  it("cuts at a line, counts bytes, and says so first", () => {
    const cut = fitSummary("ä".repeat(9).concat("\n").repeat(1000), 1024);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(1024);
    expect(cut).toMatch(/^> This summary was longer than 1 KiB/);
    expect(cut.trimEnd().split("\n").slice(2)).toEqual(
      cut
        .trimEnd()
        .split("\n")
        .slice(2)
        .map(() => "ä".repeat(9)),
    );
  });
});

it("shortened marks where it cut", () => {
  expect([shortened("abc", 3), shortened("abcd", 3)]).toEqual(["abc", "ab…"]);
});
