import { describe, expect, it } from "vitest";
import { classifyDataDirectory } from "#node/lib/cluster/data-directory.ts";
import { marker } from "./samples.ts";

describe("what lies at the place of the data directory", () => {
  it.each<[string, string[] | undefined, string | undefined, string]>([
    ["nothing", undefined, undefined, "absent"],
    ["an empty folder", [], undefined, "absent"],
    ["a fresh file system", ["lost+found"], undefined, "absent"],
    ["files without a marker", ["ibdata1", "mysql"], undefined, "foreign"],
    ["a marker that is cut short", ["ibdata1"], '{"schema":1,', "foreign"],
    ["a marker of another cluster", ["ibdata1"], JSON.stringify(marker({ cluster_id: "other" })), "foreign"],
    ["a marker of this cluster", ["ibdata1"], JSON.stringify(marker()), "ours"],
  ])("%s", (_name, entries, text, expected) => {
    expect(classifyDataDirectory(entries, text, "c1").kind).toBe(expected);
  });
});
