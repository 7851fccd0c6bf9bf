// The agent's side of the CNI plugin: takes requests from twill-cni on a unix socket and answers them.
//
// Each verb is a function in a file of its own, from request to standard output; what it throws becomes the error object
// of the specification. Requests for different pods run at the same time, for one pod one after the other.

import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { KvError } from '../datastore/kv.ts';
import { LinuxError } from '../linux/errors.ts';
import { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import { somebodyListens } from '../runtime/control.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import { requestedVersion } from './config.ts';
import { type CniContext, type CniServerSettings, createTurns } from './context.ts';
import { del } from './del.ts';
import { CniError } from './errors.ts';
import { collectGarbage } from './gc.ts';
import { type CniReply, type CniRequest, encodeReply, parseRequest, requestLimitBytes } from './protocol.ts';
import { errorReply, formatVersions } from './result.ts';
import { status } from './status.ts';
import { removeUnmarked } from './wiring.ts';

export type { CniServerSettings } from './context.ts';

type Verb = (context: CniContext, request: CniRequest) => Promise<string>;

const verbs: Readonly<Record<string, Verb>> = {
  ADD: add,
  DEL: del,
  CHECK: check,
  GC: collectGarbage,
  STATUS: status,
  VERSION: async (_context, { stdin }) => formatVersions(requestedVersion(stdin)),
};

export interface CniServer {
  /** Takes no more requests, finishes those that run, and removes the socket. Links and routes stay. */
  close(): Promise<void>;
}

/** Rejects when a living process answers on the socket; a dead one's is replaced. */
export async function serveCni(settings: CniServerSettings): Promise<CniServer> {
  const { socketPath } = settings;
  if (await somebodyListens(socketPath)) {
    throw new Error(`${socketPath}: another process is listening there; stop it first`);
  }
  mkdirSync(dirname(socketPath), { recursive: true });
  rmSync(socketPath, { force: true });
  const context: CniContext = { ...settings, host: new Rtnetlink(), inTurn: createTurns() };
  removeUnmarked(context.host);
  const running = new Set<Promise<void>>();
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    const work = serve(context, connection);
    running.add(work);
    void work.finally(() => running.delete(work));
  });
  await listen(server, socketPath);
  return {
    async close() {
      await new Promise((resolve) => server.close(resolve));
      await Promise.allSettled(running);
      context.host.close();
    },
  };
}

async function listen(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: socketPath, backlog: 1024 }, resolve);
  });
  // Whoever may use it may attach interfaces: root only.
  chmodSync(socketPath, 0o600);
}

async function serve(context: CniContext, connection: Socket): Promise<void> {
  // A client that went away gets no answer; its runtime repeats the request or sends DEL.
  connection.on('error', () => {});
  const bytes = await readAll(connection);
  const request = bytes && parseRequest(bytes);
  const reply = request
    ? await answer(context, request)
    : errorReply(new CniError('ioFailure', 'the agent got no whole request'), undefined);
  connection.end(encodeReply(reply));
}

/** Undefined when the client broke off, or sent more than anyone should. */
function readAll(connection: Socket): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    connection.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > requestLimitBytes) connection.destroy();
    });
    connection.on('end', () => resolve(Buffer.concat(chunks)));
    connection.on('close', () => resolve(undefined));
  });
}

/** Runs one request; the outcome is always a reply. */
export async function answer(context: CniContext, request: CniRequest): Promise<CniReply> {
  const started = performance.now();
  const command = request.environment.get('CNI_COMMAND') ?? '';
  const facts = {
    command,
    containerId: request.environment.get('CNI_CONTAINERID'),
    ifname: request.environment.get('CNI_IFNAME'),
    arguments: request.environment.get('CNI_ARGS'),
  };
  try {
    const verb = verbs[command];
    if (!verb) {
      const known = Object.keys(verbs).join(', ');
      throw new CniError('invalidEnvironment', `CNI_COMMAND ${JSON.stringify(command)} is none of ${known}`);
    }
    const stdout = await verb(context, request);
    context.log.info({ ...facts, ms: elapsed(started) }, 'CNI request done');
    return { exitStatus: 0, stdout };
  } catch (error) {
    const cniError = asCniError(error);
    const log = {
      ...facts,
      ms: elapsed(started),
      code: cniError.code,
      reason: cniError.message,
      details: cniError.details,
    };
    context.log.warn(cniError.code === 'internal' ? { ...log, err: error } : log, 'CNI request failed');
    return errorReply(cniError, requestedVersion(request.stdin));
  }
}

const elapsed = (started: number): number => Math.round((performance.now() - started) * 10) / 10;

function asCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof KvError) {
    const code = error.retryable ? 'tryAgainLater' : 'internal';
    return new CniError(code, 'the datastore did not do it', error.message);
  }
  if (error instanceof LinuxError) {
    return new CniError(error.retryable ? 'tryAgainLater' : 'internal', 'the kernel did not do it', error.message);
  }
  return new CniError('internal', 'the agent failed', error instanceof Error ? error.message : String(error));
}
