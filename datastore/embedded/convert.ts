// Between the messages of rpc.proto and mvcc.ts, and refusals in etcd's own words (clients match on them).

import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import {
  type Bytes,
  type Comparison,
  type KeyRange,
  keyRange,
  MvccError,
  type MvccErrorCode,
  type MvccOperation,
  type MvccTransaction,
  NO_LEASE,
  type OperationResult,
  type RangeOptions,
  type Relation,
  type SortTarget,
  type Version,
} from '../mvcc.ts';
import type {
  Compare,
  DeleteRangeRequest,
  DeleteRangeResponse,
  Header,
  KeyValue,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from './messages.ts';

export const toBytes = (buffer: Buffer): Bytes => buffer.toString('latin1');
export const toBuffer = (bytes: Bytes): Buffer => Buffer.from(bytes, 'latin1');

/** range_end: absent is one key, "\0" is everything from `key` on; a key of "\0" with it is all there is. */
export function toRange(key: Buffer, rangeEnd: Buffer): KeyRange {
  const from = toBytes(key);
  if (rangeEnd.length === 0) return from === '' ? { from } : keyRange(from);
  const to = toBytes(rangeEnd);
  return to === '\0' ? { from: from === '' ? '\0' : from } : { from, to };
}

export function toKeyValue(version: Version, keysOnly = false): KeyValue {
  const kv = {
    key: toBuffer(version.key),
    create_revision: version.createRevision,
    mod_revision: version.modRevision,
    version: version.version,
    lease: version.lease,
  };
  return keysOnly ? kv : { ...kv, value: toBuffer(version.value) };
}

const sortTargets: Readonly<Record<RangeRequest['sort_target'], SortTarget>> = {
  KEY: 'key',
  VERSION: 'version',
  CREATE: 'createRevision',
  MOD: 'modRevision',
  VALUE: 'value',
};

export function toRangeOptions(request: RangeRequest): RangeOptions {
  const { sort_order: order, sort_target: target } = request;
  // Ascending by key is the order that keys have anyway; a target without an order sorts ascending, as in etcd.
  const plain = target === 'KEY' && order !== 'DESCEND';
  return {
    revision: Number(request.revision),
    limit: Number(request.limit),
    countOnly: request.count_only,
    countAll: true,
    sort: plain ? undefined : { target: sortTargets[target], descending: order === 'DESCEND' },
    minModRevision: Number(request.min_mod_revision),
    maxModRevision: Number(request.max_mod_revision),
    minCreateRevision: Number(request.min_create_revision),
    maxCreateRevision: Number(request.max_create_revision),
  };
}

export function toPut(request: PutRequest): MvccOperation {
  if (request.ignore_value && request.value.length > 0) throw refusal('etcdserver: value is provided');
  if (request.ignore_lease && request.lease !== NO_LEASE) throw refusal('etcdserver: lease is provided');
  return {
    kind: 'put',
    key: toBytes(request.key),
    value: request.ignore_value ? undefined : toBytes(request.value),
    lease: request.ignore_lease ? undefined : request.lease,
  };
}

export const toDelete = (request: DeleteRangeRequest): MvccOperation => ({
  kind: 'delete',
  range: toRange(request.key, request.range_end),
});

export const toTransaction = (request: TxnRequest): MvccTransaction => ({
  compare: request.compare.map(toComparison),
  success: request.success.map(toOperation),
  failure: request.failure.map(toOperation),
});

function toOperation(op: RequestOp): MvccOperation {
  if (op.request_put) return toPut(op.request_put);
  if (op.request_delete_range) return toDelete(op.request_delete_range);
  if (op.request_txn) return { kind: 'transaction', transaction: toTransaction(op.request_txn) };
  if (op.request_range) {
    const { key, range_end } = op.request_range;
    return { kind: 'range', range: toRange(key, range_end), options: toRangeOptions(op.request_range) };
  }
  throw refusal('etcdserver: an operation of the transaction is empty');
}

const relations: Readonly<Record<Compare['result'], Relation>> = {
  EQUAL: '=',
  NOT_EQUAL: '!=',
  LESS: '<',
  GREATER: '>',
};

function toComparison(compare: Compare): Comparison {
  const base = { range: toRange(compare.key, compare.range_end), relation: relations[compare.result] };
  switch (compare.target) {
    case 'VERSION':
      return { ...base, target: 'version', is: Number(compare.version ?? 0) };
    case 'CREATE':
      return { ...base, target: 'createRevision', is: Number(compare.create_revision ?? 0) };
    case 'MOD':
      return { ...base, target: 'modRevision', is: Number(compare.mod_revision ?? 0) };
    case 'LEASE':
      return { ...base, target: 'lease', is: compare.lease ?? NO_LEASE };
    case 'VALUE':
      return { ...base, target: 'value', is: toBytes(compare.value ?? Buffer.alloc(0)) };
  }
}

export function rangeResponse(
  result: { readonly versions: readonly Version[]; readonly more: boolean; readonly count: number },
  keysOnly: boolean,
): RangeResponse {
  const kvs = result.versions.map((version) => toKeyValue(version, keysOnly));
  return { kvs, more: result.more, count: result.count };
}

export const putResponse = (previous: Version | undefined, wanted: boolean): PutResponse =>
  wanted && previous ? { prev_kv: toKeyValue(previous) } : {};

export const deleteResponse = (deleted: readonly Version[], wanted: boolean): DeleteRangeResponse => ({
  deleted: deleted.length,
  prev_kvs: wanted ? deleted.map((version) => toKeyValue(version)) : [],
});

/** The answer to a transaction of which this branch ran; request and results are in the same order. */
export function txnResponse(
  request: TxnRequest,
  succeeded: boolean,
  results: readonly OperationResult[],
  header?: Header,
): TxnResponse {
  const branch = succeeded ? request.success : request.failure;
  const responses = results.map((result, i) => responseOp(branch[i] ?? {}, result));
  return header ? { header, succeeded, responses } : { succeeded, responses };
}

function responseOp(op: RequestOp, result: OperationResult): ResponseOp {
  switch (result.kind) {
    case 'put':
      return { response_put: putResponse(result.previous, op.request_put?.prev_kv ?? false) };
    case 'delete':
      return { response_delete_range: deleteResponse(result.deleted, op.request_delete_range?.prev_kv ?? false) };
    case 'range':
      return { response_range: rangeResponse(result, op.request_range?.keys_only ?? false) };
    case 'transaction': {
      const request = op.request_txn ?? { compare: [], success: [], failure: [] };
      return { response_txn: txnResponse(request, result.succeeded, result.results) };
    }
  }
}

const refusals: Readonly<Record<MvccErrorCode, readonly [code: status, message: string]>> = {
  compacted: [status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision has been compacted'],
  'future-revision': [status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision is a future revision'],
  'duplicate-key': [status.INVALID_ARGUMENT, 'etcdserver: duplicate key given in txn request'],
  'too-many-operations': [status.INVALID_ARGUMENT, 'etcdserver: too many operations in txn request'],
  'empty-key': [status.INVALID_ARGUMENT, 'etcdserver: key is not provided'],
  'key-not-found': [status.INVALID_ARGUMENT, 'etcdserver: key not found'],
  'lease-not-found': [status.NOT_FOUND, 'etcdserver: requested lease not found'],
  'no-space': [status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded'],
  'lease-exists': [status.FAILED_PRECONDITION, 'etcdserver: lease already exists'],
};

/** A request that is refused with a gRPC status. */
export class Refusal extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

const refusal = (message: string): Refusal => new Refusal(status.INVALID_ARGUMENT, message);

export function toStatus(error: unknown): Pick<StatusObject, 'code' | 'details' | 'metadata'> {
  const metadata = new Metadata();
  if (error instanceof Refusal) return { code: error.code, details: error.message, metadata };
  if (error instanceof MvccError) {
    const [code, details] = refusals[error.code];
    return { code, details, metadata };
  }
  return { code: status.INTERNAL, details: error instanceof Error ? error.message : String(error), metadata };
}
