import * as v from "valibot";

/** What a failure reason tells the person who reads it. */
interface FailureReasonText {
  /** What it means. */
  readonly meaning: string;
  /** Whether anything was changed. */
  readonly changed: string;
  /** What to do next, and whether it is safe to run again. */
  readonly next: string;
}

const nothing = "Nothing was changed.";
const again = "Running it again is safe.";

/** The closed list of failure reasons: the `failure-reason` output of the actions, the journal and the READMEs use it. */
export const failureReasons = {
  "bad-input": {
    meaning: "An input is missing or has the wrong form.",
    changed: nothing,
    next: `Correct the named input. ${again}`,
  },
  "unknown-cluster": {
    meaning: "No instance, table or bucket of this cluster id was found.",
    changed: nothing,
    next: `Check the cluster id, the account and the region. ${again}`,
  },
  "instance-not-in-cluster": {
    meaning: "The named instance does not carry this cluster's tag.",
    changed: nothing,
    next: `Name an instance of this cluster. ${again}`,
  },
  "node-unreachable": {
    meaning: "A node did not answer in time.",
    changed: nothing,
    next: `Look at the node's SSM agent, network and agent log. ${again}`,
  },
  "permission-denied": {
    meaning: "AWS refused a call for lack of permission.",
    changed: "Nothing was changed by the refused call.",
    next: `Grant the named permission on the named resource. ${again}`,
  },
  "credentials-missing": {
    meaning: "The credentials secret does not exist, cannot be read, or lacks a key.",
    changed: nothing,
    next: `Repair the secret that the message names. ${again}`,
  },
  "credentials-refused": {
    meaning: "MySQL refused an account's password: the secret and the accounts disagree.",
    changed: "The node's data were not changed; it is out of the target groups.",
    next: `Put the right password into the secret. ${again}`,
  },
  "table-missing": {
    meaning: "The coordination table does not exist.",
    changed: nothing,
    next: `Create the table that the message names, or correct the node's configuration. ${again}`,
  },
  "store-unavailable": {
    meaning: "DynamoDB or S3 did not answer.",
    changed: "What was done so far is in the log; no step after it was begun.",
    next: `It is retried. ${again}`,
  },
  "aws-unavailable": {
    meaning: "An AWS service other than DynamoDB and S3 did not answer.",
    changed: "The call that failed may have taken effect.",
    next: `It is retried. ${again}`,
  },
  "record-malformed": {
    meaning: "An item of the coordination table does not have the form that this version expects.",
    changed: nothing,
    next: "Compare the item that the message names with its description; restore it, or install the version that wrote it.",
  },
  "existing-data": {
    meaning:
      "The cluster id has backups or an archive, but no topology record: an empty cluster here could replace data.",
    changed: nothing,
    next: "Restore the record or the cluster; start with --initialise-empty only when the old data may be forgotten.",
  },
  "foreign-data": {
    meaning: "The data directory holds data that this project did not put there.",
    changed: nothing,
    next: `Move it away, or start with --adopt to take it over. ${again}`,
  },
  "disk-full": {
    meaning: "The node's disk has no room for the next step.",
    changed: "Unfinished files were removed; complete data were left as they are.",
    next: `Make room or enlarge the volume. ${again}`,
  },
  "backup-corrupt": {
    meaning: "An object of the backup is missing, too short, or has another checksum than its manifest says.",
    changed: "The unfinished restore was discarded; other data were left as they are.",
    next: `Take a new full backup, or restore an older one. ${again}`,
  },
  "no-backup": {
    meaning: "There is no complete backup to restore.",
    changed: nothing,
    next: `Take a full backup. ${again}`,
  },
  "backup-failed": {
    meaning: "The backup could not be completed.",
    changed: "No manifest was written, so no one will restore it.",
    next: `See the cause in the message. ${again}`,
  },
  "binlogs-purged": {
    meaning: "The primary has purged binlogs that this node still needs.",
    changed: "The node is out of the target groups.",
    next: `It is restored from a newer backup. ${again}`,
  },
  "errant-transactions": {
    meaning: "A node has transactions that the primary does not have.",
    changed: "The node is out of the target groups; its data were left as they are.",
    next: "Look at the transactions that the message names, then reseed the node.",
  },
  "replication-broken": {
    meaning: "A replica's receiver or applier stopped with an error.",
    changed: "The node is out of the target groups.",
    next: `See MySQL's error in the message. ${again}`,
  },
  "lag-too-high": {
    meaning: "The replica is further behind than allowed.",
    changed: nothing,
    next: `Wait for it to catch up, or raise the limit. ${again}`,
  },
  "long-transactions": {
    meaning: "Transactions older than allowed are running on the primary.",
    changed: nothing,
    next: `End them or raise the limit. ${again}`,
  },
  "too-few-ackers": {
    meaning: "Fewer replicas may acknowledge than the wait count asks for.",
    changed: nothing,
    next: `Bring replicas back first. ${again}`,
  },
  "no-safe-candidate": {
    meaning:
      "Too few of the recorded ackers could be frozen to be sure that the candidate has every acknowledged write.",
    changed: nothing,
    next: "Bring back one of the nodes that the message names, or force the promotion and accept the loss.",
  },
  "version-not-allowed": {
    meaning: "A version is not one that this step allows.",
    changed: nothing,
    next: `See the versions in the message. ${again}`,
  },
  "unexpected-primary": {
    meaning: "The primary is another one than `expected-primary` says.",
    changed: nothing,
    next: "Read the status, then decide anew.",
  },
  "plan-changed": {
    meaning: "The plan made now differs from the one that was approved.",
    changed: nothing,
    next: "Read the new plan and approve it.",
  },
  "operation-in-progress": {
    meaning: "Another operation on this cluster has not ended.",
    changed: nothing,
    next: "Wait for it or attach to it by its id.",
  },
  "operation-id-taken": {
    meaning: "The operation id belongs to another kind of operation or other inputs.",
    changed: nothing,
    next: "Use a new operation id.",
  },
  "unknown-operation": {
    meaning: "The cluster has no operation of this id.",
    changed: nothing,
    next: `Check the operation id and the cluster id; ended operations are kept in the bucket. ${again}`,
  },
  superseded: {
    meaning: "Another node was recorded under a higher fence meanwhile.",
    changed: "What was done so far is in the journal; nothing after the loss was begun.",
    next: "Read the status; the newer primary stands.",
  },
  "lock-lost": {
    meaning: "The lease was not renewed in time and may belong to another.",
    changed: "What was done so far is in the journal; nothing after the loss was begun.",
    next: again,
  },
  "lock-held": { meaning: "Another holder has the lock.", changed: nothing, next: `Wait for it to end. ${again}` },
  "verification-failed": {
    meaning: "The end state that was read back is not the one that was asked for.",
    changed: "The steps in the journal were done.",
    next: "Read the differences in the message; the reconciler goes on repairing towards the record.",
  },
  "cluster-unhealthy": {
    meaning: "The status of a cluster is one that `fail-on` names.",
    changed: nothing,
    next: `Read the disagreements in the job summary; each says what it means and what to do. ${again}`,
  },
  "archive-gap": {
    meaning: "The binlog archive has a hole.",
    changed: nothing,
    next: "Take a full backup now; restore targets inside the gap cannot be reached.",
  },
  "timed-out": {
    meaning: "A step did not end within its time.",
    changed: "What was done so far is in the journal.",
    next: `See which step in the message. ${again}`,
  },
  interrupted: {
    meaning: "The process was ended before its work was.",
    changed: "What was done so far is in the journal.",
    next: again,
  },
  internal: {
    meaning: "An error that this project has no name for.",
    changed: "Unknown; read the journal.",
    next: "Report it with the log.",
  },
} as const satisfies Record<string, FailureReasonText>;

export type FailureReason = keyof typeof failureReasons;

/** Schema of a failure reason. */
export const FailureReasonName = v.picklist(Object.keys(failureReasons) as [FailureReason, ...FailureReason[]]);

/** What an error adds to its reason. */
export interface FailureDetails {
  /** What was seen and what was expected, naming the node, the object or the input. */
  readonly message: string;
  /** Overrides the reason's own sentence about what was changed. */
  readonly changed?: string;
  /** Overrides the reason's own sentence about what to do. */
  readonly next?: string;
  readonly cause?: unknown;
}

/** An error with a reason of the closed list. Its text is for the person who has to act on it. */
export class Failure extends Error {
  readonly reason: FailureReason;
  readonly changed: string;
  readonly next: string;

  constructor(reason: FailureReason, details: FailureDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "Failure";
    this.reason = reason;
    this.changed = details.changed ?? failureReasons[reason].changed;
    this.next = details.next ?? failureReasons[reason].next;
  }
}

/** What anything that was thrown says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A failure as JSON, as scripts and agents answer it. */
export const FailureReport = v.object({
  failure_reason: FailureReasonName,
  message: v.string(),
  changed: v.string(),
  next: v.string(),
});
export type FailureReport = v.InferOutput<typeof FailureReport>;

/** Any error as JSON. */
export const failureReport = (error: unknown): FailureReport => ({
  failure_reason: reasonOf(error),
  message: messageOf(error),
  changed: error instanceof Failure ? error.changed : failureReasons.internal.changed,
  next: error instanceof Failure ? error.next : failureReasons.internal.next,
});

/** The failure as one paragraph: reason, what was seen, what was changed, what to do. */
export const describeFailure = (error: unknown): string => {
  if (error instanceof Failure) return `${error.reason}: ${error.message} ${error.changed} ${error.next}`;
  return `internal: ${messageOf(error)}`;
};

/** The reason of any error; `internal` for those without one. */
export const reasonOf = (error: unknown): FailureReason => (error instanceof Failure ? error.reason : "internal");
