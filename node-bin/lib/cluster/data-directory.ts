import * as v from "valibot";
import { ClusterId, Fence, IsoTime } from "#contract/names.ts";

/** Name of the marker file inside a data directory of ours. mysqld ignores it. */
export const markerName = ".percona-actions.json";

/**
 * The marker of a complete data directory. It is the last file written while the directory is built beside its place, so a
 * directory that has one is whole, and one of ours without it is not.
 */
export const Marker = v.object({
  schema: v.literal(1),
  cluster_id: ClusterId,
  origin: v.picklist(["initialised", "restored", "adopted"]),
  /** Fence of the formation that the data descend from. */
  formation: Fence,
  /** For restored data: the backup's time and the executed set that the copy holds. */
  backup: v.optional(v.object({ time: v.string(), gtid_set: v.string() })),
  completed_at: IsoTime,
});
export type Marker = v.InferOutput<typeof Marker>;

/** What lies at the place of the data directory. */
export type DataDirectory =
  | { readonly kind: "absent" }
  | { readonly kind: "ours"; readonly marker: Marker }
  | { readonly kind: "foreign"; readonly because: string };

/** Classifies a data directory by its entries and its marker's text. Lost+found of a fresh file system does not count. */
export const classifyDataDirectory = (
  entries: readonly string[] | undefined,
  markerText: string | undefined,
  clusterId: string,
): DataDirectory => {
  if (!entries || entries.every((name) => name === "lost+found")) return { kind: "absent" };
  if (markerText === undefined) return { kind: "foreign", because: `it has ${entries.length} entries and no marker` };
  const marker = v.safeParse(Marker, parseJson(markerText));
  if (!marker.success) return { kind: "foreign", because: "its marker cannot be read" };
  if (marker.output.cluster_id !== clusterId)
    return { kind: "foreign", because: `its marker names cluster ${marker.output.cluster_id}` };
  return { kind: "ours", marker: marker.output };
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
