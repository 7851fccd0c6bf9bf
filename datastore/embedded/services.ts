// The unary services: KV, Lease, Cluster, Maintenance, over the engine.

import { setImmediate } from 'node:timers/promises';
import {
  type handleUnaryCall,
  type ServerDuplexStream,
  type ServerWritableStream,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { MvccError } from '../mvcc.ts';
import {
  deleteResponse,
  putResponse,
  Refusal,
  toBuffer,
  toDelete,
  toPut,
  toRange,
  toRangeOptions,
  toStatus,
  toTransaction,
  txnResponse,
} from './convert.ts';
import type { RangeAnswer } from './encode.ts';
import type { Engine } from './engine.ts';
import { etcdSnapshot } from './etcd-snapshot.ts';
import { hashOfAll, hashOfKeys } from './hash.ts';
import type { DeleteRangeRequest, Header, PutRequest, RangeRequest, TxnRequest } from './messages.ts';

/** What we claim to be: the etcd whose behaviour this is; clients look at it to know what they may use. */
export const ETCD_VERSION = '3.4.0';

export type HeaderOf = (revision: number) => Header;

/** Answers with what `serve` resolves to, or with the refusal that it throws. */
function unary<Request, Response>(serve: (request: Request) => Promise<Response>): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    serve(call.request).then(
      (response) => callback(null, response),
      (error) => callback(toStatus(error)),
    );
  };
}

export function kvService(engine: Engine, header: HeaderOf): UntypedServiceImplementation {
  return {
    Range: unary(async (request: RangeRequest): Promise<RangeAnswer> => {
      const result = await engine.range(toRange(request.key, request.range_end), toRangeOptions(request));
      const { versions, more, count, revision } = result;
      return { header: header(revision), versions, keysOnly: request.keys_only, more, count };
    }),
    Put: unary(async (request: PutRequest) => {
      const outcome = await engine.execute({ compare: [], success: [toPut(request)], failure: [] });
      const [result] = outcome.results;
      const previous = result?.kind === 'put' ? result.previous : undefined;
      return { header: header(outcome.revision), ...putResponse(previous, request.prev_kv) };
    }),
    DeleteRange: unary(async (request: DeleteRangeRequest) => {
      const outcome = await engine.execute({ compare: [], success: [toDelete(request)], failure: [] });
      const [result] = outcome.results;
      const deleted = result?.kind === 'delete' ? result.deleted : [];
      return { header: header(outcome.revision), ...deleteResponse(deleted, request.prev_kv) };
    }),
    Txn: unary(async (request: TxnRequest) => {
      const outcome = await engine.execute(toTransaction(request));
      return txnResponse(request, outcome.succeeded, outcome.results, header(outcome.revision));
    }),
    Compact: unary(async (request: { readonly revision: string }) => {
      await engine.compact(Number(request.revision));
      return { header: header(engine.mvcc.revision) };
    }),
  };
}

/** etcd's longest. */
const MAX_LEASE_TTL_SEC = 9_000_000_000;

export function leaseService(engine: Engine, header: HeaderOf): UntypedServiceImplementation {
  return {
    LeaseGrant: unary(async (request: { readonly TTL: string; readonly ID: string }) => {
      const ttlSec = Math.max(1, Number(request.TTL));
      if (ttlSec > MAX_LEASE_TTL_SEC) throw new Refusal(status.OUT_OF_RANGE, 'etcdserver: too large lease TTL');
      const id = await engine.grantLease(request.ID, ttlSec);
      return { header: header(engine.durableRevision), ID: id, TTL: ttlSec };
    }),
    LeaseRevoke: unary(async (request: { readonly ID: string }) => ({
      header: header(await engine.revokeLease(request.ID)),
    })),
    LeaseTimeToLive: unary(async (request: { readonly ID: string; readonly keys: boolean }) => {
      const remainingSec = engine.remainingLeaseSec(request.ID);
      const answer = { header: header(engine.durableRevision), ID: request.ID };
      if (remainingSec === undefined) return { ...answer, TTL: -1 };
      const keys = request.keys ? [...(engine.mvcc.leases.keysOf(request.ID) ?? [])].map(toBuffer) : [];
      return { ...answer, TTL: Math.floor(remainingSec), grantedTTL: engine.mvcc.leases.ttlSec(request.ID), keys };
    }),
    LeaseLeases: unary(async () => ({
      header: header(engine.durableRevision),
      leases: [...engine.mvcc.leases.ids()].map((ID) => ({ ID })),
    })),
    LeaseKeepAlive: (call: ServerDuplexStream<{ readonly ID: string }, unknown>) => {
      call.on('data', ({ ID }: { readonly ID: string }) => {
        // A TTL of 0 says that the lease is gone.
        const TTL = engine.renewLease(ID) ? engine.mvcc.leases.ttlSec(ID) : 0;
        call.write({ header: header(engine.durableRevision), ID, TTL });
      });
      call.on('end', () => call.end());
      call.on('error', () => {});
    },
  };
}

export interface MaintenanceFacts {
  readonly memberId: string;
  readonly name: string;
  readonly clientUrls: readonly string[];
  /** Bytes of the data directory. */
  readonly diskBytes: () => Promise<number>;
}

/** For calls that make no sense here. */
export const refuse = (reason: string): handleUnaryCall<object, object> =>
  unary(() => Promise.reject(new Refusal(status.UNIMPLEMENTED, `twill-datastore: ${reason}`)));

const oneMember = refuse('it is one member by itself and has no others; run etcd for a cluster');

export const clusterService = (
  engine: Engine,
  header: HeaderOf,
  facts: MaintenanceFacts,
): UntypedServiceImplementation => ({
  MemberAdd: oneMember,
  MemberRemove: oneMember,
  MemberUpdate: oneMember,
  MemberPromote: oneMember,
  MemberList: unary(async () => ({
    header: header(engine.durableRevision),
    members: [{ ID: facts.memberId, name: facts.name, peerURLs: [], clientURLs: facts.clientUrls }],
  })),
});

export function maintenanceService(
  engine: Engine,
  header: HeaderOf,
  facts: MaintenanceFacts,
): UntypedServiceImplementation {
  return {
    Alarm: unary(async () => ({
      header: header(engine.durableRevision),
      // 1 is NOSPACE; ours goes by itself when there is space again.
      alarms: engine.full ? [{ memberID: facts.memberId, alarm: 1 }] : [],
    })),
    Defragment: unary(async () => ({ header: header(engine.durableRevision) })),
    Status: unary(async () => ({
      header: header(engine.durableRevision),
      version: ETCD_VERSION,
      dbSize: await facts.diskBytes(),
      dbSizeInUse: engine.mvcc.size,
      leader: facts.memberId,
      raftIndex: engine.durableRevision,
      raftAppliedIndex: engine.durableRevision,
      raftTerm: 1,
    })),
    Hash: unary(async () => ({ header: header(engine.durableRevision), hash: await hashOfAll(engine.capture()) })),
    HashKV: unary(async (request: { readonly revision: string }) => {
      await engine.settled();
      const captured = engine.capture();
      const wanted = Number(request.revision);
      if (wanted > captured.revision) throw new MvccError('future-revision', `revision ${wanted} has not come yet`);
      // As etcd: at the compacted revision itself members may differ in what they have removed already.
      if (wanted > 0 && wanted <= captured.compactedRevision) {
        throw new MvccError('compacted', `revision ${wanted} is compacted, up to ${captured.compactedRevision}`);
      }
      const hash = await hashOfKeys(captured, wanted || captured.revision);
      return { header: header(captured.revision), hash, compact_revision: captured.compactedRevision };
    }),
    MoveLeader: oneMember,
    Snapshot: (call: ServerWritableStream<object, unknown>) => {
      sendSnapshot(engine, header, call).catch((error) => call.emit('error', toStatus(error)));
    },
  };
}

/** A backup: a bbolt file as etcd's own, for `etcdctl snapshot restore` and `twill-datastore --restore`. */
async function sendSnapshot(
  engine: Engine,
  header: HeaderOf,
  call: ServerWritableStream<object, unknown>,
): Promise<void> {
  await engine.settled();
  const captured = engine.capture();
  const answerHeader = header(captured.revision);
  for await (const blob of inChunks(etcdSnapshot(captured))) {
    if (call.cancelled) return;
    if (!call.write({ header: answerHeader, remaining_bytes: 0, blob })) {
      await new Promise<void>((resolve) => call.once('drain', () => resolve()).once('cancelled', () => resolve()));
    }
  }
  call.end();
}

/** Bytes in one message of a stream. */
const CHUNK_BYTES = 64 * 1024;

/** Small pieces together; between chunks others have their turn. */
async function* inChunks(pieces: Iterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    // An empty piece: there is nothing yet, but it took its time.
    if (piece.length > 0 && bytes < CHUNK_BYTES) continue;
    await setImmediate();
    if (bytes < CHUNK_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}
