import {
  DescribeListenersCommand,
  DescribeTargetGroupAttributesCommand,
  DescribeTargetHealthCommand,
  paginateDescribeLoadBalancers,
  paginateDescribeTargetGroups,
  type TargetGroup,
} from "@aws-sdk/client-elastic-load-balancing-v2";
import type { EmulatorClients } from "./emulator-clients.ts";
import { type Destination, type Flow, type Forwarder, startForwarder } from "./forwarder.ts";
import type { Inventory } from "./inventory.ts";
import { probe } from "./probe.ts";
import { afterProbe, eligibleTargets, type HealthCheck, newTarget, type TargetHealth } from "./target-health.ts";

/** A target as DescribeTargetHealth shows it. */
export interface DescribedTarget {
  readonly id: string;
  readonly port: number;
  readonly healthCheckPort: string;
  readonly state: "initial" | "healthy" | "unhealthy" | "draining" | "unused";
  readonly reason?: string;
  readonly description?: string;
}

export interface LoadBalancing {
  /** Reads moto and adjusts probes, listeners and drains to it. */
  refresh(): Promise<void>;
  /** Targets of a group as its balancer sees them; undefined when there is no such group. */
  targets(targetGroupArn: string): readonly DescribedTarget[] | undefined;
  /** What DescribeTargetHealth says about a target that the group does not have. */
  unregistered(targetGroupArn: string, id: string, port: number | undefined): DescribedTarget;
  close(): Promise<void>;
}

export interface LoadBalancingOptions {
  readonly clients: EmulatorClients;
  readonly inventory: Inventory;
  /** Address of the n-th balancer, from 0. */
  readonly balancerAddress: (n: number) => string;
  /** Divides intervals, timeouts and delays of target groups. */
  readonly timeFactor: number;
  readonly report: (line: string) => void;
}

interface Target extends Destination {
  readonly id: string;
  address: string;
  isRunning: boolean;
  health: TargetHealth;
  timer: NodeJS.Timeout | undefined;
  isProbed: boolean;
}

interface Group {
  readonly arn: string;
  readonly name: string;
  port: number;
  check: HealthCheck;
  healthCheckPort: string;
  attributes: ReadonlyMap<string, string>;
  isUsed: boolean;
  readonly targets: Map<string, Target>;
  /** Deregistered targets within the deregistration delay. */
  readonly draining: Map<string, { readonly target: Target; readonly timer: NodeJS.Timeout }>;
  next: number;
}

interface Listener {
  readonly forwarder: Forwarder;
  targetGroupArn: string;
}

const keyOf = (id: string, port: number): string => `${id}:${port}`;

/** The balancers of one lab, with the health of their targets. */
export const createLoadBalancing = (options: LoadBalancingOptions): LoadBalancing => {
  const { clients, inventory, timeFactor, report } = options;
  const groups = new Map<string, Group>();
  const listeners = new Map<string, Listener>();
  const balancers = new Map<string, number>();
  let closed = false;

  const toCheck = (group: TargetGroup): HealthCheck => ({
    protocol: group.HealthCheckProtocol === "HTTP" || group.HealthCheckProtocol === "HTTPS" ? "HTTP" : "TCP",
    port:
      group.HealthCheckPort === "traffic-port" || !group.HealthCheckPort
        ? "traffic-port"
        : Number(group.HealthCheckPort),
    path: group.HealthCheckPath ?? "/",
    matcher: group.Matcher?.HttpCode ?? "200",
    intervalMs: ((group.HealthCheckIntervalSeconds ?? 30) * 1000) / timeFactor,
    timeoutMs: ((group.HealthCheckTimeoutSeconds ?? 10) * 1000) / timeFactor,
    healthyThreshold: group.HealthyThresholdCount ?? 5,
    unhealthyThreshold: group.UnhealthyThresholdCount ?? 2,
  });

  const isOn = (group: Group, attribute: string, byDefault: boolean): boolean =>
    (group.attributes.get(attribute) ?? String(byDefault)) === "true";

  const resetFlows = (target: Target): void => {
    for (const flow of [...target.flows]) flow.reset();
  };

  const probeOnce = async (group: Group, target: Target): Promise<void> => {
    const before = target.health;
    const result = await probe(group.check, target, options.balancerAddress(0));
    if (closed || !target.isProbed) return;
    target.health = afterProbe(before, result, group.check);
    if (target.health.state !== before.state) {
      report(`cloud: ${target.id} in ${group.name} is ${target.health.state}${result.ok ? "" : `: ${result.why}`}`);
      const terminates = isOn(group, "target_health_state.unhealthy.connection_termination.enabled", true);
      if (target.health.state === "unhealthy" && before.state === "healthy" && terminates) resetFlows(target);
    }
  };

  const startProbing = (group: Group, target: Target): void => {
    if (target.isProbed) return;
    target.isProbed = true;
    const loop = (): void => {
      const began = performance.now();
      void probeOnce(group, target).then(() => {
        if (closed || !target.isProbed) return;
        target.timer = setTimeout(loop, Math.max(0, group.check.intervalMs - (performance.now() - began)));
        target.timer.unref();
      });
    };
    loop();
  };

  const stopProbing = (target: Target): void => {
    target.isProbed = false;
    clearTimeout(target.timer);
  };

  const drain = (group: Group, key: string, target: Target): void => {
    stopProbing(target);
    group.targets.delete(key);
    const delayMs = (Number(group.attributes.get("deregistration_delay.timeout_seconds") ?? 300) * 1000) / timeFactor;
    const timer = setTimeout(() => {
      group.draining.delete(key);
      if (isOn(group, "deregistration_delay.connection_termination.enabled", false)) resetFlows(target);
    }, delayMs);
    timer.unref();
    group.draining.set(key, { target, timer });
  };

  const register = (group: Group, id: string, port: number): void => {
    const key = keyOf(id, port);
    const drained = group.draining.get(key);
    clearTimeout(drained?.timer);
    group.draining.delete(key);
    group.targets.set(key, {
      id,
      port,
      address: inventory.instance(id)?.privateIp ?? id,
      isRunning: true,
      flows: drained?.target.flows ?? new Set<Flow>(),
      health: newTarget,
      timer: undefined,
      isProbed: false,
    });
  };

  const readGroups = async (): Promise<void> => {
    const found = new Set<string>();
    for await (const page of paginateDescribeTargetGroups({ client: clients.loadBalancing }, {})) {
      for (const described of page.TargetGroups ?? []) {
        const arn = described.TargetGroupArn ?? "";
        found.add(arn);
        const group: Group = groups.get(arn) ?? {
          arn,
          name: described.TargetGroupName ?? "",
          port: 0,
          check: toCheck(described),
          healthCheckPort: "",
          attributes: new Map(),
          isUsed: false,
          targets: new Map(),
          draining: new Map(),
          next: 0,
        };
        groups.set(arn, group);
        group.port = described.Port ?? 0;
        group.check = toCheck(described);
        group.healthCheckPort = described.HealthCheckPort ?? "traffic-port";
        group.isUsed = (described.LoadBalancerArns ?? []).length > 0;
        const [attributes, health] = await Promise.all([
          clients.loadBalancing.send(new DescribeTargetGroupAttributesCommand({ TargetGroupArn: arn })),
          clients.loadBalancing.send(new DescribeTargetHealthCommand({ TargetGroupArn: arn })),
        ]);
        group.attributes = new Map((attributes.Attributes ?? []).map(({ Key = "", Value = "" }) => [Key, Value]));
        const registered = new Map(
          (health.TargetHealthDescriptions ?? []).map(({ Target }) => {
            const id = Target?.Id ?? "";
            const port = Target?.Port ?? group.port;
            return [keyOf(id, port), { id, port }] as const;
          }),
        );
        for (const [key, target] of [...group.targets]) if (!registered.has(key)) drain(group, key, target);
        for (const [key, { id, port }] of registered) if (!group.targets.has(key)) register(group, id, port);
        for (const target of group.targets.values()) {
          const instance = inventory.instance(target.id);
          target.isRunning = instance === undefined || instance.state === "running";
          if (group.isUsed && target.isRunning) startProbing(group, target);
          else {
            stopProbing(target);
            target.health = newTarget;
          }
        }
      }
    }
    for (const [arn, group] of groups) {
      if (found.has(arn)) continue;
      for (const target of group.targets.values()) stopProbing(target);
      for (const { timer } of group.draining.values()) clearTimeout(timer);
      groups.delete(arn);
    }
  };

  const choose = (listener: Listener): Destination | undefined => {
    const group = groups.get(listener.targetGroupArn);
    if (group === undefined) return undefined;
    const eligible = eligibleTargets([...group.targets.values()]);
    group.next = (group.next + 1) % Math.max(eligible.length, 1);
    return eligible[group.next];
  };

  const freeBalancer = (): number => {
    const used = new Set(balancers.values());
    let n = 0;
    while (used.has(n)) n += 1;
    return n;
  };

  const readListeners = async (): Promise<void> => {
    const found = new Set<string>();
    const foundBalancers = new Set<string>();
    for await (const page of paginateDescribeLoadBalancers({ client: clients.loadBalancing }, {})) {
      for (const balancer of page.LoadBalancers ?? []) {
        const balancerArn = balancer.LoadBalancerArn ?? "";
        if (balancer.Type !== "network") continue;
        foundBalancers.add(balancerArn);
        const n = balancers.get(balancerArn) ?? freeBalancer();
        balancers.set(balancerArn, n);
        const answer = await clients.loadBalancing.send(new DescribeListenersCommand({ LoadBalancerArn: balancerArn }));
        for (const described of answer.Listeners ?? []) {
          const arn = described.ListenerArn ?? "";
          const action = described.DefaultActions?.[0];
          const targetGroupArn =
            action?.TargetGroupArn ?? action?.ForwardConfig?.TargetGroups?.[0]?.TargetGroupArn ?? "";
          const known = listeners.get(arn);
          found.add(arn);
          if (known) known.targetGroupArn = targetGroupArn;
          else await listen(arn, options.balancerAddress(n), described.Port ?? 0, targetGroupArn);
        }
      }
    }
    for (const [arn, listener] of [...listeners]) {
      if (found.has(arn)) continue;
      listeners.delete(arn);
      await listener.forwarder.close();
    }
    for (const arn of [...balancers.keys()]) if (!foundBalancers.has(arn)) balancers.delete(arn);
  };

  const listen = async (arn: string, address: string, port: number, targetGroupArn: string): Promise<void> => {
    const listener: { targetGroupArn: string; forwarder?: Forwarder } = { targetGroupArn };
    try {
      const forwarder = await startForwarder({ address, port, choose: () => choose(listener as Listener) });
      listener.forwarder = forwarder;
      listeners.set(arn, listener as Listener);
    } catch (error) {
      report(`cloud: the balancer cannot listen on ${address}:${port}, so nobody reaches ${targetGroupArn}: ${error}`);
    }
  };

  const describe = (group: Group, target: Target): DescribedTarget => {
    const common = {
      id: target.id,
      port: target.port,
      healthCheckPort: group.healthCheckPort === "traffic-port" ? String(target.port) : group.healthCheckPort,
    };
    if (!target.isRunning) {
      return {
        ...common,
        state: "unused",
        reason: "Target.InvalidState",
        description: "Target is in the stopped state",
      };
    }
    if (!group.isUsed) {
      return {
        ...common,
        state: "unused",
        reason: "Target.NotInUse",
        description: "Target group is not configured to receive traffic from the load balancer",
      };
    }
    switch (target.health.state) {
      case "healthy":
        return { ...common, state: "healthy" };
      case "initial":
        return {
          ...common,
          state: "initial",
          reason: "Elb.InitialHealthChecking",
          description: "Initial health checks in progress",
        };
      case "unhealthy":
        return {
          ...common,
          state: "unhealthy",
          reason: "Target.FailedHealthChecks",
          description: `Health checks failed: ${target.health.why ?? "for an unknown reason"}`,
        };
    }
  };

  return {
    refresh: async () => {
      await readGroups();
      await readListeners();
    },
    targets: (arn) => {
      const group = groups.get(arn);
      if (group === undefined) return undefined;
      return [
        ...[...group.targets.values()].map((target) => describe(group, target)),
        ...[...group.draining.values()].map(
          ({ target }): DescribedTarget => ({
            id: target.id,
            port: target.port,
            healthCheckPort: group.healthCheckPort === "traffic-port" ? String(target.port) : group.healthCheckPort,
            state: "draining",
            reason: "Target.DeregistrationInProgress",
            description: "Target deregistration is in progress",
          }),
        ),
      ];
    },
    unregistered: (arn, id, port) => ({
      id,
      port: port ?? groups.get(arn)?.port ?? 0,
      healthCheckPort: groups.get(arn)?.healthCheckPort ?? "traffic-port",
      state: "unused",
      reason: "Target.NotRegistered",
      description: "Target is not registered to the target group",
    }),
    close: async () => {
      closed = true;
      for (const group of groups.values()) {
        for (const target of group.targets.values()) stopProbing(target);
        for (const { timer } of group.draining.values()) clearTimeout(timer);
      }
      await Promise.all([...listeners.values()].map(({ forwarder }) => forwarder.close()));
    },
  };
};
