import type { FaultApi } from "./faults.ts";

/** One emulated EC2 instance, as the hypervisor needs it. */
export interface CloudInstance {
  readonly instanceId: string;
  readonly privateIp: string;
  readonly availabilityZone: string;
  /** EC2's state: `pending`, `running`, `stopping`, `stopped`, `shutting-down` or `terminated`. */
  readonly state: string;
  /** Auto Scaling's state, for example `Pending:Wait`; absent when the instance is in no group. */
  readonly lifecycleState?: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Name of its Auto Scaling group. */
  readonly asg?: string;
  /** Name of its instance profile. */
  readonly instanceProfile?: string;
}

/** A command of Run Command, ready to run on a node. */
export interface NodeCommand {
  /** Lines of the document's `runCommand`, joined by newlines they are one shell script. No parameter is pasted in. */
  readonly script: readonly string[];
  /** Parameters as `SSM_<name>`, and nothing else. */
  readonly environment: Readonly<Record<string, string>>;
  /** Milliseconds after which the command must be ended and reported as timed out. */
  readonly timeoutMs: number;
  /** Aborted by CancelCommand and when the lab closes; the command must be ended. */
  readonly signal: AbortSignal;
}

/** What became of a command on a node. */
export interface NodeCommandResult {
  /** `null` when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** What runs the nodes; the hypervisor registers itself with `Cloud.attachNodes`. */
export interface NodeHost {
  /** Runs a command as the node's SSM agent would: as root of the node, with the node's PATH. */
  run(instanceId: string, command: NodeCommand): Promise<NodeCommandResult>;
  /** Whether the node is up and its SSM agent would answer. */
  isOn(instanceId: string): boolean;
}

/** Anything with an end. */
export interface Closable {
  close(): Promise<void>;
}

/** Instance metadata services of the nodes. */
export interface MetadataApi {
  /**
   * Serves IMDSv2 for one instance on `http://ADDRESS:8169`, which the node is told in `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
   * `address` is the node's own. Rejects when the port is taken or the instance unknown.
   */
  listen(instanceId: string, address: string): Promise<Closable>;
  /** The port that `listen` uses. */
  readonly port: number;
}

/** Access keys for one principal. */
export interface AccessKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** argv of the emulators' Python: the interpreter of an environment that has the package installed. */
export interface EmulatorPrograms {
  /** Python with `moto[server]`. */
  readonly motoPython: string;
  /** Python with `ministack`. */
  readonly ministackPython: string;
}

export interface CloudOptions {
  /** First two bytes of the lab's addresses, for example `127.5`: everything is on 127.5.0.0/16. */
  readonly network: string;
  /** Folder for what should outlive a restart; created when missing. */
  readonly stateDir: string;
  /** Folder for sockets, logs and process ids; created when missing, mode 0700. Its path must be short (below 80 characters). */
  readonly runDir: string;
  /** Folder where the data plane keeps tables, objects and secrets across restarts. Absent: in memory. */
  readonly persistDir?: string;
  /** Where the emulators are; by default from the lab's cache, which installs them when they are missing. */
  readonly programs?: EmulatorPrograms;
  /** Divides the intervals, timeouts and delays of target groups: 10 makes a 10 s health check interval 1 s. Default 10. */
  readonly timeFactor?: number;
  /** Divides heartbeat timeouts of lifecycle hooks. Default 1: nodes renew them by the real clock. */
  readonly hookTimeFactor?: number;
  /** Called with one line for people when something noteworthy happens. */
  readonly report?: (line: string) => void;
}

/** The lab's AWS. */
export interface Cloud {
  /** The one endpoint of every service: `http://127.N.0.1:4566`. */
  readonly endpoint: string;
  readonly network: string;
  readonly region: string;
  readonly accountId: string;
  /** The balancer's address: `127.N.0.10`. */
  readonly balancerAddress: string;
  /** Keys of the person who owns the account; the only ones that may send commands. New for each lab. */
  readonly operator: AccessKeys;
  /** Value of the `x-lab-secret` header of `/_lab/*`. New for each lab. */
  readonly labSecret: string;
  /** Variables that point an SDK, Terraform or an action at this cloud, with the operator's keys. */
  operatorEnvironment(): Record<string, string>;
  /** Variables for a node's processes: endpoint, region and its metadata service; no keys. */
  nodeEnvironment(privateIp: string): Record<string, string>;
  /** Instances that exist now; a terminated one is listed for a while with that state, as EC2 does. */
  instances(): readonly CloudInstance[];
  /** Calls the listener after each change of `instances()`; returns a function that stops it. */
  onChange(listener: (instances: readonly CloudInstance[]) => void): () => void;
  /** Registers what runs the nodes. Until then every command ends as undeliverable. */
  attachNodes(host: NodeHost): void;
  readonly metadata: MetadataApi;
  readonly faults: FaultApi;
  /** Process ids of the emulators, for measuring. */
  readonly processes: { readonly moto: number; readonly ministack: number };
  /** Ends everything that was started. */
  close(): Promise<void>;
}
