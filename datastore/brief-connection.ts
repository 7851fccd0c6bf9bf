// Unary gRPC calls over node:http2, for programs that ask a few things and end.
//
// gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): a POST to /package.Service/Method
// with one message behind a five-byte prefix; the answer likewise, and its status in the trailers.

import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { type Credentials, closedError } from './credentials.ts';
import { type CallKind, toKvError } from './etcd-errors.ts';
import { MessageWriter, readFields } from './protobuf.ts';
import type { Endpoint, StoreSettings } from './settings.ts';

const REQUEST_TIMEOUT_MS = 5000;

export class BriefConnection {
  readonly #endpoints: readonly Endpoint[];
  readonly #settings: StoreSettings;
  readonly #credentials: Credentials | undefined;
  #session: Promise<ClientHttp2Session> | undefined;
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
      (session) => session.close(),
      () => {},
    );
  }

  #connect(): Promise<ClientHttp2Session> {
    this.#session ??= this.#connectToFirst().catch((error: unknown) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  async #connectToFirst(): Promise<ClientHttp2Session> {
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

  async #authenticate(session: ClientHttp2Session): Promise<void> {
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

  #send(session: ClientHttp2Session, method: string, request: MessageWriter, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': method,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...(this.#token === undefined ? {} : { token: this.#token }),
      });
      const chunks: Buffer[] = [];
      // Whoever asked may have been at work with what came before, and the answer may lie there unread: look once more.
      const giveUp = (): void => {
        const heard = chunks.length;
        setImmediate(() => {
          if (chunks.length > heard) timer = setTimeout(giveUp, timeoutMs);
          else {
            stream.close();
            reject(new Error(`4 DEADLINE_EXCEEDED: no answer within ${timeoutMs} ms`));
          }
        });
      };
      let timer = setTimeout(giveUp, timeoutMs);
      let trailers: IncomingHttpHeaders = {};
      stream.on('response', (headers) => {
        // An answer without a body has its status here.
        if (headers['grpc-status'] !== undefined) trailers = headers;
      });
      stream.on('trailers', (headers) => {
        trailers = headers;
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', (error) => reject(new Error(`14 UNAVAILABLE: ${error.message}`)));
      stream.on('close', () => {
        clearTimeout(timer);
        const status = trailers['grpc-status'];
        if (status === '0') resolve(Buffer.concat(chunks).subarray(5));
        else reject(new Error(statusText(status, trailers['grpc-message'])));
      });
      const message = request.finish();
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([prefix, message]));
    });
  }
}

/** In grpc-js's form, which etcd-errors.ts reads. */
function statusText(status: string | string[] | undefined, message: string | string[] | undefined): string {
  if (status === undefined) return '14 UNAVAILABLE: the connection was lost';
  return `${String(status)} STATUS: ${decodeURIComponent(String(message ?? ''))}`;
}

function openSession(
  endpoint: Endpoint,
  credentials: Credentials | undefined,
  timeoutMs: number,
): Promise<ClientHttp2Session> {
  const path = /^unix:(.+)$/.exec(endpoint.target)?.[1];
  const options =
    path !== undefined ? { createConnection: () => connectSocket(path) } : tlsOptions(endpoint, credentials);
  const authority =
    path === undefined ? `${endpoint.secure ? 'https' : 'http'}://${endpoint.target}` : 'http://localhost';
  return new Promise((resolve, reject) => {
    const session = connect(authority, options);
    const timer = setTimeout(() => session.destroy(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    session.once('connect', () => {
      clearTimeout(timer);
      session.on('error', () => {});
      resolve(session);
    });
    session.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

function tlsOptions(endpoint: Endpoint, credentials: Credentials | undefined): Record<string, Buffer> {
  if (!endpoint.secure || !credentials) return {};
  const { rootCertificate, certChain, privateKey } = credentials;
  return { ca: rootCertificate, ...(certChain && privateKey ? { cert: certChain, key: privateKey } : {}) };
}
