/** One figure: what was measured, beside what it is compared with, and where it should be. */
export interface Figure {
  readonly name: string;
  readonly unit: "ms" | "s" | "MB" | "%";
  readonly measured: readonly number[];
  readonly baseline?: { readonly name: string; readonly measured: readonly number[] };
  /** The goal that the product is judged by, in the same unit; compared with the p50 unless `goalAt` says otherwise. */
  readonly goal?: number;
  readonly goalAt?: "p50" | "p99";
  /** More is better. */
  readonly more?: boolean;
}

/** The value below which a share of the samples lies; the nearest sample, not an interpolation. */
export const percentile = (samples: readonly number[], share: number): number => {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? Number.NaN;
};

const digits = (value: number): string => value.toFixed(value >= 100 ? 0 : value >= 2 ? 1 : 2);

/** A figure as one line of a table. */
const row = (figure: Figure): string[] => {
  const p50 = percentile(figure.measured, 0.5);
  const p99 = percentile(figure.measured, 0.99);
  const baseline = figure.baseline && percentile(figure.baseline.measured, 0.5);
  const judged = figure.goalAt === "p99" ? p99 : p50;
  return [
    figure.name,
    `${digits(p50)} ${figure.unit}`,
    `${digits(p99)} ${figure.unit}`,
    baseline === undefined ? "" : `${digits(baseline)} ${figure.unit} (${figure.baseline?.name})`,
    baseline === undefined ? "" : `${(p50 / baseline).toFixed(2)}x`,
    figure.goal === undefined
      ? ""
      : `${figure.goal} ${figure.unit} ${(figure.more ? judged >= figure.goal : judged <= figure.goal) ? "met" : "MISSED"}`,
  ];
};

/** The figures as a table for people. */
export const figuresTable = (figures: readonly Figure[]): string => {
  const rows = [["figure", "p50", "p99", "baseline p50", "ratio", "goal"], ...figures.map(row)];
  const widths = rows[0]?.map((_cell, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0))) ?? [];
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
};
