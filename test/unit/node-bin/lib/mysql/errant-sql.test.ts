import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gtidsInSql, parsePreviousGtids } from "#node/lib/mysql/errant-sql.ts";

const a = "aaaaaaaa-e5ca-11f1-8941-02fc00000001";
const b = "bbbbbbbb-e5ca-11f1-8941-02fc00000001";

/** What mysqlbinlog 9.7 prints of a binlog's first two events. */
const firstEvents = (previous: readonly string[]): string =>
  [
    "# The proper term is pseudo_replica_mode, but we use this compatibility alias",
    "DELIMITER /*!*/;",
    "# at 4",
    "#261121 16:43:59 server id 7  end_log_pos 127 CRC32 0x4ccbf247 \tStart: binlog v 4, server v 9.7.4-2 created 261121 16:43:59",
    "# Warning: this binlog is either in use or was not closed properly.",
    "# at 127",
    "#261121 16:43:59 server id 7  end_log_pos 198 CRC32 0xa4e415ec \tPrevious-GTIDs",
    ...previous,
    "# at 198",
    "SET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;",
    "# End of log file",
    "",
  ].join("\n");

describe("the transactions of the binlogs before one", () => {
  it.each<[string, readonly string[], string]>([
    ["none", ["# [empty]"], ""],
    ["of one server", [`# ${a}:1-3`], `${a}:1-3`],
    ["of several servers, with gaps", [`# ${a}:1-3:5,`, `# ${b}:7`], `${a}:1-3:5,${b}:7`],
    ["with tags", [`# ${a}:1-3:some_tag:1-2`], `${a}:1-3:some_tag:1-2`],
  ])("are read from mysqlbinlog's text: %s", (_, lines, expected) => {
    expect(parsePreviousGtids(firstEvents(lines))).toBe(expected);
  });

  it("are unknown, not none, when the text does not have them", () => {
    expect(parsePreviousGtids("# at 4\n# End of log file\n")).toBeUndefined();
    expect(parsePreviousGtids(firstEvents([]))).toBeUndefined();
  });
});

describe("SQL that passes by", () => {
  const sql = [
    "SET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;",
    `SET @@SESSION.GTID_NEXT= '${a}:4'/*!*/;`,
    `###   @2='SET @@SESSION.GTID_NEXT= '${a}:90'`,
    `  SET @@SESSION.GTID_NEXT= '${a}:91'/*!*/;`,
    `###   @1='${"x".repeat(5000)}'`,
    `SET @@SESSION.GTID_NEXT= '${b}:some_tag:7'/*!*/;`,
    `SET @@SESSION.GTID_NEXT= '${a}:5'/*!*/;`,
    "",
  ].join("\n");

  it("is known by its transactions, wherever the chunks are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: sql.length }), { maxLength: 30 }), (cuts) => {
        const passing = gtidsInSql();
        const places = [0, ...cuts.sort((x, y) => x - y), sql.length];
        for (const [i, end] of places.slice(1).entries()) passing.see(Buffer.from(sql.slice(places[i], end)));
        expect(passing.set()).toBe(`${a}:4-5,${b}:some_tag:7`);
      }),
    );
  });

  it("is known by very many transactions", () => {
    const passing = gtidsInSql();
    for (let i = 1; i <= 20_000; i += 1) passing.see(Buffer.from(`SET @@SESSION.GTID_NEXT= '${a}:${i}'/*!*/;\n`));
    expect(passing.set()).toBe(`${a}:1-20000`);
  });
});
