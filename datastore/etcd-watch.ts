// All watches of one store over one gRPC stream, which is repaired here.
//
//     off ──first watch──► probing ──revision and cluster as expected──► open ──error, end──► pausing ──► probing
//                             └── store went back, or is another one: every watch ends with 'rewound'
//
// Each watch knows the next revision that it has not delivered; after a break it is created anew from there, so nothing
// is lost or doubled. The probe is a linearizable read on the same endpoint: a server behind it has every revision that
// we have seen, or has lost it. (etcd accepts a watch from a revision that does not exist yet and would be silent until
// the restored store has caught up.) The probe also renews an expired token, which a stream can not.
//
// etcd splits one large answer into fragments when asked; a revision is delivered only once it is whole.

import type { CallOptions } from '@grpc/grpc-js';
import type { IDuplexStream, IEvent, IWatchRequest, IWatchResponse } from 'etcd3';
import type { EtcdConnection } from './etcd-connection.ts';
import { fromKeyValue } from './etcd-convert.ts';
import { toKvError } from './etcd-errors.ts';
import type { EtcdModules } from './etcd-modules.ts';
import { prefixBounds } from './key-bounds.ts';
import { KvError, type Revision, type Watch, type WatchEvent, type WatchHandlers } from './kv.ts';

type Stream = IDuplexStream<IWatchRequest, IWatchResponse>;

interface WatchState {
  readonly prefix: string;
  readonly handlers: WatchHandlers;
  /** The first revision that was not delivered yet. */
  next: Revision;
  /** The server's name for it, while it is there. */
  id: string | undefined;
  /** Events of a revision whose end has not come yet. */
  partial: WatchEvent[];
  connected: boolean;
  closed: boolean;
}

const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 2000;

/** Without "hasleader" a member that was cut off from the cluster keeps a watch open and silent. */
const streamOptions = ({ InterceptingCall }: EtcdModules): CallOptions => ({
  interceptors: [
    (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start: (metadata, listener, next) => {
          metadata.set('hasleader', 'true');
          next(metadata, listener);
        },
      }),
  ],
});

export class WatchStream {
  readonly #connection: EtcdConnection;
  readonly #watches = new Set<WatchState>();
  readonly #byId = new Map<string, WatchState>();
  /** Asked for on this stream and not answered yet; the server answers in order. */
  #creating: WatchState[] = [];
  #stream: Stream | undefined;
  #repair: 'none' | 'opening' | 'pausing' = 'none';
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #clusterId: string | undefined;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  add(prefix: string, fromRevision: Revision, handlers: WatchHandlers): Watch {
    const watch: WatchState = {
      prefix,
      handlers,
      next: fromRevision,
      id: undefined,
      partial: [],
      connected: true,
      closed: false,
    };
    this.#watches.add(watch);
    if (this.#stream) this.#create(this.#stream, watch);
    else if (this.#repair === 'none') {
      this.#repair = 'opening';
      queueMicrotask(() => void this.#open());
    }
    return { close: () => this.#closeWatch(watch) };
  }

  /** Somebody got an answer from the cluster of this id: watches on another one are over. */
  observe(clusterId: string): void {
    const before = this.#clusterId;
    this.#clusterId = clusterId;
    if (before !== undefined && before !== clusterId) {
      this.end(new KvError('rewound', 'the store is another cluster now'));
    }
  }

  /** Ends every watch. */
  end(error: KvError): void {
    const watches = [...this.#watches];
    this.#watches.clear();
    this.#dropStream();
    if (this.#repair === 'pausing') {
      clearTimeout(this.#timer);
      this.#repair = 'none';
    }
    for (const watch of watches) finish(watch, error);
  }

  async #open(): Promise<void> {
    this.#repair = 'opening';
    const connection = this.#connection;
    const endpoint = connection.current;
    try {
      const [first] = this.#watches;
      if (first) await this.#probe(first);
      if (this.#watches.size === 0 || connection.closed) {
        this.#repair = 'none';
        return;
      }
      const stream = await connection.client().watchClient.watch(streamOptions(connection.modules));
      this.#listen(stream, connection.current);
    } catch (error) {
      const kvError = toKvError(error, 'read');
      if (kvError.retryable) {
        connection.failed(endpoint);
        this.#pause();
      } else {
        this.#repair = 'none';
        this.end(kvError);
      }
    }
  }

  /** Reads the store's revision through the key range of a watch, which we may surely read. */
  async #probe(watch: WatchState): Promise<void> {
    const response = await this.#connection.call('read', (client, options) =>
      client.kv.range({ ...prefixBounds(watch.prefix), limit: 1, keys_only: true }, options),
    );
    const revision = Number(response.header.revision);
    this.observe(response.header.cluster_id);
    for (const candidate of [...this.#watches]) {
      // A watch may wait for the revision after the present one, never for a later one: a list told us where we are.
      if (candidate.next <= revision + 1) continue;
      this.#watches.delete(candidate);
      finish(candidate, new KvError('rewound', `the store went back to revision ${revision}`));
    }
  }

  #listen(stream: Stream, endpoint: number): void {
    this.#repair = 'none';
    this.#stream = stream;
    const lost = (error: unknown): void => {
      if (this.#stream !== stream) return;
      this.#dropStream();
      // The same endpoint gets one more chance: a restarted server is back at once, a dead one fails the probe.
      const kvError = toKvError(error, 'read');
      if (this.#failures > 0 || /no leader/.test(kvError.message)) this.#connection.failed(endpoint);
      if (kvError.retryable && !this.#connection.closed) this.#pause();
      else this.end(kvError);
    };
    stream.on('data', (response: IWatchResponse) => {
      if (this.#stream === stream) this.#onResponse(stream, response);
    });
    stream.on('error', lost);
    stream.on('end', () => lost(new KvError('unavailable', 'the server ended the watch stream')));
    for (const watch of this.#watches) this.#create(stream, watch);
  }

  #create(stream: Stream, watch: WatchState): void {
    watch.partial = [];
    this.#creating.push(watch);
    stream.write({
      create_request: {
        ...prefixBounds(watch.prefix),
        start_revision: String(watch.next),
        prev_kv: true,
        progress_notify: true,
        fragment: true,
      },
    });
  }

  #onResponse(stream: Stream, response: IWatchResponse): void {
    const watch = this.#byId.get(response.watch_id);
    if (response.created) this.#onCreated(stream, response);
    else if (watch && response.canceled) this.#finish(watch, cancelError(response));
    else if (watch) this.#onEvents(watch, response);
  }

  #onCreated(stream: Stream, response: IWatchResponse): void {
    const watch = this.#creating.shift();
    if (!watch) return;
    this.observe(response.header.cluster_id);
    if (watch.closed) {
      if (!response.canceled) stream.write({ cancel_request: { watch_id: response.watch_id } });
    } else if (response.canceled) {
      this.#finish(watch, cancelError(response));
    } else {
      this.#failures = 0;
      watch.id = response.watch_id;
      this.#byId.set(response.watch_id, watch);
      setConnected(watch, true);
    }
  }

  #onEvents(watch: WatchState, response: IWatchResponse): void {
    if (response.events.length === 0) {
      // Progress: everything up to this revision has been sent. Then a later compaction can not end an idle watch.
      watch.next = Math.max(watch.next, Number(response.header.revision) + 1);
      return;
    }
    const events = [...watch.partial, ...response.events.map(toWatchEvent)];
    // A fragment may end in the middle of a revision: its last revision waits for the next one.
    const whole = isFragment(response) ? startOfLastRevision(events) : events.length;
    watch.partial = events.slice(whole);
    const last = events[whole - 1];
    if (!last) return;
    const revision = revisionOf(last);
    watch.next = revision + 1;
    watch.handlers.onEvents(whole === events.length ? events : events.slice(0, whole), revision);
  }

  #finish(watch: WatchState, error: KvError): void {
    if (watch.id !== undefined) this.#byId.delete(watch.id);
    this.#watches.delete(watch);
    finish(watch, error);
    if (this.#watches.size === 0) this.#dropStream();
  }

  #closeWatch(watch: WatchState): void {
    if (watch.closed) return;
    watch.closed = true;
    this.#watches.delete(watch);
    if (this.#watches.size === 0) {
      this.#dropStream();
    } else if (watch.id !== undefined) {
      this.#byId.delete(watch.id);
      this.#stream?.write({ cancel_request: { watch_id: watch.id } });
    }
  }

  #dropStream(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#creating = [];
    this.#byId.clear();
    for (const watch of this.#watches) watch.id = undefined;
    stream?.cancel();
  }

  #pause(): void {
    this.#repair = 'pausing';
    const baseMs = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** Math.min(this.#failures++, 10));
    this.#timer = setTimeout(() => void this.#open(), baseMs * (0.75 + Math.random() / 2));
    for (const watch of [...this.#watches]) setConnected(watch, false);
  }
}

function setConnected(watch: WatchState, connected: boolean): void {
  if (watch.connected === connected) return;
  watch.connected = connected;
  watch.handlers.onConnected?.(connected);
}

function finish(watch: WatchState, error: KvError): void {
  if (watch.closed) return;
  watch.closed = true;
  watch.handlers.onEnd(error);
}

/** etcd 3.4 cancels a watch on a compacted revision with an empty reason; compact_revision tells. */
function cancelError(response: IWatchResponse): KvError {
  if (/permission denied|auth/.test(response.cancel_reason))
    return new KvError('permission-denied', response.cancel_reason);
  const compacted = Number(response.compact_revision) > 0 || response.cancel_reason === '';
  const message = response.cancel_reason || `compacted up to revision ${response.compact_revision}`;
  return new KvError(compacted || /compacted/.test(message) ? 'compacted' : 'unavailable', message);
}

// etcd3's type of the response lacks `fragment`, which the wire and its proto have.
const isFragment = (response: IWatchResponse): boolean => 'fragment' in response && response.fragment === true;

function startOfLastRevision(events: readonly WatchEvent[]): number {
  const last = events[events.length - 1];
  let start = events.length;
  if (!last) return start;
  const revision = revisionOf(last);
  while (start > 0) {
    const event = events[start - 1];
    if (!event || revisionOf(event) !== revision) break;
    start--;
  }
  return start;
}

const revisionOf = (event: WatchEvent): Revision =>
  event.kind === 'put' ? event.entry.modRevision : event.modRevision;

function toWatchEvent({ type, kv, prev_kv: before }: IEvent): WatchEvent {
  const previous = before ? { previous: fromKeyValue(before) } : {};
  const entry = fromKeyValue(kv);
  return String(type) === 'Delete'
    ? { kind: 'delete', key: entry.key, modRevision: entry.modRevision, ...previous }
    : { kind: 'put', entry, ...previous };
}
