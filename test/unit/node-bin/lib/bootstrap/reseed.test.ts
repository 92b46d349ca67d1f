import { describe, expect, it } from "vitest";
import type { NodeStatus } from "#contract/agent-api.ts";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import { demandUsable } from "#node/lib/bootstrap/reseed.ts";
import { manifest, record, uuid1 } from "../cluster/samples.ts";

const uuid2 = "22222222-2222-2222-2222-222222222222";
const errant = `${uuid2}:4`;
/** The primary is the server uuid1; the transactions of uuid2 up to 3 came by its old primary. */
const primary = (purged = ""): NodeStatus =>
  ({ mysql: { gtid_executed: `${uuid1}:1-20,${uuid2}:1-3`, gtid_purged: purged } }) as NodeStatus;
const backup = (gtid_set: string): BackupManifest => ({ ...manifest, gtid_set });

describe("the newest backup, for a node with transactions of its own", () => {
  it.each<[string, BackupManifest | undefined, string, string | undefined]>([
    ["is good when the primary has all of it", backup(`${uuid1}:1-10,${uuid2}:1-3`), "", undefined],
    ["is good when only the primary's own commits are ahead of what it said", backup(`${uuid1}:1-21`), "", undefined],
    ["is good when the binlogs after it are there", backup(`${uuid1}:1-10,${uuid2}:1-3`), `${uuid1}:1-10`, undefined],
    ["is missing", undefined, "", "no-backup"],
    ["would bring them back", backup(`${uuid1}:1-10,${uuid2}:1-4`), "", "errant-transactions"],
    ["would bring back others", backup(`${uuid1}:1-10,${uuid2}:1-3:9`), "", "errant-transactions"],
    ["is too old for the primary's binlogs", backup(`${uuid1}:1-10`), `${uuid1}:1-11`, "binlogs-purged"],
  ])("%s", (_, given, purged, reason) => {
    const asked = () => demandUsable(given, { record: record(), primary: primary(purged), errant });
    if (reason === undefined) expect(asked()).toBe(given);
    else expect(asked).toThrow(expect.objectContaining({ reason, message: expect.stringContaining(errant) }));
  });
});
