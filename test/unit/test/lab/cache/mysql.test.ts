import { describe, expect, it } from "vitest";
import { checkSeries, upstreamVersion } from "#lab/cache/mysql.ts";

const server = (version: string) => [
  { name: "mysql-client-core", version: "9.7.9-1", size: 1 },
  { name: "mysql-server-core", version, size: 1 },
];

describe("the version of the MySQL package", () => {
  it("loses its epoch and Debian's own part", () => {
    expect(upstreamVersion("9.7.4-2")).toBe("9.7.4");
    expect(upstreamVersion("1:9.7.10-2+b1")).toBe("9.7.10");
  });

  it("is taken in the lab's series", () => {
    expect(() => checkSeries(server("9.7.12-1"))).not.toThrow();
  });

  it.each(["9.70.1-1", "26.7.0-1", "8.4.5-1"])("is refused when it is %s, before anything is fetched", (version) => {
    expect(() => checkSeries(server(version))).toThrow(/9\.7 was expected. Nothing was fetched/);
  });

  it("is refused when the package is not in the archive", () => {
    expect(() => checkSeries([])).toThrow(/mysql-server-core none/);
  });
});
