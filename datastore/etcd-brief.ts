// KvStore for programs that ask a few things and end, such as twillctl: the same store as openStore() of etcd.ts, without
// the 140 ms that loading etcd3 takes. Watches and leases load it when they are asked for.

import { BriefConnection } from './brief-connection.ts';
import { closedError, readCredentials } from './credentials.ts';
import type { CallKind } from './etcd-errors.ts';
import { listBounds, prefixBounds } from './key-bounds.ts';
import type {
  Compare,
  KvEntry,
  KvStore,
  Lease,
  ListOptions,
  ListResult,
  Operation,
  Revision,
  StoreStatus,
  Transaction,
  TransactionResult,
  Watch,
  WatchHandlers,
} from './kv.ts';
import { KvError } from './kv.ts';
import { FieldReader, MessageWriter } from './protobuf.ts';
import { findEndpoints, type StoreSettings } from './settings.ts';

/** Lists move much data: their deadline is this many times that of other requests. */
const LIST_DEADLINE_FACTOR = 4;

/** As openStore(). */
export async function openBriefStore(settings: StoreSettings): Promise<KvStore> {
  const endpoints = await findEndpoints(settings);
  return new BriefStore(new BriefConnection(endpoints, settings, await readCredentials(settings)), settings);
}

class BriefStore implements KvStore {
  readonly #connection: BriefConnection;
  readonly #settings: StoreSettings;
  #full: Promise<KvStore> | undefined;
  #closed = false;

  constructor(connection: BriefConnection, settings: StoreSettings) {
    this.#connection = connection;
    this.#settings = settings;
  }

  async get(key: string, { revision = 0 }: { readonly revision?: Revision } = {}): Promise<KvEntry | undefined> {
    const request = new MessageWriter().text(1, key).number(4, revision);
    return readRange(await this.#call('read', 'KV/Range', request)).entries[0];
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
    const { key, range_end: end } = listBounds(prefix, options.after);
    const request = new MessageWriter()
      .bytes(1, key)
      .bytes(2, end)
      .number(3, options.limit ?? 0)
      .number(4, options.revision ?? 0)
      .number(8, options.keysOnly ? 1 : 0);
    return readRange(await this.#call('read', 'KV/Range', request, LIST_DEADLINE_FACTOR));
  }

  async transact({ compare, then, otherwise = [] }: Transaction): Promise<TransactionResult> {
    const request = new MessageWriter();
    for (const one of compare) request.message(1, writeCompare(one));
    for (const operation of then) request.message(2, writeOperation(operation));
    for (const operation of otherwise) request.message(3, writeOperation(operation));
    const kind = [...then, ...otherwise].every((operation) => operation.kind === 'get') ? 'read' : 'write';
    return readTransaction(await this.#call(kind, 'KV/Txn', request));
  }

  async compact(revision: Revision): Promise<void> {
    await this.#call('write', 'KV/Compact', new MessageWriter().number(1, revision));
  }

  async status(): Promise<StoreStatus> {
    return readStatus(await this.#call('read', 'Maintenance/Status', new MessageWriter()));
  }

  watch(prefix: string, fromRevision: Revision, handlers: WatchHandlers): Watch {
    if (this.#closed) throw closedError();
    let watch: Watch | undefined;
    let closed = false;
    this.#fullStore().then(
      (store) => {
        if (!closed) watch = store.watch(prefix, fromRevision, handlers);
      },
      (error: unknown) => handlers.onEnd(new KvError('invalid', String(error), { cause: error })),
    );
    return {
      close: () => {
        closed = true;
        watch?.close();
      },
    };
  }

  async grantLease(ttlSec: number): Promise<Lease> {
    if (this.#closed) throw closedError();
    return (await this.#fullStore()).grantLease(ttlSec);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connection.close();
    await (await this.#full)?.close();
  }

  async #call(kind: CallKind, method: string, request: MessageWriter, factor?: number): Promise<FieldReader> {
    return new FieldReader(await this.#connection.call(kind, `/etcdserverpb.${method}`, request, factor));
  }

  #fullStore(): Promise<KvStore> {
    this.#full ??= import('./etcd.ts').then(({ openStore }) => openStore(this.#settings));
    return this.#full;
  }
}

const compareTargets = { version: 0, createRevision: 1, modRevision: 2, value: 3 } as const;

function writeCompare(compare: Compare): MessageWriter {
  // The fields of the union are numbered from 4 in the order of the targets; EQUAL is 0.
  const writer = new MessageWriter().number(2, compareTargets[compare.target]).text(3, compare.key);
  const field = 4 + compareTargets[compare.target];
  return compare.target === 'value' ? writer.text(field, compare.is) : writer.number(field, compare.is);
}

function writeOperation(operation: Operation): MessageWriter {
  switch (operation.kind) {
    case 'get':
      return new MessageWriter().message(1, new MessageWriter().text(1, operation.key));
    case 'put': {
      const put = new MessageWriter().text(1, operation.key).text(2, operation.value);
      return new MessageWriter().message(2, put.bigNumber(3, BigInt(operation.lease ?? 0)));
    }
    case 'delete':
      return new MessageWriter().message(3, new MessageWriter().text(1, operation.key));
    case 'delete-prefix': {
      const { key, range_end: end } = prefixBounds(operation.prefix);
      return new MessageWriter().message(3, new MessageWriter().bytes(1, key).bytes(2, end));
    }
  }
}

interface Header {
  readonly clusterId: string;
  readonly memberId: string;
  readonly revision: Revision;
}

const NO_HEADER: Header = { clusterId: '0', memberId: '0', revision: 0 };

function readHeader(fields: FieldReader): Header {
  let { clusterId, memberId, revision } = NO_HEADER;
  while (fields.next()) {
    if (fields.number === 1) clusterId = fields.bigInteger().toString();
    else if (fields.number === 2) memberId = fields.bigInteger().toString();
    else if (fields.number === 3) revision = fields.integer();
  }
  return { clusterId, memberId, revision };
}

function readEntry(fields: FieldReader): KvEntry {
  const entry = { key: '', value: '', createRevision: 0, modRevision: 0, version: 0 };
  let lease: string | undefined;
  while (fields.next()) {
    if (fields.number === 1) entry.key = fields.text();
    else if (fields.number === 2) entry.createRevision = fields.integer();
    else if (fields.number === 3) entry.modRevision = fields.integer();
    else if (fields.number === 4) entry.version = fields.integer();
    else if (fields.number === 5) entry.value = fields.text();
    else if (fields.number === 6) lease = BigInt.asIntN(64, fields.bigInteger()).toString();
  }
  return lease === undefined || lease === '0' ? entry : { ...entry, lease };
}

function readRange(fields: FieldReader): ListResult & { readonly clusterId: string } {
  const entries: KvEntry[] = [];
  let header = NO_HEADER;
  let more = false;
  while (fields.next()) {
    if (fields.number === 1) header = readHeader(fields.message());
    else if (fields.number === 2) entries.push(readEntry(fields.message()));
    else if (fields.number === 3) more = fields.integer() === 1;
  }
  return { entries, revision: header.revision, more, clusterId: header.clusterId };
}

function readTransaction(fields: FieldReader): TransactionResult {
  const entries: (KvEntry | undefined)[] = [];
  let revision = 0;
  let succeeded = false;
  while (fields.next()) {
    if (fields.number === 1) revision = readHeader(fields.message()).revision;
    else if (fields.number === 2) succeeded = fields.integer() === 1;
    else if (fields.number === 3) {
      const response = fields.message();
      entries.push(response.next() && response.number === 1 ? readRange(response.message()).entries[0] : undefined);
    }
  }
  return { succeeded, revision, entries };
}

function readStatus(fields: FieldReader): StoreStatus {
  let header = NO_HEADER;
  let [version, leader] = ['', '0'];
  let sizeBytes = 0;
  while (fields.next()) {
    if (fields.number === 1) header = readHeader(fields.message());
    else if (fields.number === 2) version = fields.text();
    else if (fields.number === 3) sizeBytes = fields.integer();
    else if (fields.number === 4) leader = fields.bigInteger().toString();
  }
  const { revision, clusterId, memberId: member } = header;
  return { revision, clusterId, version, sizeBytes, member, leader };
}
