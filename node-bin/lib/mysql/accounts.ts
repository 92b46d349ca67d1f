import { createHash } from "node:crypto";
import { accountNames, type Credentials } from "#contract/credentials.ts";

/** Where an account may log in from. */
export const hosts = { local: "localhost", loopback: "127.0.0.1" } as const;

/** One grant: privileges on everything, on a schema, or on a table. */
export interface AccountGrant {
  readonly privileges: readonly string[];
  /** As MySQL writes it: `*.*`, or names in backticks. */
  readonly on: string;
}

/** A MySQL account as it should be. */
export interface Account {
  readonly user: string;
  readonly host: string;
  /** By password, or by the operating system's user at the other end of the unix socket. */
  readonly login: { readonly password: string } | { readonly osUser: string };
  readonly grants: readonly AccountGrant[];
  /** With `WITH GRANT OPTION` on each grant. */
  readonly mayGrant?: boolean;
  /** A schema that is made for it. */
  readonly schema?: string;
  /**
   * Whether its statements go to the binlog. Those of accounts that belong to one node do not: they must not wait for an
   * acknowledgement, because the node that could acknowledge may be the one that needs the account.
   */
  readonly replicated: boolean;
  /** Made on this server alone before, and now with the binlog: another mark, so that it is done once. */
  readonly everywhere?: boolean;
}

const everything = "*.*";
const on = (privileges: readonly string[], where: string = everything): AccountGrant => ({ privileges, on: where });

/**
 * The account under which one node receives from whichever primary it has. It is made on each primary for itself, without
 * the binlog: a primary whose ackers are all gone must be able to let their replacements in, and a commit that waits for an
 * acknowledgement would never end then. Once enough ackers are there it is made everywhere.
 */
export const replicationAccount = (options: {
  readonly serverId: number;
  readonly network: string;
  readonly password: string;
  /** Whether it goes to the replicas too, so that the next primary lets this node in from its first moment on. */
  readonly everywhere?: boolean;
}): Account => ({
  user: accountNames.replication(options.serverId),
  host: options.network,
  login: { password: options.password },
  grants: [on(["REPLICATION SLAVE"])],
  replicated: options.everywhere === true,
  ...(options.everywhere ? { everywhere: true } : {}),
});

/** What the accounts of a cluster depend on. */
export interface ClusterAccountsOptions {
  readonly credentials: Credentials;
  /** Network that other nodes log in from, `10.1.0.0/255.255.0.0`. */
  readonly network: string;
  /** Operating system's user that the agents run as; it logs in as root by the socket. */
  readonly adminOsUser: string;
  /** Nodes that get a replication account now; others get theirs from the primary when they are allocated a server id. */
  readonly serverIds: readonly number[];
  readonly application?: { readonly schema: string; readonly user: string } | undefined;
}

const rootAccounts = ({ credentials, adminOsUser }: ClusterAccountsOptions): Account[] => [
  {
    user: "root",
    host: hosts.loopback,
    login: { password: credentials.root },
    grants: [on(["ALL PRIVILEGES"])],
    mayGrant: true,
    replicated: true,
  },
  {
    user: "root",
    host: hosts.local,
    login: { osUser: adminOsUser },
    grants: [on(["ALL PRIVILEGES"])],
    mayGrant: true,
    // The operating system's users are the node's own.
    replicated: false,
  },
];

const backupAccount = ({ credentials }: ClusterAccountsOptions): Account => ({
  user: accountNames.backup,
  host: hosts.local,
  login: { password: credentials.backup },
  // What XtraBackup asks for, and BACKUP_ADMIN is also what a local clone needs.
  grants: [
    on(["RELOAD", "LOCK TABLES", "PROCESS", "REPLICATION CLIENT", "BACKUP_ADMIN"]),
    on(["SELECT"], "`performance_schema`.`log_status`"),
    on(["SELECT"], "`performance_schema`.`keyring_component_status`"),
    on(["SELECT"], "`performance_schema`.`replication_group_members`"),
  ],
  replicated: true,
});

const monitorAccounts = ({ credentials, network }: ClusterAccountsOptions): Account[] =>
  [hosts.local, network].map((host) => ({
    user: accountNames.monitor,
    host,
    login: { password: credentials.monitor },
    grants: [on(["PROCESS", "REPLICATION CLIENT"]), on(["SELECT"], "`performance_schema`.*")],
    replicated: true,
  }));

const orchestratorAccount = ({ credentials, network }: ClusterAccountsOptions): Account => ({
  user: accountNames.orchestrator,
  host: network,
  login: { password: credentials.orchestrator },
  // It looks, and never changes replication: what it would stop and start could end a freeze.
  grants: [on(["PROCESS", "REPLICATION SLAVE", "REPLICATION CLIENT"]), on(["SELECT"], "`performance_schema`.*")],
  replicated: true,
});

const probeAccount = ({ credentials, network }: ClusterAccountsOptions): Account => ({
  user: accountNames.probe,
  host: network,
  login: { password: credentials.monitor },
  schema: "percona_actions",
  grants: [on(["CREATE", "SELECT", "INSERT", "UPDATE", "DELETE"], "`percona\\_actions`.*")],
  replicated: true,
});

const applicationAccounts = ({ application, credentials }: ClusterAccountsOptions): Account[] => {
  if (!application || credentials.app === undefined) return [];
  return [
    {
      user: application.user,
      host: "%",
      login: { password: credentials.app },
      schema: application.schema,
      grants: [on(["ALL PRIVILEGES"], `\`${application.schema.replaceAll("_", "\\_")}\`.*`)],
      replicated: true,
    },
  ];
};

/**
 * All accounts of a new cluster, each with the least it needs. root's log-in by socket comes last: until it is there, the
 * initialised directory's root without a password is.
 */
export const clusterAccounts = (options: ClusterAccountsOptions): Account[] => {
  const { credentials, network, serverIds } = options;
  const [loopbackRoot, socketRoot] = rootAccounts(options);
  return [
    loopbackRoot as Account,
    backupAccount(options),
    ...monitorAccounts(options),
    orchestratorAccount(options),
    probeAccount(options),
    ...serverIds.map((serverId) => replicationAccount({ serverId, network, password: credentials.replication })),
    ...applicationAccounts(options),
    socketRoot as Account,
  ];
};

/** Key of the user attribute that the last statement of an account sets. */
export const completionAttribute = "percona_actions";

/** Names what an account may do and how it logs in, without its password: an account that carries it is complete. */
export const completionMark = ({ user, host, login, grants, mayGrant = false, everywhere }: Account): string =>
  createHash("sha256")
    .update(
      JSON.stringify([
        user,
        host,
        "osUser" in login ? login.osUser : "password",
        grants,
        mayGrant,
        ...(everywhere ? ["everywhere"] : []),
      ]),
    )
    .digest("hex")
    .slice(0, 16);
