// KvStore over etcd3: the one client, for a real etcd and for twill-datastore.
//
//     EtcdStore ─┬─ etcd-connection.ts   endpoints, failover, deadlines        ─► etcd3 ─► gRPC
//                ├─ etcd-watch.ts        all watches over one stream, repaired
//                ├─ etcd-lease.ts        leases kept alive
//                └─ etcd-errors.ts       what went wrong, and whether a write may have happened
//
// openStore() is how every process gets its store.

import { closedError, readCredentials } from './credentials.ts';
import { EtcdConnection } from './etcd-connection.ts';
import { fromKeyValue, toCompare, toRequestOp } from './etcd-convert.ts';
import { EtcdLease } from './etcd-lease.ts';
import { loadEtcdModules } from './etcd-modules.ts';
import { WatchStream } from './etcd-watch.ts';
import { listBounds } from './key-bounds.ts';
import type {
  KvEntry,
  KvStore,
  Lease,
  ListOptions,
  ListResult,
  Revision,
  StoreStatus,
  Transaction,
  TransactionResult,
  Watch,
  WatchHandlers,
} from './kv.ts';
import { findEndpoints, type StoreSettings } from './settings.ts';

export { type StoreSettings, storeSettingsFromEnvironment } from './settings.ts';

/**
 * Opens the store that the settings name; it connects when it is first used. Throws an Error for settings that can not
 * work (no endpoint, an unreadable certificate), with the remedy in its message.
 */
export async function openStore(settings: StoreSettings): Promise<KvStore> {
  const endpoints = await findEndpoints(settings);
  const credentials = await readCredentials(settings);
  return new EtcdStore(new EtcdConnection(await loadEtcdModules(), endpoints, settings, credentials));
}

/** Lists move much data: their deadline is this many times that of other requests. */
const LIST_DEADLINE_FACTOR = 4;

class EtcdStore implements KvStore {
  readonly #connection: EtcdConnection;
  readonly #watches: WatchStream;
  readonly #leases = new Set<EtcdLease>();

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
    this.#watches = new WatchStream(connection);
  }

  async get(key: string, { revision }: { readonly revision?: Revision } = {}): Promise<KvEntry | undefined> {
    const response = await this.#connection.call('read', (client, options) =>
      client.kv.range({ key: Buffer.from(key, 'utf8'), ...(revision === undefined ? {} : { revision }) }, options),
    );
    const [kv] = response.kvs;
    return kv && fromKeyValue(kv);
  }

  async list(prefix: string, { revision, limit, after, keysOnly }: ListOptions = {}): Promise<ListResult> {
    const response = await this.#connection.call(
      'read',
      (client, options) =>
        client.kv.range(
          {
            ...listBounds(prefix, after),
            ...(revision === undefined ? {} : { revision }),
            ...(limit === undefined ? {} : { limit }),
            ...(keysOnly === undefined ? {} : { keys_only: keysOnly }),
          },
          options,
        ),
      LIST_DEADLINE_FACTOR,
    );
    this.#watches.observe(response.header.cluster_id);
    return {
      entries: response.kvs.map(fromKeyValue),
      revision: Number(response.header.revision),
      more: response.more,
      clusterId: response.header.cluster_id,
    };
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    const request = {
      compare: transaction.compare.map(toCompare),
      success: transaction.then.map(toRequestOp),
      failure: (transaction.otherwise ?? []).map(toRequestOp),
    };
    const kind = isReadOnly(transaction) ? 'read' : 'write';
    const response = await this.#connection.call(kind, (client, options) => client.kv.txn(request, options));
    return {
      succeeded: response.succeeded,
      revision: Number(response.header.revision),
      entries: response.responses.map(({ response_range: range }) => {
        const kv = range?.kvs[0];
        return kv && fromKeyValue(kv);
      }),
    };
  }

  watch(prefix: string, fromRevision: Revision, handlers: WatchHandlers): Watch {
    if (this.#connection.closed) throw closedError();
    return this.#watches.add(prefix, fromRevision, handlers);
  }

  async grantLease(ttlSec: number): Promise<Lease> {
    const sentAtMs = Date.now();
    // A grant whose answer is lost leaves a lease without keys, which ends by itself: asking again does no harm.
    const response = await this.#connection.call('read', (client, options) =>
      client.leaseClient.leaseGrant({ TTL: ttlSec }, options),
    );
    const lease = new EtcdLease(this.#connection, response.ID, Number(response.TTL), sentAtMs);
    for (const other of this.#leases) if (!other.alive) this.#leases.delete(other);
    this.#leases.add(lease);
    return lease;
  }

  async compact(revision: Revision): Promise<void> {
    await this.#connection.call('write', (client, options) => client.kv.compact({ revision }, options));
  }

  async status(): Promise<StoreStatus> {
    const response = await this.#connection.call('read', (client, options) => client.maintenance.status(options));
    return {
      revision: Number(response.header.revision),
      clusterId: response.header.cluster_id,
      version: response.version,
      sizeBytes: Number(response.dbSize),
      member: response.header.member_id,
      leader: response.leader,
    };
  }

  async close(): Promise<void> {
    for (const lease of this.#leases) lease.stop();
    this.#watches.end(closedError());
    this.#connection.close();
  }
}

const isReadOnly = ({ then, otherwise = [] }: Transaction): boolean =>
  [...then, ...otherwise].every((operation) => operation.kind === 'get');
