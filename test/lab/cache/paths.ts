import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * The folder that holds all entries: `$PERCONA_ACTIONS_CACHE`, else `percona-actions` in `$XDG_CACHE_HOME`, else in `~/.cache`.
 *
 * @throws when the path has a `:`, because the loader of the unpacked programs separates library folders by it.
 */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env, home: string = homedir()): string {
  const root = resolve(
    env.PERCONA_ACTIONS_CACHE || join(env.XDG_CACHE_HOME || join(home, ".cache"), "percona-actions"),
  );
  if (root.includes(":")) {
    throw new Error(
      `The cache folder ${root} has a ':' in its path, which the loader of the unpacked programs cannot take. Nothing was changed. Set PERCONA_ACTIONS_CACHE to a folder without one.`,
    );
  }
  return root;
}
