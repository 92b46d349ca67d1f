import { defineConfig } from "vitest/config";

/** `unit` starts no process and opens no port; `cluster` runs real servers, one file at a time, because the machine is small. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 10_000 } },
      {
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          exclude: process.env.PERCONA_TEST_FULL ? [] : ["test/cluster/**/*.long.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          pool: "forks",
        },
      },
      {
        test: {
          name: "release",
          include: ["test/release/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          pool: "forks",
        },
      },
    ],
  },
});
