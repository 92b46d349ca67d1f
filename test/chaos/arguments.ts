import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { messageOf } from "#contract/failure-reasons.ts";
import { type FaultKind, faultKinds } from "./schedule.ts";

/** What was asked for on the command line. */
export interface ChaosArguments {
  readonly seed: number;
  readonly nodes: 3 | 5;
  readonly minutes: number;
  readonly writes?: number;
  readonly faults?: number;
  readonly writers: number;
  readonly perSecond: number;
  readonly kinds: readonly FaultKind[];
  readonly routing: "forward" | "registration";
  /** The history is saved also when nothing is wrong. */
  readonly history: boolean;
}

export const usage = `Usage: npm run chaos -- [OPTIONS]

  --minutes M          no fault begins later (10, or without end when --writes or --faults is given)
  --seed S             which schedule; a fresh one by default, which is printed
  --writes N           end when so many writes are acknowledged, and so many faults done
  --faults N           whichever of the two is given
  --nodes 3|5          size of the cluster (3)
  --writers N          clients that write at the same time (8)
  --rate N             writes a second of all of them (300)
  --only KIND,KIND     faults of these kinds: ${faultKinds.join(", ")}
  --routing forward|registration
                       how clients reach the primary (forward)
  --history            save the history also when nothing is wrong`;

/** What was typed cannot be done; the message says what can. */
export class UsageError extends Error {
  override name = "UsageError";
}

const isKind = (word: string): word is FaultKind => faultKinds.some((kind) => kind === word);

/** A seed that nobody has had. */
export const freshSeed = (): number => randomInt(2 ** 31);

/** Understands a command line. @throws UsageError */
export const parseArguments = (argv: readonly string[]): ChaosArguments | "help" => {
  const values = parsed(argv);
  if (values.help) return "help";
  const number = (name: "minutes" | "seed" | "writes" | "faults" | "writers" | "rate"): number | undefined => {
    const text = values[name];
    if (text === undefined) return undefined;
    if (!/^\d+(\.\d+)?$/.test(text) || (name !== "minutes" && text.includes("."))) {
      throw new UsageError(`--${name} takes a number, not ${text}.`);
    }
    return Number(text);
  };
  const { nodes = "3", routing = "forward", only } = values;
  if (nodes !== "3" && nodes !== "5") throw new UsageError(`--nodes takes 3 or 5, not ${nodes}.`);
  if (routing !== "forward" && routing !== "registration") {
    throw new UsageError(`--routing takes forward or registration, not ${routing}.`);
  }
  const kinds = only?.split(",") ?? faultKinds;
  const unknown = kinds.filter((kind) => !isKind(kind));
  if (unknown.length > 0) {
    throw new UsageError(`There is no fault ${unknown.join(", ")}; there are ${faultKinds.join(", ")}.`);
  }
  const [writes, faults] = [number("writes"), number("faults")];
  const limited = writes !== undefined || faults !== undefined;
  return {
    seed: number("seed") ?? freshSeed(),
    nodes: nodes === "3" ? 3 : 5,
    minutes: number("minutes") ?? (limited ? Number.POSITIVE_INFINITY : 10),
    ...(writes === undefined ? {} : { writes }),
    ...(faults === undefined ? {} : { faults }),
    writers: number("writers") ?? 8,
    perSecond: number("rate") ?? 300,
    kinds: kinds.filter(isKind),
    routing,
    history: values.history ?? false,
  };
};

const parsed = (argv: readonly string[]) => {
  const text = { type: "string" } as const;
  const options = {
    minutes: text,
    seed: text,
    writes: text,
    faults: text,
    nodes: text,
    writers: text,
    rate: text,
    only: text,
    routing: text,
    history: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  } as const;
  try {
    return parseArgs({ args: [...argv], options }).values;
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
};
