import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { contains, normalise, parse, subtract, union } from "#contract/gtid.ts";
import type { MysqlConnection } from "#node/lib/mysql/connection.ts";
import { gtidTexts } from "../../unit/node-bin/lib/contract/gtid-samples.ts";
import { makeTestServers, type TestServers } from "./server-fixture.ts";

let servers: TestServers;
let connection: MysqlConnection;
beforeAll(async () => {
  servers = await makeTestServers();
  connection = await (await servers.add()).connect();
});
afterAll(() => servers.close());

const ask = async (expression: string, ...values: string[]): Promise<string> => {
  const [row] = await connection.query(`SELECT ${expression} AS value`, values, { timeoutMs: 5000 });
  return row?.value ?? "";
};
const onOneLine = (set: string): string => set.replaceAll("\n", "");

it("random sets, however they are written", async () => {
  await fc.assert(
    fc.asyncProperty(gtidTexts, gtidTexts, async (a, b) => {
      expect(normalise(a)).toBe(onOneLine(await ask("GTID_SUBTRACT(?, '')", a)));
      expect(subtract(a, b)).toBe(onOneLine(await ask("GTID_SUBTRACT(?, ?)", a, b)));
      expect(contains(a, b)).toBe((await ask("GTID_SUBSET(?, ?)", b, a)) === "1");
      // The server has no function for it, and normalises what it is given.
      expect(union(a, b)).toBe(onOneLine(await ask("GTID_SUBTRACT(?, '')", `${a},${b}`)));
    }),
    { numRuns: 500 },
  );
});

const U = "3E11FA47-71CA-11E1-9E33-C80AA9429562";
it.each([
  "",
  ",",
  U,
  `${U}:5-3`,
  `${U}:007-09`,
  `,${U}:1,,${U}:3,`,
  ` ${U} : 1 - 3 : 5 `,
  `${U}:Foo:1-3:2:bar:7:9:foo:9`,
  `${U}:1:foo`,
  `${U}:9223372036854775806`,
  `${U}:9223372036854775807`,
  `${U}:1-9223372036854775807`,
  `${U}:0`,
  `${U}:1-2:`,
  `${U}::1`,
  `${U}:1a:5`,
  `${U}:1 2`,
  `${U}:-1`,
  `${U}:a123456789012345678901234567890b:1`,
  `${U}:a1234567890123456789012345678901b:1`,
  `${U}:1;${U}:2`,
  "nonsense",
])("the odd text %j is taken, or refused, as the server does", async (text) => {
  const theirs = await ask("GTID_SUBTRACT(?, '')", text).catch(() => "refused");
  let ours: string;
  try {
    parse(text);
    ours = normalise(text);
  } catch {
    ours = "refused";
  }
  expect(ours).toBe(onOneLine(theirs));
});
