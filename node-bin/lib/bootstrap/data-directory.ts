import { chown, mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { classifyDataDirectory, type DataDirectory, type Marker, markerName } from "../cluster/data-directory.ts";
import { listIfThere, readIfThere, syncDirectory, writeDurably } from "../host/files.ts";

/** Effects on the place where the data directory lies. mysqld does not run during any of them but `look`. */
export interface DataDirectories {
  look(): Promise<DataDirectory>;
  /** Makes an empty folder for this owner beside the place, after discarding what an interrupted run left there. */
  beginBuilding(owner: { readonly uid: number; readonly gid: number }): Promise<string>;
  /** Writes the marker as the last file and renames the folder into the place. */
  place(building: string, marker: Marker): Promise<void>;
  /** Marks what lies at the place as ours. */
  mark(marker: Marker): Promise<void>;
  /** Renames what lies at the place; answers the new name. */
  setAside(now: Date): Promise<string>;
  /** What was set aside before and is still there, the oldest first. */
  setAsideBefore(): Promise<string[]>;
}

/** The data directory of one node. `building` and set-aside folders lie beside it, on the same file system. */
export const dataDirectories = (datadir: string, clusterId: string): DataDirectories => {
  const building = `${datadir}.building`;
  const aside = `${datadir}.set-aside-`;
  const parent = dirname(datadir);
  const writeMarker = (folder: string, marker: Marker): Promise<void> =>
    writeDurably(join(folder, markerName), `${JSON.stringify(marker, undefined, 2)}\n`, 0o644);
  return {
    look: async () =>
      classifyDataDirectory(await listIfThere(datadir), await readIfThere(join(datadir, markerName)), clusterId),
    beginBuilding: async ({ uid, gid }) => {
      await rm(building, { recursive: true, force: true });
      await mkdir(building, { recursive: true, mode: 0o750 });
      if (process.getuid?.() === 0) await chown(building, uid, gid);
      return building;
    },
    place: async (folder, marker) => {
      await writeMarker(folder, marker);
      // An empty folder that a package or a mount left at the place gives way; anything else makes the rename fail.
      await rename(folder, datadir);
      await syncDirectory(parent);
    },
    mark: (marker) => writeMarker(datadir, marker),
    setAside: async (now) => {
      const name = `${aside}${now.toISOString().replaceAll(":", "-")}`;
      await rename(datadir, name);
      await syncDirectory(parent);
      return name;
    },
    setAsideBefore: async () => {
      const beside = (await listIfThere(parent)) ?? [];
      return beside
        .map((name) => join(parent, name))
        .filter((path) => path.startsWith(aside))
        .sort();
    },
  };
};
