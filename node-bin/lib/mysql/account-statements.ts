import { type Account, completionAttribute, completionMark } from "./accounts.ts";
import type { SqlValue } from "./connection.ts";
import type { Query } from "./sessions.ts";

/** One statement of an account's making. */
export interface AccountStatement {
  readonly sql: string;
  readonly values: readonly SqlValue[];
  /** A password is among the values. */
  readonly secret: boolean;
}

/**
 * The statements that make an account what it should be, whether it is there or not. Its mark comes last, so that one which
 * was left unfinished is finished the next time. `IF EXISTS` keeps a replica that lacks the account from stopping.
 */
export const accountStatements = (account: Account, exists: boolean): AccountStatement[] => {
  const { user, host, login, grants, mayGrant = false, schema } = account;
  const who: readonly SqlValue[] = [user, host];
  const plain = (sql: string, values: readonly SqlValue[]): AccountStatement => ({ sql, values, secret: false });
  const identified: { how: string; value: string } =
    "osUser" in login
      ? { how: "IDENTIFIED WITH auth_socket AS ?", value: login.osUser }
      : { how: "IDENTIFIED WITH caching_sha2_password BY ?", value: login.password };
  const secret = "password" in login;
  return [
    ...(schema === undefined ? [] : [plain(`CREATE DATABASE IF NOT EXISTS \`${schema}\``, [])]),
    { sql: `CREATE USER IF NOT EXISTS ?@? ${identified.how}`, values: [...who, identified.value], secret },
    ...(exists
      ? [
          {
            sql: `ALTER USER IF EXISTS ?@? ${identified.how} ACCOUNT UNLOCK`,
            values: [...who, identified.value],
            secret,
          },
          // Never from root, which does this itself and would stand without privileges if it ended here.
          ...(mayGrant ? [] : [plain("REVOKE ALL PRIVILEGES, GRANT OPTION FROM ?@?", who)]),
        ]
      : []),
    ...grants.map(({ privileges, on }) =>
      plain(`GRANT ${privileges.join(", ")} ON ${on} TO ?@?${mayGrant ? " WITH GRANT OPTION" : ""}`, who),
    ),
    plain("ALTER USER IF EXISTS ?@? ATTRIBUTE ?", [
      ...who,
      JSON.stringify({ [completionAttribute]: completionMark(account) }),
    ]),
  ];
};

/** An account that the server has. */
export interface FoundAccount {
  readonly user: string;
  readonly host: string;
  readonly locked: boolean;
  /** The mark of a complete account of ours. */
  readonly mark: string | undefined;
}

/** Reads all accounts of the server. */
export const readAccounts = async (query: Query): Promise<FoundAccount[]> => {
  const rows = await query(
    `SELECT User user, Host host, account_locked locked,
            JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.metadata.${completionAttribute}')) mark
       FROM mysql.user`,
  );
  return rows.map((row) => ({
    user: row.user ?? "",
    host: row.host ?? "",
    locked: row.locked === "Y",
    mark: row.mark ?? undefined,
  }));
};

/** Whether the server has the account, complete. */
export const isComplete = (found: readonly FoundAccount[], account: Account): boolean =>
  found.some((f) => f.user === account.user && f.host === account.host && f.mark === completionMark(account));
