import { Agent } from "node:http";
import { AutoScalingClient } from "@aws-sdk/client-auto-scaling";
import { EC2Client } from "@aws-sdk/client-ec2";
import { ElasticLoadBalancingV2Client } from "@aws-sdk/client-elastic-load-balancing-v2";
import { SSMClient } from "@aws-sdk/client-ssm";
import { type Emulator, exchange } from "./emulators.ts";

/** The gateway's own clients of the emulators, past the gateway. */
export interface EmulatorClients {
  readonly ec2: EC2Client;
  readonly autoScaling: AutoScalingClient;
  readonly loadBalancing: ElasticLoadBalancingV2Client;
  readonly ssm: SSMClient;
  /** Puts events as AWS's own services do. Rejects when an event was refused. */
  putServiceEvents(events: readonly ServiceEvent[]): Promise<void>;
  close(): void;
}

/** An event of EventBridge. */
export interface ServiceEvent {
  readonly source: string;
  readonly detailType: string;
  readonly resources: readonly string[];
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Clients for one account and region. */
export const createEmulatorClients = (
  emulators: { readonly moto: Emulator; readonly ministack: Emulator },
  place: { readonly accountId: string; readonly region: string },
): EmulatorClients => {
  const httpAgent = new Agent({ socketPath: emulators.moto.socketPath } as object);
  const common = {
    // The host is never looked up: the agent connects to the socket.
    endpoint: "http://moto",
    region: place.region,
    credentials: { accessKeyId: "LABGATEWAY", secretAccessKey: "unused" },
    requestHandler: { httpAgent },
    maxAttempts: 1,
  };
  const ec2 = new EC2Client(common);
  const autoScaling = new AutoScalingClient(common);
  const loadBalancing = new ElasticLoadBalancingV2Client(common);
  const ssm = new SSMClient(common);
  return {
    ec2,
    autoScaling,
    loadBalancing,
    ssm,
    putServiceEvents: async (events) => {
      const answer = await exchange(emulators.ministack, {
        method: "POST",
        path: `/_lab/events?account=${place.accountId}&region=${place.region}`,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          Entries: events.map(({ source, detailType, resources, detail }) => ({
            Source: source,
            DetailType: detailType,
            Resources: resources,
            Detail: JSON.stringify(detail),
          })),
        }),
      });
      const text = answer.body.toString();
      const refused = answer.status !== 200 || (JSON.parse(text) as { FailedEntryCount: number }).FailedEntryCount > 0;
      if (refused) throw new Error(`ministack did not take an event: ${answer.status} ${text}`);
    },
    close: () => {
      for (const client of [ec2, autoScaling, loadBalancing, ssm]) client.destroy();
      httpAgent.destroy();
    },
  };
};
