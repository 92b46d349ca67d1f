import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { ReplicationStatus } from "#contract/agent-api.ts";
import { replicationOf } from "#node/lib/mysql/observation.ts";

/** A row of a running replica, as 9.7 gives it. */
const running = {
  Source_Host: "127.0.11.5",
  Source_UUID: "EB39EBF2-e5b6-11f1-8b85-02fc00000001",
  Replica_IO_Running: "Yes",
  Replica_SQL_Running: "Yes",
  Auto_Position: "1",
  Retrieved_Gtid_Set: "eb39ebf2-e5b6-11f1-8b85-02fc00000001:1-25,\necf0b1aa-e5b6-11f1-b774-02fc00000001:3",
  Source_Log_File: "mysql-bin.000002",
  Read_Source_Log_Pos: "7263",
  Seconds_Behind_Source: "0",
  Last_IO_Errno: "0",
  Last_IO_Error: "",
  Last_SQL_Errno: "0",
  Last_SQL_Error: "",
  Channel_Name: "",
};

describe("a row of SHOW REPLICA STATUS", () => {
  it("becomes the contract's words", () => {
    const status = replicationOf(running);
    expect(v.parse(ReplicationStatus, status)).toEqual(status);
    expect(status).toEqual({
      source_host: "127.0.11.5",
      source_uuid: "eb39ebf2-e5b6-11f1-8b85-02fc00000001",
      receiver: "yes",
      applier: "yes",
      auto_position: true,
      received_gtid_set: "eb39ebf2-e5b6-11f1-8b85-02fc00000001:1-25,ecf0b1aa-e5b6-11f1-b774-02fc00000001:3",
      read_position: { file: "mysql-bin.000002", offset: 7263 },
      lag_seconds: 0,
    });
  });

  it("says nothing where MySQL knows nothing", () => {
    const status = replicationOf({
      ...running,
      Source_UUID: "",
      Source_Log_File: "",
      Replica_IO_Running: "Connecting",
      Seconds_Behind_Source: null,
    });
    expect(status).toMatchObject({ receiver: "connecting" });
    expect(status).not.toHaveProperty("source_uuid");
    expect(status).not.toHaveProperty("read_position");
    expect(status).not.toHaveProperty("lag_seconds");
    expect(v.safeParse(ReplicationStatus, status).success).toBe(true);
  });

  it("keeps both threads' errors", () => {
    expect(
      replicationOf({
        ...running,
        Replica_IO_Running: "No",
        Last_IO_Errno: "1236",
        Last_IO_Error: "purged",
        Replica_SQL_Running: "No",
        Last_SQL_Errno: "1062",
        Last_SQL_Error: "Duplicate entry",
      }),
    ).toMatchObject({
      receiver: "no",
      receiver_errno: 1236,
      receiver_error: "purged",
      applier: "no",
      applier_errno: 1062,
      applier_error: "Duplicate entry",
    });
  });

  it("of a server without a source is no replication", () => {
    expect(replicationOf(undefined)).toBeUndefined();
    expect(replicationOf({ ...running, Source_Host: "" })).toBeUndefined();
  });
});
