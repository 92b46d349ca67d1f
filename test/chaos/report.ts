import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "#lab/lab.ts";
import { textTable } from "#lab/tables.ts";
import type { Outcome, Violation } from "./history.ts";
import type { ChaosResult, RoundResult } from "./run-chaos.ts";

const percentile = (values: readonly number[], part: number): number => {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
};

const inSeconds = (ms: number): string => (ms / 1000).toFixed(2);

const byKind = (rounds: readonly RoundResult[]): string[][] =>
  [...Map.groupBy(rounds, ({ kind }) => kind)]
    .sort(([one], [other]) => one.localeCompare(other, "en"))
    .map(([kind, played]) => {
      const gaps = played.map(({ gapMs }) => gapMs);
      const healthy = played.map(({ healedAt, healthyAt }) => healthyAt - healedAt);
      return [
        kind,
        String(played.length),
        inSeconds(percentile(gaps, 0.5)),
        inSeconds(Math.max(...gaps)),
        inSeconds(percentile(healthy, 0.5)),
        inSeconds(Math.max(...healthy)),
      ];
    });

/** The result for people: what was written, what was done, how long writes waited, and what must be 0. */
export const summary = ({
  seed,
  seconds,
  rounds,
  writes,
  violations,
  failedConnections,
  backups,
  kinds,
  leftOut,
}: ChaosResult): string => {
  const count = (outcome: Outcome): number => writes.filter((write) => write.outcome === outcome).length;
  const found = (kind: Violation["kind"]): number => violations.filter((violation) => violation.kind === kind).length;
  return [
    `seed ${seed}, ${Math.round(seconds)} s, ${rounds.length} rounds`,
    `writes: ${count("acknowledged")} acknowledged, ${count("refused")} refused, ${count("unknown")} unknown; ${failedConnections} connections came to nothing`,
    `backups: ${backups.taken} taken, ${backups.failed} came to nothing`,
    textTable(["fault", "rounds", "gap p50 s", "gap max s", "healthy p50 s", "healthy max s"], byKind(rounds)),
    `lost ${found("lost")}, never sent ${found("phantom")}, two writers ${found("two-writers")}, diverged ${found("diverged")}, not healthy again ${found("not-healthy")}, operations that did not end ${found("stuck-operation")}`,
    ...leftOut,
    `the same schedule again: npm run chaos -- --seed ${seed} --only ${kinds.join(",")}`,
  ].join("\n");
};

const lines = (items: readonly unknown[]): string => items.map((item) => `${JSON.stringify(item)}\n`).join("");

/** What of a journal is kept, lines. */
const journalTail = 20_000;

/** Saves everything that a person needs to find the cause. Resolves with the folder. */
export const saveHistory = async (lab: Lab, result: ChaosResult): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), `percona-chaos-${result.seed}-`));
  const at = (ms: number): string => new Date(performance.timeOrigin + ms).toISOString();
  const events = [
    ...result.rounds.flatMap((round) => [
      { at: at(round.beganAt), what: `#${round.number} ${round.text}` },
      ...round.done.map((done) => ({ at: at(done.at), what: done.what })),
      {
        at: at(round.healthyAt),
        what: `#${round.number} is over; no write acknowledged for ${Math.round(round.gapMs)} ms`,
      },
    ]),
  ];
  const records = result.record.versions.map(({ seenAt, record }) => ({ at: at(seenAt), ms: seenAt, ...record }));
  await writeFile(
    join(folder, "violations.txt"),
    `${result.violations.map(({ kind, message }) => `${kind}: ${message}`).join("\n")}\n`,
  );
  await writeFile(join(folder, "events.jsonl"), lines(events));
  await writeFile(join(folder, "records.jsonl"), lines(records));
  await writeFile(join(folder, "reigns.jsonl"), lines(result.record.reigns));
  await writeFile(
    join(folder, "writes.csv"),
    `writer,sequence,sent_at,answered_at,outcome,server\n${result.writes
      .map((w) => [w.writer, w.sequence, at(w.sentAt), at(w.answeredAt), w.outcome, w.server].join(","))
      .join("\n")}\n`,
  );
  await writeFile(join(folder, "overview.json"), `${JSON.stringify(await lab.overview().catch(String), null, 2)}\n`);
  for (const node of await lab.nodes()) {
    const journals = join(folder, node.name);
    await mkdir(journals);
    for (const [unit, text] of Object.entries(await lab.logs(node.name))) {
      await writeFile(join(journals, `${unit}.log`), text.split("\n").slice(-journalTail).join("\n"));
    }
    const status = await lab.status(node.name).catch(String);
    await writeFile(join(journals, "status.json"), `${JSON.stringify({ node, status }, null, 2)}\n`);
  }
  return folder;
};
