// A store that answers as if writes had happened, and keeps them to itself: for --dry-run and diff.

import {
  type Compare,
  type KvEntry,
  KvError,
  type KvStore,
  type Lease,
  type ListOptions,
  type ListResult,
  type Operation,
  type Revision,
  type StoreStatus,
  type Transaction,
  type TransactionResult,
  type Watch,
} from '../datastore/kv.ts';
import { listAll } from './ipam-data.ts';

export class OverlayStore implements KvStore {
  readonly #base: KvStore;
  /** Undefined: deleted here. */
  readonly #written = new Map<string, KvEntry | undefined>();
  #revision: Revision = Number.MAX_SAFE_INTEGER / 2;

  constructor(base: KvStore) {
    this.#base = base;
  }

  async get(key: string): Promise<KvEntry | undefined> {
    return this.#written.has(key) ? this.#written.get(key) : await this.#base.get(key);
  }

  async list(prefix: string, { limit = Number.POSITIVE_INFINITY, after = '' }: ListOptions = {}): Promise<ListResult> {
    const entries = new Map((await listAll(this.#base, prefix)).map((entry) => [entry.key, entry]));
    for (const [key, entry] of this.#written) {
      if (!key.startsWith(prefix)) continue;
      if (entry) entries.set(key, entry);
      else entries.delete(key);
    }
    const sorted = [...entries.values()].filter(({ key }) => key > after).sort((a, b) => (a.key < b.key ? -1 : 1));
    return { entries: sorted.slice(0, limit), revision: this.#revision, more: sorted.length > limit };
  }

  async transact({ compare, then, otherwise = [] }: Transaction): Promise<TransactionResult> {
    const holds = await Promise.all(compare.map((condition) => this.#holds(condition)));
    const succeeded = holds.every(Boolean);
    const operations = succeeded ? then : otherwise;
    if (operations.some(({ kind }) => kind !== 'get')) this.#revision++;
    const entries: (KvEntry | undefined)[] = [];
    for (const operation of operations) entries.push(await this.#run(operation));
    return { succeeded, revision: this.#revision, entries };
  }

  async #holds(condition: Compare): Promise<boolean> {
    const entry = await this.get(condition.key);
    if (condition.target === 'value') return entry?.value === condition.is;
    return (entry?.[condition.target] ?? 0) === condition.is;
  }

  async #run(operation: Operation): Promise<KvEntry | undefined> {
    switch (operation.kind) {
      case 'get':
        return await this.get(operation.key);
      case 'delete':
        this.#written.set(operation.key, undefined);
        return undefined;
      case 'delete-prefix':
        for (const { key } of (await this.list(operation.prefix)).entries) this.#written.set(key, undefined);
        return undefined;
      case 'put': {
        const before = await this.get(operation.key);
        this.#written.set(operation.key, {
          key: operation.key,
          value: operation.value,
          createRevision: before?.createRevision ?? this.#revision,
          modRevision: this.#revision,
          version: (before?.version ?? 0) + 1,
        });
        return undefined;
      }
    }
  }

  watch(): Watch {
    throw new KvError('invalid', 'a dry run cannot watch');
  }

  async grantLease(): Promise<Lease> {
    throw new KvError('invalid', 'a dry run cannot hold leases');
  }

  async compact(): Promise<void> {}

  async status(): Promise<StoreStatus> {
    return await this.#base.status();
  }

  async close(): Promise<void> {}
}
