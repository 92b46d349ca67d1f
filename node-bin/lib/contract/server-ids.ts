import * as v from "valibot";

/** Server ids by instance id. An id is allocated once and never given to another instance. */
export const ServerIdsItem = v.object({
  pk: v.string(),
  /** The id that the next new instance gets. */
  next: v.pipe(v.number(), v.integer(), v.minValue(1)),
  ids: v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(1))),
});
export type ServerIdsItem = v.InferOutput<typeof ServerIdsItem>;

/** The first server id given out. Low ids are left to people and tools: mysqlbinlog uses 1 unless told otherwise. */
export const firstServerId = 101;
