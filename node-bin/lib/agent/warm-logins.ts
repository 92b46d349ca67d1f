import { accountNames } from "#contract/credentials.ts";
import type { AgentContext } from "./context.ts";

/**
 * Logs in at this node's mysqld with the accounts whose passwords the secret holds. A server has to work out a password that it has not
 * seen since it was started, some milliseconds of a core for each session; after that its clients are let in at once. A new primary meets
 * all its clients in one moment. Never fails: an account that is not let in costs its clients the time, and nothing else.
 */
export const warmLogins = async ({ config, credentials, logIn, state }: AgentContext): Promise<void> => {
  if (!state.mysql.up || state.bootstrap?.state !== "joined") return;
  const { app, monitor } = await credentials();
  const accounts = [
    { user: accountNames.probe, password: monitor },
    ...(config.application === undefined || app === undefined
      ? []
      : [{ user: config.application.user, password: app }]),
  ];
  await Promise.allSettled(accounts.map(({ user, password }) => logIn(user, password)));
};

/** The same once in each life of mysqld. */
export const warmNewServer = async (context: AgentContext): Promise<void> => {
  const { state } = context;
  const life = state.mysql.up ? state.mysql.incarnation : undefined;
  if (life === undefined || life === state.warmedLife || state.bootstrap?.state !== "joined") return;
  state.warmedLife = life;
  await warmLogins(context);
};
