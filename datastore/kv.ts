// The key-value store as the rest of Twill sees it: etcd v3's semantics and nothing etcd3-specific.
//
// Implemented by datastore/memory.ts (over the pure mvcc.ts), and by datastore/etcd.ts, which speaks to a real etcd and
// to twill-datastore alike. test/datastore/kv-contract.ts is run against all of them.
// Keys and values are text: everything stored below /calico is JSON or a plain word.

/** etcd's revision: one counter for the whole store, +1 for each transaction that changes something. */
export type Revision = number;

export interface KvEntry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  /** 1 after creation, +1 for each change. */
  readonly version: number;
  /** Lease id in decimal, when bound to one. */
  readonly lease?: string;
}

export type Compare =
  /** modRevision 0 or version 0 means: the key does not exist. */
  | { readonly key: string; readonly target: 'modRevision' | 'createRevision' | 'version'; readonly is: number }
  | { readonly key: string; readonly target: 'value'; readonly is: string };

export type Operation =
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease?: string }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'delete-prefix'; readonly prefix: string }
  | { readonly kind: 'get'; readonly key: string };

/** At most 128 comparisons and 128 operations in each branch, and a key is written at most once (etcd's limits). */
export interface Transaction {
  /** All must hold for `then` to run; otherwise `otherwise` runs. Both in one revision. */
  readonly compare: readonly Compare[];
  readonly then: readonly Operation[];
  readonly otherwise?: readonly Operation[];
}

export interface TransactionResult {
  readonly succeeded: boolean;
  /** The store's revision after the transaction. */
  readonly revision: Revision;
  /** One per operation of the branch that ran; `get` gives the entry found (or undefined), `put`/`delete` undefined. */
  readonly entries: readonly (KvEntry | undefined)[];
}

export interface ListOptions {
  /** Read the past; a KvError of code `compacted` when it is gone. */
  readonly revision?: Revision;
  readonly limit?: number;
  /** Start after this key (exclusive), for paging at a fixed revision. */
  readonly after?: string;
  readonly keysOnly?: boolean;
}

export interface ListResult {
  /** In byte order of their keys. */
  readonly entries: readonly KvEntry[];
  /** The store's revision when the list was read (the header revision, not that of `options.revision`). */
  readonly revision: Revision;
  /** True when `limit` cut the list. */
  readonly more: boolean;
  /** Which store answered: another id means other data, whatever the revision. */
  readonly clusterId?: string;
}

export interface StoreStatus {
  readonly revision: Revision;
  readonly clusterId: string;
  /** What the server says of itself, such as "3.4.23" or "twill-datastore 0.1.0 (etcd 3.4.0)". */
  readonly version: string;
  /** Bytes that the server's data take. */
  readonly sizeBytes: number;
  /** Who answered, and of an etcd cluster its leader (both member ids), when there is one. */
  readonly member?: string;
  readonly leader?: string;
}

export type WatchEvent =
  | { readonly kind: 'put'; readonly entry: KvEntry; readonly previous?: KvEntry }
  | { readonly kind: 'delete'; readonly key: string; readonly modRevision: Revision; readonly previous?: KvEntry };

export interface WatchHandlers {
  /** Every event of one or more whole revisions, in order. `revision` is that of the last one. */
  readonly onEvents: (events: readonly WatchEvent[], revision: Revision) => void;
  /**
   * The watch is over and will not come back by itself: list again and watch from there. Lost connections are not an
   * end: they are repaired inside, without losing, doubling or reordering an event.
   */
  readonly onEnd: (error: KvError) => void;
  /** For status and logs: false when the connection was lost and is being repaired, true when it is back. */
  readonly onConnected?: (connected: boolean) => void;
}

export interface Watch {
  close(): void;
}

export interface Lease {
  readonly id: string;
  /** Called once when the lease could not be kept alive; its keys are gone or soon will be. */
  onLost(callback: () => void): void;
  revoke(): Promise<void>;
}

/** All methods reject with KvError and nothing else. */
export interface KvStore {
  get(key: string, options?: { readonly revision?: Revision }): Promise<KvEntry | undefined>;
  list(prefix: string, options?: ListOptions): Promise<ListResult>;
  transact(transaction: Transaction): Promise<TransactionResult>;
  /** Events from `fromRevision` on (inclusive), for all keys with the prefix. */
  watch(prefix: string, fromRevision: Revision, handlers: WatchHandlers): Watch;
  grantLease(ttlSec: number): Promise<Lease>;
  /** Forgets the history below this revision. */
  compact(revision: Revision): Promise<void>;
  status(): Promise<StoreStatus>;
  close(): Promise<void>;
}

export type KvErrorCode =
  /** Nobody answered, or not in time, and nothing was written. */
  | 'unavailable'
  /** No answer to a write: it may or may not have happened. Read back before you retry. */
  | 'unknown-outcome'
  /** The wanted revision has been compacted away: list again. */
  | 'compacted'
  /** The store has gone back in time or is another one (restored, wiped): nothing known about it holds. */
  | 'rewound'
  | 'permission-denied'
  /** The request is malformed or too large: retrying cannot help. */
  | 'invalid'
  /** The store was closed by its owner. */
  | 'closed';

export class KvError extends Error {
  override readonly name = 'KvError';
  readonly code: KvErrorCode;
  readonly retryable: boolean;

  constructor(code: KvErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.retryable = ['unavailable', 'unknown-outcome', 'compacted', 'rewound'].includes(code);
  }
}
