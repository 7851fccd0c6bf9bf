// Connections to the endpoints of one store: which one is in use, and when to take the next.
//
// One endpoint serves everything until it fails, then the next one is tried: watches and reads stay on the same member,
// and a dead member costs one failure instead of every third call. A read is tried once on each endpoint; a write only
// as long as it certainly has not been done.
//
// etcd3's own fault handling is switched off (its circuit breaker kept refusing calls for seconds after etcd was back),
// and what it leaves open is set: deadlines, keepalive, message size, back-off of the connection.

import { noop } from 'cockatiel';
import type { Etcd3, IOptions } from 'etcd3';
import { type Credentials, closedError } from './credentials.ts';
import { type CallKind, isBetweenConnections, toKvError } from './etcd-errors.ts';
import type { EtcdModules } from './etcd-modules.ts';
import { KvError } from './kv.ts';
import type { Endpoint, StoreSettings } from './settings.ts';

const REQUEST_TIMEOUT_MS = 5000;
/** etcd answers pings more often than every 5 s with "too many pings" and hangs up. */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5000;

type Request<T> = (client: Etcd3, options: { readonly deadline: number }) => Promise<T>;

/** How often a call is begun that never reached a connection. */
const BEGINNINGS = 5;

export class EtcdConnection {
  readonly modules: EtcdModules;
  readonly #endpoints: readonly Endpoint[];
  readonly #settings: StoreSettings;
  readonly #credentials: Credentials | undefined;
  readonly #clients = new Map<number, Etcd3>();
  #current = 0;
  #closed = false;

  constructor(
    modules: EtcdModules,
    endpoints: readonly Endpoint[],
    settings: StoreSettings,
    credentials: Credentials | undefined,
  ) {
    this.modules = modules;
    this.#endpoints = endpoints;
    this.#settings = settings;
    this.#credentials = credentials;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get requestTimeoutMs(): number {
    return this.#settings.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  }

  /** Rejects with KvError; `factor` lengthens the deadline of what moves much data. */
  async call<T>(kind: CallKind, request: Request<T>, factor = 1): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const index = this.#current;
      try {
        return await this.#begin(request, factor);
      } catch (error) {
        const kvError = this.#closed ? closedError() : toKvError(error, kind);
        if (kvError.code !== 'unavailable' && kvError.code !== 'unknown-outcome') throw kvError;
        this.#moveOn(index);
        if (kvError.code === 'unknown-outcome' || attempt >= this.#endpoints.length) throw kvError;
      }
    }
  }

  /** One call; another's failure at the moment when it begins is not its own. */
  async #begin<T>(request: Request<T>, factor: number): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await request(this.client(), { deadline: Date.now() + this.requestTimeoutMs * factor });
      } catch (error) {
        if (this.#closed || attempt === BEGINNINGS || !isBetweenConnections(error)) throw error;
      }
    }
  }

  /** The client of the endpoint in use. */
  client(): Etcd3 {
    if (this.#closed) throw closedError();
    const present = this.#clients.get(this.#current);
    if (present) return present;
    const client = new this.modules.Etcd3(this.#options(this.#endpoints[this.#current]));
    this.#clients.set(this.#current, client);
    return client;
  }

  /** Which endpoint is in use, for failed() to tell whether somebody else has moved on already. */
  get current(): number {
    return this.#current;
  }

  /** The endpoint with this index did not work: the next one, please. */
  failed(index: number): void {
    this.#moveOn(index);
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients.values()) client.close();
  }

  #moveOn(index: number): void {
    if (index === this.#current) this.#current = (index + 1) % this.#endpoints.length;
  }

  #options(endpoint: Endpoint | undefined): IOptions {
    if (!endpoint) throw new KvError('invalid', 'no datastore endpoint is configured');
    const { etcdUsername: username, etcdPassword: password, keepaliveMs, keepaliveTimeoutMs } = this.#settings;
    return {
      hosts: `${endpoint.secure ? 'https://' : ''}${endpoint.target}`,
      ...(endpoint.secure && this.#credentials ? { credentials: this.#credentials } : {}),
      ...(username === undefined ? {} : { auth: { username, password: password ?? '' } }),
      // Also for what etcd3 calls by itself, such as the exchange of a password for a token.
      defaultCallOptions: (context) => (context.isStream ? {} : { deadline: Date.now() + this.requestTimeoutMs }),
      faultHandling: { host: () => noop, global: noop },
      grpcOptions: {
        'grpc.max_receive_message_length': -1,
        'grpc.max_send_message_length': -1,
        'grpc.keepalive_time_ms': keepaliveMs ?? KEEPALIVE_MS,
        'grpc.keepalive_timeout_ms': keepaliveTimeoutMs ?? KEEPALIVE_TIMEOUT_MS,
        'grpc.keepalive_permit_without_calls': 1,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.min_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 500,
      },
    };
  }
}
