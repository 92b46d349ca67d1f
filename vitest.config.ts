import { defineConfig } from "vitest/config";

const isFull = Boolean(process.env.PERCONA_TEST_FULL);

/** Files of real servers run one at a time, because the machine is small. */
const onRealServers = { testTimeout: 180_000, hookTimeout: 300_000, fileParallelism: false, pool: "forks" } as const;

/** What there is only with `write_routing: registration`. */
const registrationAlone = "test/cluster/routing/*.test.ts";

/** What of the others is short enough for every run. */
const routedSample = ["test/cluster/switchover/operation-is-stopped-at-a-step.test.ts"];

/** The situations in which it matters how clients reach the primary. */
const routedSituations = [
  "test/cluster/failover/*.test.ts",
  "test/cluster/switchover/*.test.ts",
  "test/cluster/bootstrap-return/a-node-has-transactions-of-its-own.test.ts",
  "test/cluster/ackers-come-and-go.test.ts",
  "test/cluster/chaos-sample.test.ts",
  "test/cluster/cluster-lives-through-restarts.test.ts",
  "test/cluster/something-is-wrong.test.ts",
  "test/cluster/status-is-asked-of-a-real-cluster.test.ts",
  "test/release/switchover-of-a-real-cluster.test.ts",
];

/**
 * `unit` starts no process and opens no port; `cluster` runs real servers; `registration` runs situations of `cluster` and `release`
 * once more, with nodes that are moved between the balancer's target groups instead of HAProxy on each of them.
 */
export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 10_000 } },
      {
        test: {
          ...onRealServers,
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          exclude: [registrationAlone, ...(isFull ? [] : ["test/cluster/**/*.long.test.ts"])],
        },
      },
      { test: { ...onRealServers, name: "release", include: ["test/release/**/*.test.ts"] } },
      {
        test: {
          ...onRealServers,
          name: "registration",
          env: { PERCONA_TEST_ROUTING: "registration" },
          include: [registrationAlone, ...(isFull ? routedSituations : routedSample)],
        },
      },
    ],
  },
});
