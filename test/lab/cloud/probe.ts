import { request } from "node:http";
import { connect } from "node:net";
import { type HealthCheck, matchesStatus, type ProbeResult } from "./target-health.ts";

/** Checks one target once, from the balancer's address. Never rejects. */
export const probe = (
  check: HealthCheck,
  target: { readonly address: string; readonly port: number },
  from: string,
): Promise<ProbeResult> => {
  const port = check.port === "traffic-port" ? target.port : check.port;
  return check.protocol === "TCP"
    ? probeTcp(target.address, port, from, check.timeoutMs)
    : probeHttp(check, target.address, port, from);
};

const tooLate = (timeoutMs: number): ProbeResult => ({ ok: false, why: `no answer within ${timeoutMs} ms` });

const probeTcp = (host: string, port: number, localAddress: string, timeoutMs: number): Promise<ProbeResult> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, localAddress });
    const end = (result: ProbeResult): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end(tooLate(timeoutMs)), timeoutMs);
    socket.once("connect", () => end({ ok: true }));
    socket.on("error", (error) => end({ ok: false, why: error.message }));
  });

const probeHttp = (check: HealthCheck, host: string, port: number, localAddress: string): Promise<ProbeResult> =>
  new Promise((resolve) => {
    const outgoing = request(
      {
        host,
        port,
        localAddress,
        path: check.path,
        agent: false,
        headers: { "user-agent": "ELB-HealthChecker/2.0", connection: "close" },
      },
      (response) => {
        response.resume();
        const status = response.statusCode ?? 0;
        const ok = matchesStatus(check.matcher, status);
        end(ok ? { ok: true } : { ok: false, why: `HTTP ${status}, expected ${check.matcher}` });
      },
    );
    const end = (result: ProbeResult): void => {
      clearTimeout(timer);
      outgoing.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end(tooLate(check.timeoutMs)), check.timeoutMs);
    outgoing.on("error", (error) => end({ ok: false, why: error.message }));
    outgoing.end();
  });
