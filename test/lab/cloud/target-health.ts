/** How a target group checks its targets. Milliseconds are the lab's, already divided. */
export interface HealthCheck {
  readonly protocol: "TCP" | "HTTP";
  /** A port, or the target's own. */
  readonly port: number | "traffic-port";
  readonly path: string;
  readonly matcher: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

/** What one probe saw. */
export type ProbeResult = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** What a balancer knows about a target from its probes. */
export interface TargetHealth {
  readonly state: "initial" | "healthy" | "unhealthy";
  /** Probes in a row with this result. */
  readonly successes: number;
  readonly failures: number;
  readonly why?: string;
}

export const newTarget: TargetHealth = { state: "initial", successes: 0, failures: 0 };

/** The health after one more probe. */
export const afterProbe = (
  before: TargetHealth,
  result: ProbeResult,
  thresholds: Pick<HealthCheck, "healthyThreshold" | "unhealthyThreshold">,
): TargetHealth => {
  if (result.ok) {
    const successes = before.successes + 1;
    const isHealthy = before.state === "healthy" || successes >= thresholds.healthyThreshold;
    const why = isHealthy ? undefined : before.why;
    return {
      state: isHealthy ? "healthy" : before.state,
      successes,
      failures: 0,
      ...(why === undefined ? {} : { why }),
    };
  }
  const failures = before.failures + 1;
  const isUnhealthy = before.state === "unhealthy" || failures >= thresholds.unhealthyThreshold;
  return { state: isUnhealthy ? "unhealthy" : before.state, successes: 0, failures, why: result.why };
};

/** Whether an HTTP status is in a matcher such as `200`, `200-299` or `200,204`. */
export const matchesStatus = (matcher: string, status: number): boolean =>
  matcher.split(",").some((part) => {
    const [low, high = low] = part.split("-").map(Number);
    return low !== undefined && high !== undefined && status >= low && status <= high;
  });

/**
 * The targets that new connections go to: the healthy ones. When there is none, the unhealthy ones (a network load balancer fails
 * open), but never a target that has not been checked yet.
 */
export const eligibleTargets = <T extends { readonly health: TargetHealth; readonly isRunning: boolean }>(
  targets: readonly T[],
): T[] => {
  const running = targets.filter(({ isRunning }) => isRunning);
  const healthy = running.filter(({ health }) => health.state === "healthy");
  return healthy.length > 0 ? healthy : running.filter(({ health }) => health.state === "unhealthy");
};
