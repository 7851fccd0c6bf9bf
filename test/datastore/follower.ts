// A follower keeps a twin of the store from a syncer's updates alone, and refuses an update that says nothing new.

import assert from 'node:assert/strict';
import type { KvStore } from '../../datastore/kv.ts';
import { type Syncer, type SyncerUpdate, type SyncStatus, startSyncer } from '../../datastore/syncer.ts';
import { until } from './until.ts';

export class Follower {
  readonly twin = new Map<string, { value: string; revision: number }>();
  readonly statuses: SyncStatus[] = [];
  readonly errors: string[] = [];
  readonly syncer: Syncer;
  updates: SyncerUpdate[] = [];
  batches: (readonly SyncerUpdate[])[] = [];

  constructor(store: KvStore, prefixes: readonly string[], pageSize = 3) {
    this.syncer = startSyncer({
      store,
      prefixes,
      pageSize,
      retryMinMs: 1,
      retryMaxMs: 5,
      handlers: {
        onUpdates: (updates) => {
          assert.ok(updates.length > 0);
          this.batches.push(updates);
          for (const update of updates) this.#apply(update);
        },
        onStatus: (status) => this.statuses.push(status),
        onError: (error) => this.errors.push(error.code),
      },
    });
  }

  #apply({ key, value, revision }: SyncerUpdate): void {
    const known = this.twin.get(key);
    if (value === undefined) {
      assert.ok(known, `deletion of ${key}, which was never delivered`);
      this.twin.delete(key);
    } else {
      assert.ok(!known || known.revision !== revision || known.value !== value, `${key} delivered twice`);
      this.twin.set(key, { value, revision });
    }
    this.updates.push({ key, value, revision });
  }

  /** The updates since the last call, as text. */
  take(): string[] {
    const taken = this.updates.map(({ key, value }) => (value === undefined ? `-${key}` : `${key}=${value}`));
    this.updates = [];
    return taken;
  }

  async inSync(timeoutMs = 5000): Promise<void> {
    await until(() => this.syncer.status === 'in-sync', 'in sync', timeoutMs);
  }

  /** Waits until the twin is what the store holds below these prefixes, and says how it differs if it never is. */
  async equals(store: KvStore, prefixes: readonly string[], timeoutMs = 10_000): Promise<void> {
    let expected: [string, { value: string; revision: number }][] = [];
    const differs = async (): Promise<boolean> => {
      expected = [];
      for (const prefix of prefixes) {
        const { entries } = await store.list(prefix);
        for (const { key, value, modRevision } of entries) expected.push([key, { value, revision: modRevision }]);
      }
      return (
        expected.length !== this.twin.size ||
        expected.some(([key, { revision }]) => this.twin.get(key)?.revision !== revision)
      );
    };
    await until(async () => !(await differs()), 'the follower to have caught up', timeoutMs).catch(() => {});
    assert.deepEqual([...this.twin].sort(byKey), expected.sort(byKey));
  }
}

const byKey = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);
