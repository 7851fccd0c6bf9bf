// The Watch service. Each stream serves many watches; none of them has a queue.
//
//     engine.onDurable, drain ─► pump(): for each watch, history from its position ─► response, as long as the client reads
//
// A watch is a position in the history. When its client reads slowly it falls behind, at no cost but its own, and when the
// history it needs is compacted away it is cancelled, as in etcd.

import type { ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { type KeyRange, MvccError, NO_LEASE, type Version } from '../mvcc.ts';
import { toBuffer, toKeyValue, toRange } from './convert.ts';
import type { Engine } from './engine.ts';
import type { WatchCreateRequest, WatchEventMessage, WatchRequest, WatchResponse } from './messages.ts';
import type { HeaderOf } from './services.ts';

/** Events in one response, unless one revision has more. */
const EVENTS_PER_RESPONSE = 1000;
/** With `fragment` a response is split at about this size: etcd's default limit of a request. */
const FRAGMENT_BYTES = 1.5 * 1024 * 1024;

type Call = ServerDuplexStream<WatchRequest, WatchResponse>;

interface WatchState {
  readonly id: string;
  readonly range: KeyRange;
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly previous: boolean;
  readonly fragment: boolean;
  readonly progress: boolean;
  /** The first revision that was not looked at yet. */
  next: number;
  /** The last revision that the client was told of. */
  told: number;
}

export function watchService(engine: Engine, header: HeaderOf, progressMs: number): UntypedServiceImplementation {
  return { Watch: (call: Call) => new WatchConnection(engine, header, call, progressMs) };
}

class WatchConnection {
  readonly #engine: Engine;
  readonly #header: HeaderOf;
  readonly #call: Call;
  readonly #watches = new Map<string, WatchState>();
  readonly #stopListening: () => void;
  readonly #progressTimer: NodeJS.Timeout;
  #lastId = -1;
  #blocked = false;
  #over = false;

  constructor(engine: Engine, header: HeaderOf, call: Call, progressMs: number) {
    this.#engine = engine;
    this.#header = header;
    this.#call = call;
    this.#stopListening = engine.onDurable(() => this.#pump());
    this.#progressTimer = setInterval(() => this.#progress(), progressMs);
    call.on('data', (request: WatchRequest) => this.#onRequest(request));
    call.on('drain', () => {
      this.#blocked = false;
      this.#pump();
    });
    call.on('end', () => {
      this.#stop();
      call.end();
    });
    call.on('cancelled', () => this.#stop());
    call.on('error', () => this.#stop());
  }

  #stop(): void {
    this.#over = true;
    this.#stopListening();
    clearInterval(this.#progressTimer);
    this.#watches.clear();
  }

  #onRequest(request: WatchRequest): void {
    if (request.create_request) this.#create(request.create_request);
    else if (request.cancel_request) this.#cancel(request.cancel_request.watch_id);
    else if (request.progress_request) this.#reportAll();
  }

  #create(request: WatchCreateRequest): void {
    const id = request.watch_id === '0' ? this.#nextId() : request.watch_id;
    if (this.#watches.has(id)) {
      this.#send({
        header: this.#header(this.#engine.durableRevision),
        watch_id: '-1',
        created: true,
        canceled: true,
        cancel_reason: 'mvcc: duplicate watch ID provided on the WatchStream',
      });
      return;
    }
    // From now on: what is still on its way to the disk was written before this watch.
    const next = Number(request.start_revision) || this.#engine.mvcc.revision + 1;
    this.#watches.set(id, {
      id,
      range: toRange(request.key.length === 0 ? Buffer.from([0]) : request.key, request.range_end),
      puts: !request.filters.includes('NOPUT'),
      deletes: !request.filters.includes('NODELETE'),
      previous: request.prev_kv,
      fragment: request.fragment,
      progress: request.progress_notify,
      next,
      told: 0,
    });
    this.#send({ header: this.#header(this.#engine.durableRevision), watch_id: id, created: true });
    this.#pump();
  }

  #nextId(): string {
    do this.#lastId++;
    while (this.#watches.has(String(this.#lastId)));
    return String(this.#lastId);
  }

  #cancel(id: string): void {
    if (!this.#watches.delete(id)) return;
    this.#send({ header: this.#header(this.#engine.durableRevision), watch_id: id, canceled: true });
  }

  #send(response: WatchResponse): void {
    if (!this.#over && !this.#call.write(response)) this.#blocked = true;
  }

  /** Sends what is durable and not yet sent, until the client has to catch up. */
  #pump(): void {
    for (let more = true; more; ) {
      more = false;
      for (const watch of this.#watches.values()) {
        if (this.#blocked || this.#over) return;
        if (watch.next <= this.#engine.durableRevision && this.#advance(watch)) more = true;
      }
    }
  }

  /** One response of one watch; true when there may be more. */
  #advance(watch: WatchState): boolean {
    const durable = this.#engine.durableRevision;
    try {
      const { changes, next } = this.#engine.mvcc.readChanges(watch.range, watch.next, durable, EVENTS_PER_RESPONSE);
      watch.next = next;
      const wanted = changes.filter((change) => (change.version > 0 ? watch.puts : watch.deletes));
      if (wanted.length > 0) {
        this.#sendEvents(watch, wanted);
        watch.told = next - 1;
      }
      return next <= durable;
    } catch (error) {
      if (!(error instanceof MvccError)) throw error;
      this.#watches.delete(watch.id);
      this.#send({
        header: this.#header(durable),
        watch_id: watch.id,
        canceled: true,
        compact_revision: Math.max(1, this.#engine.mvcc.compactedRevision),
        cancel_reason: 'etcdserver: mvcc: required revision has been compacted',
      });
      return false;
    }
  }

  #sendEvents(watch: WatchState, changes: readonly Version[]): void {
    const header = this.#header(this.#engine.durableRevision);
    let events: WatchEventMessage[] = [];
    let bytes = 0;
    for (const change of changes) {
      if (watch.fragment && bytes > FRAGMENT_BYTES) {
        this.#send({ header, watch_id: watch.id, events, fragment: true });
        events = [];
        bytes = 0;
      }
      events.push(toEvent(change, watch.previous));
      bytes += change.key.length + change.value.length + (watch.previous ? (change.older?.value.length ?? 0) : 0);
    }
    this.#send({ header, watch_id: watch.id, events });
  }

  /** Tells quiet watches how far the store has come: they can then survive a compaction of what they did not miss. */
  #progress(): void {
    for (const watch of this.#watches.values()) {
      if (watch.progress && this.#isSynced(watch) && watch.told < this.#engine.durableRevision) this.#report(watch);
    }
  }

  /** A progress request is answered once, for all watches, when none of them is behind. */
  #reportAll(): void {
    if (![...this.#watches.values()].every((watch) => this.#isSynced(watch))) return;
    this.#send({ header: this.#header(this.#engine.durableRevision), watch_id: '-1' });
  }

  #report(watch: WatchState): void {
    watch.told = this.#engine.durableRevision;
    this.#send({ header: this.#header(watch.told), watch_id: watch.id });
  }

  #isSynced(watch: WatchState): boolean {
    return !this.#blocked && watch.next > this.#engine.durableRevision;
  }
}

function toEvent(change: Version, previous: boolean): WatchEventMessage {
  const older = change.older;
  const before = previous && older && older.version > 0 ? { prev_kv: toKeyValue(older) } : {};
  return change.version > 0
    ? { type: 'PUT', kv: toKeyValue(change), ...before }
    : {
        type: 'DELETE',
        kv: { key: toBuffer(change.key), mod_revision: change.modRevision, lease: NO_LEASE },
        ...before,
      };
}
