import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensureMinistack, ensureMoto, reportLines } from "#lab/cache/index.ts";
import { createAutoScalingApi } from "./auto-scaling-api.ts";
import { type Answer, AwsError } from "./aws-error.ts";
import { isRead } from "./aws-request.ts";
import { createEmulatorClients } from "./emulator-clients.ts";
import { type Emulator, exchange, startEmulator } from "./emulators.ts";
import { createFaults } from "./faults.ts";
import { type BufferedCall, startGateway } from "./gateway.ts";
import { createGroupMembers } from "./group-members.ts";
import { createInventory } from "./inventory.ts";
import { createLoadBalancing } from "./load-balancing.ts";
import { describeTargetHealth } from "./load-balancing-api.ts";
import { createMetadata, metadataPort } from "./metadata.ts";
import { createPrincipals } from "./principals.ts";
import { createRunCommand } from "./run-command.ts";
import { verifySignature } from "./signature.ts";
import type { Closable, Cloud, CloudInstance, CloudOptions, EmulatorPrograms } from "./types.ts";
import { descend, parseXml, textOf } from "./xml-tree.ts";

const region = "us-east-1";
const accountId = "123456789012";
const gatewayPort = 4566;
const firstBalancerHost = 10;
const defaultTimeFactor = 10;

/** Calls that decide what runs on this machine: they need the operator's own signature; functions may send what there is. */
const signedOperations = new Set([
  "SendCommand",
  "CancelCommand",
  "CreateDocument",
  "UpdateDocument",
  "UpdateDocumentDefaultVersion",
  "DeleteDocument",
]);

/** Changes of EC2 that concern instances. */
const concernsInstances = (operation: string): boolean => /Instance|Tags$|IamInstanceProfile/.test(operation);

const findPrograms = async (report: (line: string) => void): Promise<EmulatorPrograms> => {
  const progress = reportLines((line) => report(line.trimEnd()));
  const [moto, ministack] = await Promise.all([ensureMoto(progress), ensureMinistack(progress)]);
  const python = ({ command }: { readonly command: readonly string[] }): string => {
    const [program] = command;
    if (program === undefined) throw new Error("The cache named no program for an emulator. Nothing was started.");
    return program;
  };
  return { motoPython: python(moto), ministackPython: python(ministack) };
};

/** Runs pieces of work one after the other. */
const createQueue = () => {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };
};

/**
 * Starts the lab's AWS: the emulators on unix sockets in `runDir`, the endpoint on `http://NETWORK.0.1:4566`, balancers from
 * `NETWORK.0.10` on. Everything ends with `close()` and with this process, however that dies.
 *
 * @throws when an emulator cannot be installed or started, or an address is in use; what had been started is ended.
 */
export const startCloud = async (options: CloudOptions): Promise<Cloud> => {
  const { network, stateDir, runDir, persistDir } = options;
  if (!/^127\.([1-9]\d?|1\d\d|2[0-4]\d|25[0-5])$/.test(network)) {
    throw new Error(
      `The lab's network is '${network}'; it must be 127.1 to 127.255, so that all is on loopback. Nothing was started.`,
    );
  }
  const report = options.report ?? (() => undefined);
  const timeFactor = options.timeFactor ?? defaultTimeFactor;
  const endpoint = `http://${network}.0.1:${gatewayPort}`;
  const balancerAddress = (n: number): string => `${network}.0.${firstBalancerHost + n}`;
  const now = (): number => performance.now();
  const programs = options.programs ?? (await findPrograms(report));
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const objectsDir = persistDir === undefined ? join(stateDir, "objects") : join(persistDir, "objects");
  if (persistDir === undefined) await rm(objectsDir, { recursive: true, force: true });
  await mkdir(objectsDir, { recursive: true, mode: 0o700 });

  const principals = createPrincipals(accountId);
  const opened: Closable[] = [];
  const closeAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const part of opened.splice(0).reverse()) {
      try {
        await part.close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "Parts of the lab's AWS did not end as they should.");
  };

  try {
    const started = await Promise.allSettled([
      startEmulator({
        name: "moto",
        python: programs.motoPython,
        runDir,
        environment: { MOTO_ACCOUNT_ID: accountId, AWS_DEFAULT_REGION: region, DISABLE_GLOBAL_CORS: "true" },
      }),
      startEmulator({
        name: "ministack",
        python: programs.ministackPython,
        runDir,
        environment: {
          // Functions of the emulated Lambda run on this Node.
          PATH: `${dirname(process.execPath)}:${process.env.PATH ?? "/usr/bin:/bin"}`,
          NODE_OPTIONS: `--import=${new URL("./emulators/function_lifeline.mjs", import.meta.url).href}`,
          // The emulator hands its own secret to functions.
          AWS_SECRET_ACCESS_KEY: principals.functions.secretAccessKey,
          MINISTACK_ACCOUNT_ID: accountId,
          MINISTACK_REGION: region,
          AWS_DEFAULT_REGION: region,
          AWS_ENDPOINT_URL: endpoint,
          // No container of this machine is the lab's.
          DOCKER_HOST: "unix:///nonexistent",
          SFTP_ENABLED: "0",
          IOT_MTLS_ENABLED: "0",
          LOG_LEVEL: "WARNING",
          S3_PERSIST: "1",
          S3_DATA_DIR: objectsDir,
          ...(persistDir === undefined ? {} : { PERSIST_STATE: "1", STATE_DIR: join(persistDir, "state") }),
        },
      }),
    ]);
    for (const outcome of started) if (outcome.status === "fulfilled") opened.push(outcome.value);
    const [moto, ministack] = started.map((outcome): Emulator => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
    if (moto === undefined || ministack === undefined) throw new Error("An emulator was started and got lost.");
    const emulators = { moto, ministack };

    let isClosing = false;
    for (const emulator of [moto, ministack]) {
      void emulator.ended.then(() => {
        if (!isClosing)
          report(`cloud: ${emulator.name} ended unexpectedly; its log is ${join(runDir, `${emulator.name}.log`)}`);
      });
    }

    const place = { accountId, region };
    const faults = createFaults();
    const clients = createEmulatorClients(emulators, place);
    opened.push({ close: async () => clients.close() });
    const inventory = createInventory(clients, now);
    const queue = createQueue();
    const listeners = new Set<(instances: readonly CloudInstance[]) => void>();
    let shown = "";

    const settle = async (): Promise<void> => {
      await members.reconcile();
      await balancing.refresh();
      const instances = listInstances();
      const text = JSON.stringify(instances);
      if (text === shown) return;
      shown = text;
      for (const listener of listeners) listener(instances);
    };
    const exclusive = <T>(work: () => Promise<T>): Promise<T> =>
      queue(async () => {
        try {
          return await work();
        } finally {
          if (!isClosing) await settle();
        }
      });

    const members = createGroupMembers({
      clients,
      inventory,
      now,
      hookFactor: options.hookTimeFactor ?? 1,
      healthFactor: timeFactor,
      exclusive,
      report,
    });
    opened.push({ close: async () => members.close() });
    const balancing = createLoadBalancing({ clients, inventory, balancerAddress, timeFactor, report });
    opened.push(balancing);

    const listInstances = (): CloudInstance[] =>
      inventory.instances().map(({ instanceId, privateIp, availabilityZone, state, tags, instanceProfileArn }) => {
        const member = members.member(instanceId);
        return {
          instanceId,
          privateIp,
          availabilityZone,
          state,
          tags,
          ...(member === undefined ? {} : { lifecycleState: member.state, asg: member.group }),
          ...(instanceProfileArn === undefined ? {} : { instanceProfile: instanceProfileArn.replace(/^.*\//, "") }),
        };
      });

    const roles = new Map<string, string>();
    const roleOf = async (profileArn: string): Promise<string | undefined> => {
      const known = roles.get(profileArn);
      if (known !== undefined) return known;
      const scope = `Credential=LABGATEWAY/20260101/${region}/iam/aws4_request`;
      const name = profileArn.replace(/^.*\//, "");
      const answer = await exchange(moto, {
        method: "POST",
        path: "/",
        headers: {
          authorization: `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=host, Signature=0`,
          "content-type": "application/x-www-form-urlencoded",
          host: "moto",
        },
        body: new URLSearchParams({
          Action: "GetInstanceProfile",
          Version: "2010-05-08",
          InstanceProfileName: name,
        }).toString(),
      });
      if (answer.status !== 200) return undefined;
      const path = ["GetInstanceProfileResponse", "GetInstanceProfileResult", "InstanceProfile", "Roles", "member"];
      const role = textOf(descend(parseXml(answer.body.toString()), ...path), "RoleName");
      if (role !== undefined) roles.set(profileArn, role);
      return role;
    };

    const metadata = createMetadata({
      inventory,
      principals,
      faults,
      place,
      now,
      roleOf,
      targetLifecycleState: (instanceId) => {
        const member = members.member(instanceId);
        if (member === undefined) return undefined;
        return member.state === "Terminating:Wait" ? "Terminated" : "InService";
      },
    });
    opened.push(metadata);
    const runCommand = createRunCommand({
      ssm: clients.ssm,
      targets: () => inventory.instances(),
      now,
      timeFactor,
      report,
    });
    opened.push(runCommand);
    const autoScaling = createAutoScalingApi(members, inventory);

    const verified = async (call: BufferedCall): Promise<void> => {
      const { method, path, query, body, operation, principal, request } = call;
      const isFunctions = principal === "lambda" && operation === "SendCommand";
      const keys = isFunctions ? principals.functions : principals.operator;
      await verifySignature({ method, path, query, body, headers: request.headers }, keys, new Date());
    };
    const answer = async (call: BufferedCall): Promise<Answer> => {
      const { service, operation, form, forward } = call;
      switch (service) {
        case "ssm":
          if (signedOperations.has(operation)) await verified(call);
          return (await runCommand.handle(operation, call.body)) ?? forward();
        case "lambda":
          await verified(call);
          return forward();
        case "autoscaling": {
          const work = (): Promise<Answer> => autoScaling({ operation, form, forward });
          return isRead(operation) ? work() : exclusive(work);
        }
        case "elasticloadbalancing":
          if (operation === "DescribeTargetHealth") return describeTargetHealth(balancing, form, forward);
          return isRead(operation) ? forward() : exclusive(forward);
        case "ec2":
          return isRead(operation) || !concernsInstances(operation) ? forward() : exclusive(forward);
        default:
          return forward();
      }
    };

    const began = Date.now();
    const gateway = await startGateway(
      {
        emulators,
        principals,
        faults,
        answer,
        report,
        // Functions run on this machine, so whoever changes them must sign.
        needsBody: (service, operation, method) => service === "lambda" && method !== "GET" && operation !== "Invoke",
        health: () => ({
          status: "ok",
          upSeconds: Math.round((Date.now() - began) / 1000),
          emulators: { moto: moto.pid, ministack: ministack.pid },
          instances: listInstances().filter(({ state }) => state === "running").length,
          faults: faults.list().length,
        }),
      },
      { address: `${network}.0.1`, port: gatewayPort },
    );
    opened.push(gateway);
    await queue(settle);

    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      isClosing = true;
      await closeAll();
      if (persistDir === undefined) await rm(objectsDir, { recursive: true, force: true });
    };
    const keys = principals.operator;
    return {
      endpoint,
      network,
      region,
      accountId,
      balancerAddress: balancerAddress(0),
      operator: keys,
      labSecret: principals.labSecret,
      operatorEnvironment: () => ({
        AWS_ENDPOINT_URL: endpoint,
        AWS_REGION: region,
        AWS_DEFAULT_REGION: region,
        AWS_ACCESS_KEY_ID: keys.accessKeyId,
        AWS_SECRET_ACCESS_KEY: keys.secretAccessKey,
        AWS_EC2_METADATA_DISABLED: "true",
      }),
      nodeEnvironment: (privateIp) => ({
        AWS_ENDPOINT_URL: endpoint,
        AWS_REGION: region,
        AWS_DEFAULT_REGION: region,
        AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${privateIp}:${metadataPort}`,
      }),
      instances: listInstances,
      onChange: (listener) => {
        listeners.add(listener);
        return () => {
          listeners.delete(listener);
        };
      },
      attachNodes: runCommand.attachNodes,
      metadata,
      faults,
      processes: { moto: moto.pid, ministack: ministack.pid },
      close: () => {
        closing ??= close();
        return closing;
      },
    };
  } catch (error) {
    await closeAll().catch(() => undefined);
    throw error instanceof AwsError ? new Error(error.message) : error;
  }
};
