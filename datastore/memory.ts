// The store in memory, for tests and simulations: KvStore over mvcc.ts, with etcd's semantics and asynchrony.
//
// Events reach watchers in a later microtask, as they would from a server. The extra methods of MemoryStore make the
// failures that tests want: outages, compaction, ended watches, lost leases, a store that was wiped.

import {
  type KvEntry,
  KvError,
  type KvStore,
  type Lease,
  type ListOptions,
  type ListResult,
  type Revision,
  type StoreStatus,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchEvent,
  type WatchHandlers,
} from './kv.ts';
import { type KeyRange, Mvcc, MvccError, type Version } from './mvcc.ts';
import { listRange, toBytes, toEntry, toMvccTransaction, toText } from './text.ts';

export const createMemoryStore = (): MemoryStore => new MemoryStore();

/** Events given to a watcher in one call are at least this many when there are more, and end with their revision. */
const EVENTS_PER_BATCH = 1000;

interface MemoryWatch {
  readonly range: KeyRange;
  readonly handlers: WatchHandlers;
  next: Revision;
}

export class MemoryStore implements KvStore {
  #mvcc = new Mvcc();
  #generation = 1;
  #fault: KvError | undefined;
  #closed = false;
  #pumpScheduled = false;
  #leaseCount = 0;
  readonly #watches = new Set<MemoryWatch>();
  readonly #leases = new Map<string, () => void>();

  async get(key: string, options: { readonly revision?: Revision } = {}): Promise<KvEntry | undefined> {
    return this.#serve(() => {
      const version = this.#mvcc.get(toBytes(key), options.revision);
      return version && toEntry(version);
    });
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
    return this.#serve(() => {
      const { versions, more } = this.#mvcc.range(listRange(prefix, options), {
        revision: options.revision,
        limit: options.limit,
      });
      return {
        entries: versions.map((version) => toEntry(version, options.keysOnly)),
        revision: this.#mvcc.revision,
        more,
        clusterId: this.#clusterId(),
      };
    });
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    return this.#serve(() => {
      const outcome = this.#mvcc.execute(toMvccTransaction(transaction));
      if (outcome.changes.length > 0) this.#schedulePump();
      return {
        succeeded: outcome.succeeded,
        revision: outcome.revision,
        entries: outcome.results.map((result) => {
          const version = result.kind === 'range' ? result.versions[0] : undefined;
          return version && toEntry(version);
        }),
      };
    });
  }

  watch(prefix: string, fromRevision: Revision, handlers: WatchHandlers): Watch {
    const watch: MemoryWatch = { range: listRange(prefix, {}), handlers, next: fromRevision };
    this.#watches.add(watch);
    this.#schedulePump();
    return { close: () => void this.#watches.delete(watch) };
  }

  async grantLease(ttlSec: number): Promise<Lease> {
    return this.#serve(() => {
      const id = String(++this.#leaseCount);
      // No clock here: a lease of this store lives until it is revoked, lost by loseLeases(), or the store is closed.
      this.#mvcc.leases.grant(id, ttlSec, 0);
      return {
        id,
        onLost: (callback: () => void) => void this.#leases.set(id, callback),
        revoke: async () => this.#serve(() => this.#endLease(id)),
      };
    });
  }

  async compact(revision: Revision): Promise<void> {
    return this.#serve(() => this.#mvcc.compact(revision));
  }

  async status(): Promise<StoreStatus> {
    return this.#serve(() => ({
      revision: this.#mvcc.revision,
      clusterId: this.#clusterId(),
      version: 'memory',
      sizeBytes: this.#mvcc.size,
    }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#endWatches(new KvError('closed', 'the store was closed'));
  }

  /** Until called with undefined, every call rejects with this error and watches are silent. */
  setFault(fault: KvError | undefined): void {
    this.#fault = fault;
    if (!fault) this.#schedulePump();
  }

  /** Ends every watch with this error. */
  endWatches(error: KvError): void {
    this.#endWatches(error);
  }

  /** Expires every lease: their keys are deleted and their owners told. */
  loseLeases(): void {
    for (const id of [...this.#mvcc.leases.ids()]) {
      const lost = this.#leases.get(id);
      this.#endLease(id);
      if (lost) queueMicrotask(lost);
    }
  }

  /** The data are gone and revisions start again, as after a wiped etcd; watches end with `rewound`. */
  wipe(): void {
    this.#mvcc = new Mvcc();
    this.#generation++;
    this.#endWatches(new KvError('rewound', 'the store was wiped'));
  }

  #clusterId(): string {
    return `memory-${this.#generation}`;
  }

  #serve<T>(run: () => T): T {
    if (this.#closed) throw new KvError('closed', 'the store was closed');
    if (this.#fault) throw this.#fault;
    try {
      return run();
    } catch (error) {
      throw error instanceof MvccError ? toKvError(error) : error;
    }
  }

  #endLease(id: string): void {
    if (!this.#mvcc.leases.has(id)) return;
    this.#leases.delete(id);
    if (this.#mvcc.revokeLease(id).changes.length > 0) this.#schedulePump();
  }

  #endWatches(error: KvError): void {
    const ended = [...this.#watches];
    this.#watches.clear();
    for (const watch of ended) queueMicrotask(() => watch.handlers.onEnd(error));
  }

  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      if (!this.#closed && !this.#fault) for (const watch of [...this.#watches]) this.#pump(watch);
    });
  }

  #pump(watch: MemoryWatch): void {
    while (this.#watches.has(watch) && watch.next <= this.#mvcc.revision) {
      if (watch.next < this.#mvcc.compactedRevision) {
        this.#watches.delete(watch);
        watch.handlers.onEnd(new KvError('compacted', `revision ${watch.next} has been compacted`));
        return;
      }
      const { changes, next } = this.#mvcc.readChanges(watch.range, watch.next, undefined, EVENTS_PER_BATCH);
      watch.next = next;
      const last = changes[changes.length - 1];
      if (last) watch.handlers.onEvents(changes.map(toWatchEvent), last.modRevision);
    }
  }
}

function toWatchEvent(change: Version): WatchEvent {
  const older = change.older;
  const previous = older && older.version > 0 ? { previous: toEntry(older) } : {};
  return change.version > 0
    ? { kind: 'put', entry: toEntry(change), ...previous }
    : { kind: 'delete', key: toText(change.key), modRevision: change.modRevision, ...previous };
}

const toKvError = (error: MvccError): KvError =>
  new KvError(error.code === 'compacted' ? 'compacted' : 'invalid', error.message, { cause: error });
