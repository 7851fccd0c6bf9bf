// List-then-watch over several prefixes: the way in for everything that follows the datastore (felix, bgp, ipam).
//
//     waiting ──► resync: pages of all prefixes at one revision R ──► in-sync: one watch a prefix from R+1
//        ▲            │ list failed                                      │ watch ended: compacted, rewound
//        └────────────┴──────────────── after a pause ◄──────────────────┘ (at once)
//
// What the owner may rely on:
// - onUpdates gets every difference between what it was told before and what the store holds: nothing lost, nothing
//   twice. The first resync delivers everything, a later one what was added, changed and deleted meanwhile, and this also
//   when the store was restored from a backup, wiped or replaced.
// - Updates of one prefix come in the order of their revisions. Between prefixes there is no order, except that the
//   writes of one transaction that reach us together are delivered together.
// - 'in-sync' comes after the last update of the resync. Until the first one, hold what you would program. 'waiting' after
//   an 'in-sync' means that the store can not be reached: what was delivered stays true as far as anybody knows.
// - Updates seen during 'resync' may mix old and new state; at 'in-sync' they are one consistent state of the store.
// - Callbacks run one at a time, never inside startSyncer(), and never after close().
//
// Memory is bounded by the number of keys (see sync-cache.ts), one page, and the events of one turn of the event loop.
// Values are delivered as text: parsing, and what an invalid value means, is the caller's.

import { KvError, type KvStore, type ListResult, type Revision, type Watch, type WatchEvent } from './kv.ts';
import { SyncCache, type SyncerUpdate } from './sync-cache.ts';

export type { SyncerUpdate } from './sync-cache.ts';

export type SyncStatus = 'waiting' | 'resync' | 'in-sync';

export interface SyncerHandlers {
  /** Never empty. */
  readonly onUpdates: (updates: readonly SyncerUpdate[]) => void;
  readonly onStatus: (status: SyncStatus) => void;
  /** For logs: a list failed, or a watch ended, and what the syncer does about it is already under way. */
  readonly onError?: (error: KvError) => void;
  /** For progress: keys read so far in this resync. */
  readonly onProgress?: (keys: number) => void;
}

export interface SyncerSettings {
  readonly store: KvStore;
  /** A prefix that lies inside another one is covered by it. */
  readonly prefixes: readonly string[];
  readonly handlers: SyncerHandlers;
  /** Keys per list request. */
  readonly pageSize?: number;
  /** Pause after a failed list: doubles from min to max, with jitter. */
  readonly retryMinMs?: number;
  readonly retryMaxMs?: number;
}

export const startSyncer = (settings: SyncerSettings): Syncer => new Syncer(settings);

/** Deletions of a resync are delivered in batches of this size. */
const DELETIONS_PER_BATCH = 5000;

export class Syncer {
  readonly #store: KvStore;
  readonly #prefixes: readonly string[];
  readonly #handlers: SyncerHandlers;
  readonly #pageSize: number;
  readonly #retryMinMs: number;
  readonly #retryMaxMs: number;
  readonly #cache = new SyncCache();
  #status: SyncStatus = 'waiting';
  #revision: Revision = 0;
  #watches: Watch[] = [];
  #disconnected = new Set<string>();
  #pending: SyncerUpdate[] = [];
  #flushScheduled = false;
  #wakeRetry: (() => void) | undefined;
  #resyncing = true;
  #resyncAgain = false;
  #closed = false;

  constructor(settings: SyncerSettings) {
    this.#store = settings.store;
    this.#prefixes = outermost(settings.prefixes);
    this.#handlers = settings.handlers;
    this.#pageSize = settings.pageSize ?? 2000;
    this.#retryMinMs = settings.retryMinMs ?? 100;
    this.#retryMaxMs = settings.retryMaxMs ?? 5000;
    setImmediate(() => void this.#resyncUntilDone());
  }

  get status(): SyncStatus {
    return this.#status;
  }

  /** The highest revision delivered; the store may be further where our prefixes did not change. */
  get revision(): Revision {
    return this.#revision;
  }

  /** Number of keys that the owner has been told of. */
  get keys(): number {
    return this.#cache.size;
  }

  /** Lists everything again and delivers the difference, if there is one. */
  resync(): void {
    this.#restart();
  }

  close(): void {
    this.#closed = true;
    this.#closeWatches();
    this.#pending = [];
    this.#wakeRetry?.();
  }

  /** One resync after the other until one has succeeded and nobody wants another. */
  async #resyncUntilDone(): Promise<void> {
    for (let failures = 0; !this.#closed; failures++) {
      this.#resyncAgain = false;
      try {
        await this.#resyncOnce();
        if (this.#resyncAgain) continue;
        this.#resyncing = false;
        return;
      } catch (error) {
        if (this.#closed) return;
        if (!(error instanceof KvError)) throw error;
        this.#handlers.onError?.(error);
        if (error.code === 'closed') return;
        this.#setStatus('waiting');
        await this.#pause(Math.min(this.#retryMaxMs, this.#retryMinMs * 2 ** Math.min(failures, 20)));
      }
    }
  }

  async #resyncOnce(): Promise<void> {
    this.#cache.beginResync();
    let revision: Revision | undefined;
    let clusterId: string | undefined;
    let keys = 0;
    for (const prefix of this.#prefixes) {
      for await (const page of this.#pages(prefix, revision)) {
        if (this.#closed) return;
        // The first page of all fixes the revision at which the others are read, and the store that they come from.
        revision ??= page.revision;
        clusterId ??= page.clusterId;
        if (page.clusterId !== clusterId || page.revision < revision) {
          throw new KvError('rewound', 'the store was replaced while it was listed');
        }
        this.#setStatus('resync');
        keys += page.entries.length;
        this.#handlers.onProgress?.(keys);
        this.#deliver(this.#cache.list(page.entries));
      }
    }
    if (this.#closed || revision === undefined) return;
    let deletions: SyncerUpdate[] = [];
    for (const deletion of this.#cache.endResync(revision)) {
      deletions.push(deletion);
      if (deletions.length === DELETIONS_PER_BATCH) {
        this.#deliver(deletions);
        deletions = [];
      }
    }
    this.#deliver(deletions);
    this.#revision = revision;
    if (this.#resyncAgain) return;
    this.#startWatches(revision + 1);
    this.#setStatus('in-sync');
  }

  /** Pages of one prefix; the next one is under way while the caller works on this one. */
  async *#pages(prefix: string, at: Revision | undefined): AsyncGenerator<ListResult, void, undefined> {
    const limit = this.#pageSize;
    let page = await this.#store.list(prefix, at === undefined ? { limit } : { limit, revision: at });
    const revision = at ?? page.revision;
    for (;;) {
      const last = page.more ? page.entries[page.entries.length - 1] : undefined;
      const next = last && this.#store.list(prefix, { limit, revision, after: last.key });
      // When the caller stops half-way, nobody is there to see this one fail.
      next?.catch(() => {});
      yield page;
      if (!next) return;
      page = await next;
    }
  }

  #startWatches(from: Revision): void {
    this.#closeWatches();
    const watches: Watch[] = [];
    this.#watches = watches;
    // A store may answer from inside watch(): late calls of watches that were replaced are told by the array.
    const current = (): boolean => !this.#closed && this.#watches === watches;
    for (const prefix of this.#prefixes) {
      watches.push(
        this.#store.watch(prefix, from, {
          onEvents: (events) => {
            if (current()) this.#onEvents(events);
          },
          onEnd: (error) => {
            if (!current()) return;
            this.#handlers.onError?.(error);
            if (error.code !== 'closed') this.#restart();
          },
          onConnected: (connected) => {
            if (current()) this.#onConnected(prefix, connected);
          },
        }),
      );
    }
  }

  /** Whatever ended a watch, the remedy is the same: list, deliver the difference, watch from there. */
  #restart(): void {
    if (this.#closed) return;
    this.#closeWatches();
    this.#resyncAgain = true;
    if (this.#resyncing) return;
    this.#resyncing = true;
    setImmediate(() => void this.#resyncUntilDone());
  }

  #closeWatches(): void {
    const watches = this.#watches;
    this.#watches = [];
    this.#disconnected.clear();
    for (const watch of watches) watch.close();
  }

  #onEvents(events: readonly WatchEvent[]): void {
    for (const event of events) {
      const update = this.#cache.event(event);
      if (update) this.#pending.push(update);
    }
    // One turn of the event loop: a transaction over several prefixes arrives as several calls within it.
    if (this.#pending.length === 0 || this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const updates = this.#pending;
    this.#pending = [];
    for (const update of updates) this.#revision = Math.max(this.#revision, update.revision);
    if (updates.length > 0 && !this.#closed) this.#handlers.onUpdates(updates);
  }

  /** Delivers what a resync found, after what the watches had brought before it. */
  #deliver(updates: readonly SyncerUpdate[]): void {
    this.#flush();
    if (updates.length > 0 && !this.#closed) this.#handlers.onUpdates(updates);
  }

  #onConnected(prefix: string, connected: boolean): void {
    if (connected) this.#disconnected.delete(prefix);
    else this.#disconnected.add(prefix);
    this.#setStatus(this.#disconnected.size === 0 ? 'in-sync' : 'waiting');
  }

  #setStatus(status: SyncStatus): void {
    if (this.#status === status || this.#closed) return;
    this.#status = status;
    this.#flush();
    this.#handlers.onStatus(status);
  }

  #pause(baseMs: number): Promise<void> {
    return new Promise((resolve) => {
      // Jitter: after an outage not every node should list in the same instant.
      const timer = setTimeout(resolve, baseMs * (0.75 + Math.random() / 2));
      this.#wakeRetry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** The prefixes that no other one covers, each once, in order. */
function outermost(prefixes: readonly string[]): string[] {
  const sorted = [...new Set(prefixes)].sort();
  return sorted.filter((prefix) => !sorted.some((other) => other !== prefix && prefix.startsWith(other)));
}
