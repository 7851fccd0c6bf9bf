// What is true only for a while and of one node: its state, its counters. A report that is not renewed disappears.
//
// With Redis (redis.ts) the datastore is spared what nobody needs tomorrow; without, reports are keys of the datastore
// under a lease, outside /calico. test/datastore/ephemeral-contract.ts holds for both.

import { KvError, type KvStore, type Lease } from './kv.ts';
import { openRedis } from './redis.ts';
import type { EphemeralStore, Report, ReportKind } from './reports.ts';

export type { EphemeralStore, Report, ReportKind } from './reports.ts';

export interface EphemeralSettings {
  /** redis://[user:password@]host:port[/db], rediss://… for TLS, or unix:/path; absent: the datastore. */
  readonly redisUrl?: string | undefined;
  /** The datastore; it is not closed with us. */
  readonly store: KvStore;
}

export async function openEphemeral(settings: EphemeralSettings): Promise<EphemeralStore> {
  if (settings.redisUrl === undefined || settings.redisUrl === '') return new LeasedReports(settings.store);
  return openRedis(settings.redisUrl);
}

const root = '/twill/v1/ephemeral/';
const prefixOf = (kind: ReportKind): string => `${root}${kind}/`;

/** One lease for all reports of a process: renewed by the client, lost with it. */
class LeasedReports implements EphemeralStore {
  readonly where = 'datastore';
  readonly #store: KvStore;
  #lease: Promise<Lease> | undefined;

  constructor(store: KvStore) {
    this.#store = store;
  }

  async publish(kind: ReportKind, node: string, json: string, ttlSec: number): Promise<void> {
    this.#lease ??= this.#grant(ttlSec);
    const lease = await this.#lease;
    try {
      const operation = { kind: 'put', key: prefixOf(kind) + node, value: json, lease: lease.id } as const;
      await this.#store.transact({ compare: [], then: [operation] });
    } catch (error) {
      // A lease that is gone is refused as invalid: the next report gets a new one.
      this.#lease = undefined;
      throw error;
    }
  }

  async #grant(ttlSec: number): Promise<Lease> {
    try {
      const lease = await this.#store.grantLease(ttlSec);
      lease.onLost(() => {
        this.#lease = undefined;
      });
      return lease;
    } catch (error) {
      this.#lease = undefined;
      throw error;
    }
  }

  async read(kind: ReportKind): Promise<readonly Report[]> {
    const prefix = prefixOf(kind);
    const { entries } = await this.#store.list(prefix);
    return entries.map(({ key, value }) => ({ node: key.slice(prefix.length), json: value }));
  }

  async close(): Promise<void> {
    const lease = await this.#lease?.catch(() => undefined);
    this.#lease = undefined;
    await lease?.revoke().catch((error: unknown) => {
      // It ends by itself when nobody renews it.
      if (!(error instanceof KvError)) throw error;
    });
  }
}
