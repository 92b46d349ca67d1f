import { startCloud } from "#lab/cloud/index.ts";

/** Starts a cloud as a process of its own, for tests that kill it. Writes one line of JSON when it is ready, and stays. */
const [network = "", folder = ""] = process.argv.slice(2);
const cloud = await startCloud({
  network,
  stateDir: `${folder}/state`,
  runDir: `${folder}/run`,
  persistDir: `${folder}/kept`,
});
const { accountId, endpoint, operator: keys, processes } = cloud;
process.stdout.write(`${JSON.stringify({ ...processes, accountId, endpoint, keys })}\n`);
