// Unary gRPC calls over HTTP/2, for programs that ask a few things and end.
//
// gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): a POST to /package.Service/Method
// with one message behind a five-byte prefix; the answer likewise, and its status in the trailers.

import { connect as connectSocket, isIP, type Socket } from 'node:net';
import { type Credentials, closedError } from './credentials.ts';
import { type CallKind, toKvError } from './etcd-errors.ts';
import { Http2Client } from './http2/client.ts';
import { MessageWriter, readFields } from './protobuf.ts';
import type { Endpoint, StoreSettings } from './settings.ts';

const REQUEST_TIMEOUT_MS = 5000;

export class BriefConnection {
  readonly #endpoints: readonly Endpoint[];
  readonly #settings: StoreSettings;
  readonly #credentials: Credentials | undefined;
  #session: Promise<Session> | undefined;
  #token: string | undefined;
  #closed = false;

  constructor(endpoints: readonly Endpoint[], settings: StoreSettings, credentials: Credentials | undefined) {
    this.#endpoints = endpoints;
    this.#settings = settings;
    this.#credentials = credentials;
  }

  /** Rejects with KvError; `factor` lengthens the deadline of what moves much data. */
  async call(kind: CallKind, method: string, request: MessageWriter, factor = 1): Promise<Buffer> {
    if (this.#closed) throw closedError();
    try {
      return await this.#callOnce(method, request, factor);
    } catch (error) {
      if (this.#token === undefined || !/invalid auth token/.test(String(error))) throw toKvError(error, kind);
    }
    // Refused because the server has forgotten our token: nothing was done, and a new one is had for the password.
    this.#token = undefined;
    try {
      return await this.#callOnce(method, request, factor);
    } catch (error) {
      throw toKvError(error, kind);
    }
  }

  async #callOnce(method: string, request: MessageWriter, factor: number): Promise<Buffer> {
    const session = await this.#connect();
    await this.#authenticate(session);
    return this.#send(session, method, request, this.#timeoutMs * factor);
  }

  close(): void {
    this.#closed = true;
    this.#session?.then(
      ({ client }) => client.close(),
      () => {},
    );
  }

  /** One connection for all; when it has failed, whoever comes next opens another. */
  async #connect(): Promise<Session> {
    this.#session ??= this.#connectToFirst();
    const present = this.#session;
    const session = await present.catch((error: unknown) => {
      if (this.#session === present) this.#session = undefined;
      throw error;
    });
    if (session.client.usable) return session;
    if (this.#session === present) this.#session = undefined;
    return await this.#connect();
  }

  async #connectToFirst(): Promise<Session> {
    let reason = '';
    for (const endpoint of this.#endpoints) {
      try {
        return await openSession(endpoint, this.#credentials, this.#timeoutMs);
      } catch (error) {
        reason = `${endpoint.target}: ${error instanceof Error ? error.message : String(error)}`;
      }
    }
    throw new Error(`No connection established. Last error: ${reason}`);
  }

  async #authenticate(session: Session): Promise<void> {
    const { etcdUsername, etcdPassword } = this.#settings;
    if (etcdUsername === undefined || this.#token !== undefined) return;
    const request = new MessageWriter().text(1, etcdUsername).text(2, etcdPassword ?? '');
    for (const field of readFields(
      await this.#send(session, '/etcdserverpb.Auth/Authenticate', request, this.#timeoutMs),
    )) {
      if (field.number === 2) this.#token = field.bytes.toString('utf8');
    }
  }

  get #timeoutMs(): number {
    return this.#settings.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  }

  async #send(session: Session, method: string, request: MessageWriter, timeoutMs: number): Promise<Buffer> {
    const message = request.finish();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    const headers = [
      [':method', 'POST'],
      [':scheme', session.secure ? 'https' : 'http'],
      [':path', method],
      [':authority', session.authority],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ...(this.#token === undefined ? [] : [['token', this.#token] as const]),
    ] as const;
    const exchange = session.client.request(headers, Buffer.concat([prefix, message]));
    let late = false;
    // Whoever asked may have been at work with what came before, and the answer may lie there unread: look once more.
    const giveUp = (): void => {
      const heard = exchange.bytesReceived();
      setImmediate(() => {
        if (exchange.bytesReceived() > heard) timer = setTimeout(giveUp, timeoutMs);
        else {
          late = true;
          exchange.cancel();
        }
      });
    };
    let timer = setTimeout(giveUp, timeoutMs);
    const answer = await exchange.answer
      .catch((error: unknown) => {
        if (late) throw new Error(`4 DEADLINE_EXCEEDED: no answer within ${timeoutMs} ms`);
        throw new Error(`14 UNAVAILABLE: ${error instanceof Error ? error.message : String(error)}`);
      })
      .finally(() => clearTimeout(timer));
    const status = answer.headers.get('grpc-status');
    if (status !== '0') throw new Error(statusText(status, answer.headers.get('grpc-message')));
    return Buffer.concat(answer.body).subarray(5);
  }
}

/** In grpc-js's form, which etcd-errors.ts reads. */
function statusText(status: string | undefined, message: string | undefined): string {
  if (status === undefined) return '14 UNAVAILABLE: the connection was lost';
  return `${status} STATUS: ${decodeURIComponent(message ?? '')}`;
}

/** What speaks HTTP/2 with one endpoint, and what the endpoint is called there. */
interface Session {
  readonly client: Http2Client;
  readonly secure: boolean;
  readonly authority: string;
}

async function openSession(
  endpoint: Endpoint,
  credentials: Credentials | undefined,
  timeoutMs: number,
): Promise<Session> {
  const { secure, target } = endpoint;
  const path = /^unix:(.+)$/.exec(target)?.[1];
  if (path !== undefined) {
    const socket = await connected(connectSocket(path), 'connect', timeoutMs);
    return { client: new Http2Client(socket), secure: false, authority: 'localhost' };
  }
  const { hostname, port } = new URL(`http://${target}`);
  const host = hostname.replace(/^\[|\]$/g, '');
  const address = { host, port: Number(port || 80) };
  if (!secure) {
    const socket = await connected(connectSocket({ ...address, noDelay: true }), 'connect', timeoutMs);
    return { client: new Http2Client(socket), secure, authority: target };
  }
  const { connect } = await import('node:tls');
  const options = { ...address, ALPNProtocols: ['h2'], ...(isIP(host) === 0 && { servername: host }) };
  const socket = await connected(connect({ ...options, ...tlsOptions(credentials) }), 'secureConnect', timeoutMs);
  return { client: new Http2Client(socket), secure, authority: target };
}

function connected<S extends Socket>(socket: S, event: 'connect' | 'secureConnect', timeoutMs: number): Promise<S> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    socket.once(event, () => {
      clearTimeout(timer);
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
    socket.once('close', () => clearTimeout(timer));
  });
}

function tlsOptions(credentials: Credentials | undefined): Record<string, Buffer> {
  if (!credentials) return {};
  const { rootCertificate, certChain, privateKey } = credentials;
  return { ca: rootCertificate, ...(certChain && privateKey ? { cert: certChain, key: privateKey } : {}) };
}
