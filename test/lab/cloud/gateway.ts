import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import * as v from "valibot";
import {
  type Answer,
  AwsError,
  deniedError,
  errorAnswer,
  throttlingError,
  unknownOperationError,
} from "./aws-error.ts";
import { credentialScope, type Protocol, requestOperation, requestProtocol, services } from "./aws-request.ts";
import { type Emulator, exchange } from "./emulators.ts";
import { Fault, type FaultSubject, type Faults } from "./faults.ts";
import type { Principals } from "./principals.ts";

/** A call whose body is at hand. */
export interface BufferedCall {
  readonly service: string;
  readonly operation: string;
  readonly principal: string | undefined;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly body: Buffer;
  /** The body of a query request. */
  readonly form: URLSearchParams;
  /** Lets the emulator answer. */
  forward(): Promise<Answer>;
}

export interface GatewayOptions {
  readonly emulators: { readonly moto: Emulator; readonly ministack: Emulator };
  readonly principals: Principals;
  readonly faults: Faults;
  /** Whether a call to the data plane must be at hand as a whole before it is served. */
  readonly needsBody: (service: string, operation: string | undefined, method: string) => boolean;
  /** Answers a call whose body is at hand. */
  readonly answer: (call: BufferedCall) => Promise<Answer>;
  /** What `GET /_lab/health` says. */
  readonly health: () => Record<string, unknown>;
  readonly report: (line: string) => void;
}

export interface Gateway {
  close(): Promise<void>;
}

/** A lambda's code is the largest body that is read as a whole. */
const maxBufferedBytes = 80 * 1024 * 1024;
/** Longer than SDKs keep an idle connection, so that none is closed under a request. */
const keepAliveMs = 75_000;
/** Headers of one connection, and those that let web pages read answers: the lab is not for web pages. */
const isHopHeader = (name: string): boolean =>
  /^(connection|keep-alive|transfer-encoding|proxy-connection|expect|access-control-.*)$/i.test(name);

const passedHeaders = (rawHeaders: readonly string[], isRequest: boolean): string[] => {
  const passed: string[] = [];
  for (let n = 0; n + 1 < rawHeaders.length; n += 2) {
    const name = rawHeaders[n] ?? "";
    const isChunked = isRequest && /^transfer-encoding$/i.test(name);
    if (!isHopHeader(name) || isChunked) passed.push(name, rawHeaders[n + 1] ?? "");
  }
  return passed;
};

const send = (response: ServerResponse, { status, headers, body }: Answer): void => {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, "content-length": String(bytes.length) });
  response.end(bytes);
};

const sendJson = (response: ServerResponse, status: number, value: unknown): void =>
  send(response, { status, headers: { "content-type": "application/json" }, body: `${JSON.stringify(value)}\n` });

const readBody = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBufferedBytes)
      throw new AwsError("RequestEntityTooLarge", `The lab reads at most ${maxBufferedBytes} bytes here.`, 413);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

/**
 * Serves the lab's one AWS endpoint: finds the service in the credential scope, applies faults, and lets the emulator of that
 * service answer.
 *
 * @throws when the address cannot be bound.
 */
export const startGateway = async (
  options: GatewayOptions,
  listen: { readonly address: string; readonly port: number },
): Promise<Gateway> => {
  const { emulators, principals, faults, report } = options;

  const serveLab = async (request: IncomingMessage, response: ServerResponse, path: string): Promise<void> => {
    if (path === "/_lab/health" && request.method === "GET") return sendJson(response, 200, options.health());
    const secret = request.headers["x-lab-secret"];
    if (!principals.isLabSecret(typeof secret === "string" ? secret : undefined)) {
      return sendJson(response, 403, { message: "The header x-lab-secret is missing or wrong. Nothing was changed." });
    }
    if (path !== "/_lab/faults")
      return sendJson(response, 404, { message: "There are /_lab/health and /_lab/faults." });
    if (request.method === "GET") return sendJson(response, 200, { faults: faults.list() });
    if (request.method === "DELETE") {
      faults.clear();
      return sendJson(response, 200, { faults: [] });
    }
    if (request.method !== "POST") return sendJson(response, 405, { message: "GET, POST or DELETE." });
    let json: unknown;
    try {
      json = JSON.parse(await text(request));
    } catch {
      return sendJson(response, 400, { message: "The body is not JSON. Nothing was changed." });
    }
    const read = v.safeParse(Fault, json);
    if (!read.success) {
      const [issue] = read.issues;
      return sendJson(response, 400, {
        message: `${v.getDotPath(issue) ?? "fault"}: ${issue.message}. Nothing was changed.`,
      });
    }
    faults.add(read.output);
    return sendJson(response, 200, { faults: faults.list() });
  };

  const forwardBuffered = async (
    request: IncomingMessage,
    emulator: Emulator,
    protocol: Protocol,
    what: string,
    body: Buffer,
  ): Promise<Answer> => {
    const headers = passedHeaders(request.rawHeaders, false);
    const isMeasured = headers.some((name, n) => n % 2 === 0 && /^content-length$/i.test(name));
    if (!isMeasured) headers.push("Content-Length", String(body.length));
    const got = await exchange(emulator, { method: request.method ?? "GET", path: request.url ?? "/", headers, body });
    const failure = got.headers["x-lab-failure"];
    if (failure === "not-implemented") {
      return errorAnswer(protocol, unknownOperationError(protocol, `${what} is not implemented in the lab.`));
    }
    const isPage = String(got.headers["content-type"] ?? "").startsWith("text/html") && got.status >= 400;
    if (failure !== undefined || isPage) {
      report(`cloud: ${what} broke ${emulator.name}: ${got.body.toString().slice(0, 500)}`);
      const message = `${what} broke ${emulator.name}: ${got.body.toString().slice(0, 200)}`;
      return errorAnswer(protocol, new AwsError("InternalFailure", message, 500));
    }
    const kept: Record<string, string> = {};
    for (const [name, value] of Object.entries(got.headers)) {
      const isText = typeof value === "string" && !isHopHeader(name);
      if (isText && name !== "content-length" && !name.startsWith("x-amz-crc32")) kept[name] = value;
    }
    return { status: got.status, headers: kept, body: got.body };
  };

  const stream = (
    request: IncomingMessage,
    response: ServerResponse,
    emulator: Emulator,
    dropReply: boolean,
    fail: (error: Error) => void,
  ): void => {
    const upstream = httpRequest(
      {
        socketPath: emulator.socketPath,
        agent: emulator.agent,
        method: request.method,
        path: request.url,
        headers: passedHeaders(request.rawHeaders, true) as unknown as Record<string, string>,
      },
      (answer) => {
        if (dropReply) {
          answer.resume();
          answer.on("close", () => request.socket.resetAndDestroy());
          return;
        }
        response.writeHead(answer.statusCode ?? 502, passedHeaders(answer.rawHeaders, false));
        answer.on("error", () => response.destroy());
        answer.pipe(response);
      },
    );
    upstream.on("error", (error) => (response.headersSent ? response.destroy() : fail(error)));
    response.on("close", () => {
      if (!response.writableFinished && !dropReply) upstream.destroy();
    });
    request.on("error", () => upstream.destroy());
    request.pipe(upstream);
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [path = "/", ...rest] = (request.url ?? "/").split("?");
    const query = new URLSearchParams(rest.join("?"));
    const method = request.method ?? "GET";
    if (request.headers.origin !== undefined || request.headers["sec-fetch-site"] !== undefined) {
      return sendJson(response, 403, { message: "The lab's AWS does not serve web pages." });
    }
    if (path.startsWith("/_lab/")) return serveLab(request, response, path);

    const scope = credentialScope(request.headers, query);
    const service = scope?.service ?? "";
    const protocol = requestProtocol(service, request.headers);
    const fail = (error: AwsError): void => {
      request.resume();
      send(response, errorAnswer(protocol, error));
    };
    if (scope === undefined)
      return fail(
        new AwsError(
          "MissingAuthenticationToken",
          "Sign the request: the lab finds the service in the signature's credential scope.",
          403,
        ),
      );
    const route = services[service];
    if (route === undefined) return fail(unknownOperationError(protocol, `The lab has no service ${service}.`));
    if (path.startsWith("/_")) return fail(new AwsError("InvalidURI", `The lab does not serve ${path}.`));

    const emulator = emulators[route.emulator];
    const principal = principals.nameOf(scope.accessKeyId);
    const early = requestOperation(protocol, { method, path, query, headers: request.headers });
    const buffers = route.emulator === "moto" || options.needsBody(service, early, method);
    const body = buffers ? await readBody(request) : undefined;
    const isForm = (request.headers["content-type"] ?? "").startsWith("application/x-www-form-urlencoded");
    const form = new URLSearchParams(isForm ? body?.toString() : "");
    const operation = early ?? requestOperation(protocol, { method, path, query, headers: request.headers }, form);

    const subject: FaultSubject = { principal, service, operation };
    const { delayMs, effect } = faults.effectsOn(subject);
    const untrack = faults.track(subject, () => request.socket.resetAndDestroy());
    response.once("close", untrack);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    switch (effect?.kind) {
      case "cut":
        request.socket.resetAndDestroy();
        return;
      case "black-hole":
        request.resume();
        return;
      case "throttle":
        return fail(throttlingError(service, protocol));
      case "deny":
        return fail(deniedError(service, protocol, operation));
    }
    const dropReply = effect?.kind === "drop-reply";
    if (body === undefined) {
      return stream(request, response, emulator, dropReply, (error) =>
        fail(new AwsError("ServiceUnavailable", `${emulator.name} does not answer: ${error.message}`, 503)),
      );
    }
    let answer: Answer;
    try {
      const what = `${service}:${operation ?? `${method} ${path}`}`;
      answer = await options.answer({
        service,
        operation: operation ?? "",
        principal,
        method,
        path,
        query,
        request,
        body,
        form,
        forward: () => forwardBuffered(request, emulator, protocol, what, body),
      });
    } catch (error) {
      if (error instanceof AwsError) answer = errorAnswer(protocol, error);
      else {
        report(`cloud: ${service}:${operation} failed: ${error instanceof Error ? error.stack : error}`);
        answer = errorAnswer(protocol, new AwsError("InternalFailure", `The lab failed: ${error}`, 500));
      }
    }
    if (dropReply) request.socket.resetAndDestroy();
    else send(response, answer);
  };

  const server = createServer(
    { keepAlive: true, keepAliveTimeout: keepAliveMs, requestTimeout: 0 },
    (request, response) => {
      serve(request, response).catch((error: unknown) => {
        if (!request.destroyed) report(`cloud: the gateway failed: ${error instanceof Error ? error.stack : error}`);
        if (!response.headersSent && error instanceof AwsError) send(response, errorAnswer("json", error));
        else request.socket.destroy();
      });
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen.port, listen.address, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
};
