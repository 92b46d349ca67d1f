import { userInfo } from "node:os";
import type { BackupManifest } from "#contract/backup-manifest.ts";
import type { Credentials } from "#contract/credentials.ts";
import { units } from "#contract/names.ts";
import { restoreFull } from "../backup/restore.ts";
import type { Marker } from "../cluster/data-directory.ts";
import type { Grant } from "../coordination/lease.ts";
import { userIds } from "../host/users.ts";
import { type Account, clusterAccounts } from "../mysql/accounts.ts";
import { withAdoptedServer } from "../mysql/adopt.ts";
import { initialiseDataDirectory, withPrivateServer } from "../mysql/initialise.ts";
import type { BootstrapContext } from "./context.ts";
import { namingSetAside } from "./set-aside.ts";

const markerOf = (
  context: BootstrapContext,
  marker: Pick<Marker, "origin" | "formation"> & { backup?: Marker["backup"] },
): Marker => ({
  schema: 1,
  cluster_id: context.config.cluster_id,
  completed_at: context.now().toISOString(),
  ...marker,
});

const accountsOf = (context: BootstrapContext, credentials: Credentials, serverId: number): Account[] =>
  clusterAccounts({
    credentials,
    network: context.config.account_network,
    adminOsUser: userInfo().username,
    serverIds: [serverId],
    application: context.config.application,
  });

/** Makes a new data directory with the cluster's accounts, under the election lock, and puts it into its place. */
export const initialiseData = async (context: BootstrapContext, grant: Grant, serverId: number): Promise<void> => {
  const { config, data } = context;
  // A secret that cannot be read is found before anything is built.
  await context.credentials();
  await context.step("initialising a new data directory");
  const building = await data.beginBuilding(await userIds(context.run, config.mysql.os_user));
  const { mysqld, defaults_file: defaultsFile, os_user: osUser } = config.mysql;
  await initialiseDataDirectory({ mysqld, defaultsFile, datadir: building, osUser });
  await context.step("creating the accounts");
  const accounts = accountsOf(context, await context.credentials(), serverId);
  await withPrivateServer({ mysqld, defaultsFile, datadir: building, osUser }, (server) =>
    server.ensureAccounts(accounts),
  );
  grant.assertHeld();
  await data.place(building, markerOf(context, { origin: "initialised", formation: grant.fence }));
};

/** Makes a data directory from a backup, under no lock, and puts it into its place. */
export const restoreData = async (context: BootstrapContext, backup: BackupManifest): Promise<void> => {
  const { bucket, config, data, log } = context;
  await context.step(`restoring the backup of ${backup.time}`);
  const owner = await userIds(context.run, config.mysql.os_user);
  const building = await data.beginBuilding(owner);
  await restoreFull({
    bucket,
    manifest: backup,
    intoDir: building,
    owner,
    signal: context.signal,
    progress: (line) => log.info(line),
  }).catch(async (error: unknown) => {
    throw await namingSetAside(context, error);
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

/**
 * Takes over a data directory that this project did not make. The accounts of a first primary are made in it; a node that
 * joins gets them by replication, and only root's own log-in here.
 */
export const adoptData = async (
  context: BootstrapContext,
  formation: number,
  forming: { readonly serverId: number } | undefined,
): Promise<void> => {
  const { config, data, services } = context;
  await context.step("adopting the data directory that was found");
  await services.stop(units.mysql);
  const { mysqld, defaults_file: defaultsFile, os_user: osUser, datadir } = config.mysql;
  const accounts = forming ? accountsOf(context, await context.credentials(), forming.serverId) : [];
  await withAdoptedServer({ mysqld, defaultsFile, datadir, osUser, adminOsUser: userInfo().username }, (server) =>
    server.ensureAccounts(accounts),
  );
  await data.mark(markerOf(context, { origin: "adopted", formation }));
};
