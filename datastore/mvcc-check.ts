// What a transaction must be like whatever the state of the store, as in etcd (checkTxnRequest and checkIntervals of its
// server/etcdserver/api/v3rpc/key.go).

import {
  type Bytes,
  inRange,
  type KeyRange,
  MAX_OPERATIONS,
  MvccError,
  type MvccOperation,
  type MvccTransaction,
} from './mvcc-types.ts';

/** Refuses what etcd refuses whatever the state: too many operations, empty keys, one key written twice. */
export function checkShape(transaction: MvccTransaction): void {
  const { compare, success, failure } = transaction;
  if (Math.max(compare.length, success.length, failure.length) > MAX_OPERATIONS) {
    throw new MvccError('too-many-operations', `more than ${MAX_OPERATIONS} operations in one transaction`);
  }
  if (compare.some((comparison) => comparison.range.from === '')) {
    throw new MvccError('empty-key', 'key is not provided');
  }
  checkWrites(success);
  checkWrites(failure);
}

interface Writes {
  readonly puts: Set<Bytes>;
  readonly deletes: KeyRange[];
}

function checkWrites(operations: readonly MvccOperation[]): Writes {
  const writes: Writes = { puts: new Set(), deletes: [] };
  for (const operation of operations) {
    if (operation.kind === 'delete') {
      if (operation.range.from === '') throw new MvccError('empty-key', 'key is not provided');
      writes.deletes.push(operation.range);
    }
  }
  for (const operation of operations) {
    if (operation.kind !== 'transaction') continue;
    checkShape(operation.transaction);
    const success = checkWrites(operation.transaction.success);
    const failure = checkWrites(operation.transaction.failure);
    writes.deletes.push(...success.deletes, ...failure.deletes);
    // Only one of the two branches will run: they may share keys.
    for (const key of new Set([...success.puts, ...failure.puts])) addPut(writes, key);
  }
  for (const operation of operations) {
    if (operation.kind === 'put') {
      if (operation.key === '') throw new MvccError('empty-key', 'key is not provided');
      addPut(writes, operation.key);
    }
  }
  return writes;
}

function addPut(writes: Writes, key: Bytes): void {
  if (writes.puts.has(key) || writes.deletes.some((range) => inRange(range, key))) {
    throw new MvccError('duplicate-key', `key written twice in one transaction: ${key}`);
  }
  writes.puts.add(key);
}
