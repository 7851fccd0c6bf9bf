// The control API of a process: HTTP/1.1 with JSON bodies on a unix socket. Served by each child of twill-node, used by
// twillctl, by the supervisor, and by people: curl --unix-socket /run/twill/bgp.sock http://twill/v1/peers

import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { createConnection } from 'node:net';

export interface ControlRequest {
  readonly query: URLSearchParams;
  /** The parsed JSON body; undefined when there was none. */
  readonly body: unknown;
  /** Aborted when the client went away. */
  readonly signal: AbortSignal;
}

/** Returns what is answered as JSON; throws ControlError for another status than 200 (anything else thrown is a 500). */
export type ControlHandler = (request: ControlRequest) => unknown | Promise<unknown>;

/** Keys are "METHOD /path": "GET /v1/peers". */
export type ControlRoutes = Readonly<Record<string, ControlHandler>>;

/** A handler's way to answer text as it is (Prometheus metrics). */
export class PlainText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A handler's way to answer bit by bit: one JSON value a line, until `run` resolves. */
export class JsonLines {
  readonly run: (emit: (value: unknown) => void) => Promise<void>;
  constructor(run: (emit: (value: unknown) => void) => Promise<void>) {
    this.run = run;
  }
}

export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const bodyLimitBytes = 1 << 20;

/**
 * Serves the routes on a unix socket, replacing one that a dead predecessor left.
 * Rejects when a living process answers there. The socket's mode is 0600: whoever may use it may read everything.
 */
export async function serveControl(path: string, routes: ControlRoutes): Promise<Server> {
  if (await somebodyListens(path)) throw new Error(`${path}: another process is listening there; stop it first`);
  rmSync(path, { force: true });
  const server = createServer((incoming, response) => void answer(routes, incoming, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return server;
}

/** True when a process accepts connections on the unix socket. */
export function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function answer(routes: ControlRoutes, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const url = new URL(incoming.url ?? '/', 'http://twill');
    const handler = routes[`${incoming.method} ${url.pathname}`];
    if (!handler) throw new ControlError(404, `no such call; there are ${Object.keys(routes).join(', ')}`);
    const body = await readBody(incoming);
    const result = await handler({ query: url.searchParams, body, signal: gone.signal });
    if (result instanceof PlainText) send(response, 200, 'text/plain; charset=utf-8', result.text);
    else if (result instanceof JsonLines) await stream(response, result);
    else send(response, 200, 'application/json', `${JSON.stringify(result ?? {})}\n`);
  } catch (error) {
    const status = error instanceof ControlError ? error.status : 500;
    const message = error instanceof Error ? error.message : String(error);
    send(response, status, 'application/json', `${JSON.stringify({ error: message })}\n`);
  }
}

async function stream(response: ServerResponse, lines: JsonLines): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  try {
    await lines.run((value) => {
      // Who does not fetch what was asked for misses it; it must not pile up here.
      if (response.destroyed || response.writableLength > bodyLimitBytes) return;
      response.write(`${JSON.stringify(value)}\n`);
    });
    response.end();
  } catch (error) {
    // The status is sent already: only a broken-off answer can still say that this went wrong.
    response.destroy(error instanceof Error ? error : undefined);
  }
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': type }).end(text);
}

async function readBody(incoming: IncomingMessage): Promise<unknown> {
  let body = '';
  incoming.setEncoding('utf8');
  for await (const chunk of incoming) {
    body += String(chunk);
    if (body.length > bodyLimitBytes) throw new ControlError(413, `the body is larger than ${bodyLimitBytes} bytes`);
  }
  if (body === '') return undefined;
  try {
    return JSON.parse(body);
  } catch {
    throw new ControlError(400, 'the body is not JSON');
  }
}

export interface CallOptions {
  readonly method?: 'GET' | 'POST';
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

/**
 * Calls a control API and returns the JSON it answered.
 * Rejects with ControlError: status 0 when nobody listens or no answer came in time, else what the handler threw.
 */
export function callControl(socketPath: string, path: string, options: CallOptions = {}): Promise<unknown> {
  const { method = options.body === undefined ? 'GET' : 'POST', timeoutMs = 5000 } = options;
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method, timeout: timeoutMs, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        const json = response.headers['content-type'] === 'application/json';
        const value: unknown = json ? JSON.parse(text) : text;
        if (response.statusCode === 200) resolve(value);
        else reject(new ControlError(response.statusCode ?? 0, errorText(value)));
      });
      response.on('error', (error) => reject(new ControlError(0, `${socketPath}: ${error.message}`)));
    });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.on('error', (error) => reject(new ControlError(0, `${socketPath}: ${error.message}`)));
    call.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}

/**
 * Calls a control API that answers line by line, and resolves when it has ended, or `signal` ended it.
 * Rejects as callControl does.
 */
export function callControlLines(
  socketPath: string,
  path: string,
  onLine: (value: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      if (signal.aborted) resolve();
      else reject(new ControlError(0, `${socketPath}: ${error.message}`));
    };
    const call = request({ socketPath, path, agent: false, signal }, (response) => {
      const isStream = response.headers['content-type'] === 'application/x-ndjson';
      let rest = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        if (isStream) for (const line of lines) onLine(JSON.parse(line));
        else rest = `${lines.join('\n')}${rest}`;
      });
      response.on('error', fail);
      response.on('end', () => {
        if (isStream) resolve();
        else reject(new ControlError(response.statusCode ?? 0, errorText(JSON.parse(rest))));
      });
    });
    call.on('error', fail);
    call.end();
  });
}

function errorText(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'error' in value) return String(value.error);
  return String(value);
}
