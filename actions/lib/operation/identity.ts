import { createHash, randomUUID } from "node:crypto";
import * as v from "valibot";
import { isLive, type OperationKind, type OperationRecord } from "#contract/operation.ts";

const longestId = 100;

/**
 * The id of the operation that this step of this job is: the same when the job is run again, so that a re-run attaches instead of doing
 * it twice. Outside GitHub there is no run to be the same as: every id is new.
 */
export function defaultOperationId(
  kind: OperationKind,
  env: NodeJS.ProcessEnv,
  unique: () => string = randomUUID,
): string {
  if (!env.GITHUB_RUN_ID) return `${kind}-${unique()}`;
  const parts = [kind, env.GITHUB_RUN_ID, env.GITHUB_JOB, env.GITHUB_ACTION].filter((part) => part);
  const id = parts.join("-").replace(/[^A-Za-z0-9._-]/g, "-");
  if (id.length <= longestId) return id;
  const digest = createHash("sha256").update(id).digest("hex").slice(0, 12);
  return `${id.slice(0, longestId - digest.length - 1)}-${digest}`;
}

/** Who asked for it, for people, in characters that a document's parameter may have: the run's address and the person. */
export function requestedBy(env: NodeJS.ProcessEnv): string {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run, GITHUB_ACTOR: actor } = env;
  const text =
    server && repository && run
      ? `${server}/${repository}/actions/runs/${run}${actor ? ` by ${actor}` : ""}`
      : `a person outside GitHub${env.USER ? ` (${env.USER})` : ""}`;
  return text.replace(/[^A-Za-z0-9 ._:/@#()-]/g, "-").slice(0, 200);
}

/** What is asked for under an operation id. */
export interface Wanted<Input> {
  readonly kind: OperationKind;
  readonly input: Input;
  readonly schema: v.GenericSchema<unknown, Input>;
}

/** What to do about an operation id. */
export type IdDecision =
  /** Nobody has used it. */
  | { readonly do: "create" }
  /** The same is under way: watch it. */
  | { readonly do: "attach"; readonly record: OperationRecord }
  /** The same was done: its result is the answer. */
  | { readonly do: "answer"; readonly record: OperationRecord }
  /** The same was tried and ended otherwise: once more, in place of this record. */
  | { readonly do: "again"; readonly record: OperationRecord }
  /** It is another operation's; `because` says what differs. */
  | { readonly do: "refuse"; readonly because: string };

/** Decides by the record that has the id, if any. */
export function decideById<Input extends object>(
  record: OperationRecord | undefined,
  wanted: Wanted<Input>,
): IdDecision {
  if (record === undefined) return { do: "create" };
  if (record.kind !== wanted.kind) {
    return { do: "refuse", because: `it belongs to a ${record.kind}, not to a ${wanted.kind}` };
  }
  const there = v.safeParse(wanted.schema, record.input);
  if (!there.success) return { do: "refuse", because: "its input is not what this version expects" };
  const different = differences(there.output, wanted.input);
  if (different.length > 0) return { do: "refuse", because: `its input differs in ${different.join(", ")}` };
  if (isLive(record)) return { do: "attach", record };
  return { do: record.state === "succeeded" ? "answer" : "again", record };
}

/** Names of fields in which two inputs differ; the values are texts and numbers. */
function differences(one: object, other: object): string[] {
  const [a, b] = [one, other].map((each) => new Map<string, unknown>(Object.entries(each)));
  return [...new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])]
    .filter((name) => a?.get(name) !== b?.get(name))
    .sort();
}
