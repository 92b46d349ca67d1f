import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ports } from "#contract/ports.ts";
import { renderTemplate } from "./option-file.ts";

const templatePath = fileURLToPath(new URL("../../puppet/templates/haproxy.cfg.epp", import.meta.url));

/** One node's HAProxy. */
export interface LabForwarder {
  /** The node's own address. */
  readonly address: string;
  /** Its runtime socket; HAProxy binds a path that is some bytes longer first. */
  readonly socket: string;
  /** Default 15. */
  readonly slots?: number;
  readonly maxReplicaLagSeconds: number;
  /** Default false: the lab's MySQL does not know the PROXY protocol. */
  readonly proxyProtocol?: boolean;
}

/** HAProxy's configuration on a node in the lab: production's template, with fewer connections and one thread. */
export async function labForwarderConfig(node: LabForwarder): Promise<string> {
  return renderTemplate(await readFile(templatePath, "utf8"), {
    bind_address: node.address,
    write_port: ports.forwardWrite,
    read_port: ports.forwardRead,
    mysql_port: ports.mysql,
    agent_port: ports.agent,
    socket: node.socket,
    slots: node.slots ?? 15,
    max_connections: 1000,
    threads: 1,
    max_replica_lag_seconds: node.maxReplicaLagSeconds,
    proxy_protocol: node.proxyProtocol ?? false,
  });
}
