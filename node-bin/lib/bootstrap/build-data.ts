import type { BackupManifest } from "#contract/backup-manifest.ts";
import { restoreFull } from "../backup/restore.ts";
import type { Marker } from "../cluster/data-directory.ts";
import type { Grant } from "../coordination/lease.ts";
import { clusterAccounts } from "../mysql/accounts.ts";
import { initialiseDataDirectory, withPrivateServer } from "../mysql/initialise.ts";
import type { BootstrapContext } from "./context.ts";

const markerOf = (
  context: BootstrapContext,
  marker: Pick<Marker, "origin" | "formation"> & { backup?: Marker["backup"] },
): Marker => ({
  schema: 1,
  cluster_id: context.config.cluster_id,
  completed_at: context.now().toISOString(),
  ...marker,
});

/** Makes a new data directory with the cluster's accounts, under the election lock, and puts it into its place. */
export const initialiseData = async (context: BootstrapContext, grant: Grant, serverId: number): Promise<void> => {
  const { config, data } = context;
  const credentials = await context.credentials();
  await context.step("initialising a new data directory");
  const building = await data.beginBuilding();
  const { mysqld, defaults_file: defaultsFile, os_user: osUser } = config.mysql;
  await initialiseDataDirectory({ mysqld, defaultsFile, datadir: building, osUser });
  await context.step("creating the accounts");
  await withPrivateServer({ mysqld, defaultsFile, datadir: building, osUser }, async (server) => {
    await server.ensureAccounts(
      clusterAccounts({
        credentials,
        network: config.account_network,
        adminOsUser: config.mysql.admin_user,
        serverIds: [serverId],
        application: config.application,
      }),
    );
  });
  grant.assertHeld();
  await data.place(building, markerOf(context, { origin: "initialised", formation: grant.fence }));
};

/** Makes a data directory from a backup, under no lock, and puts it into its place. */
export const restoreData = async (context: BootstrapContext, backup: BackupManifest): Promise<void> => {
  const { bucket, data, log } = context;
  await context.step(`restoring the backup of ${backup.time}`);
  const building = await data.beginBuilding();
  await restoreFull({
    bucket,
    manifest: backup,
    intoDir: building,
    signal: context.signal,
    progress: (line) => log.info(line),
  });
  await data.place(
    building,
    markerOf(context, {
      origin: "restored",
      formation: backup.formation,
      backup: { time: backup.time, gtid_set: backup.gtid_set },
    }),
  );
};

/** Marks what lies at the place as this formation's. */
export const markData = (context: BootstrapContext, origin: Marker["origin"], formation: number): Promise<void> =>
  context.data.mark(markerOf(context, { origin, formation }));
