// Between the text of kv.ts and the bytes of mvcc.ts (see Bytes there). ASCII, which is nearly everything, is both.

import type { KvEntry, ListOptions, Operation, Transaction } from './kv.ts';
import {
  type Bytes,
  type Comparison,
  type KeyRange,
  keyRange,
  type MvccOperation,
  type MvccTransaction,
  NO_LEASE,
  prefixRange,
  type Version,
} from './mvcc.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is meant.
const ASCII = /^[\x00-\x7f]*$/;

export const toBytes = (text: string): Bytes =>
  ASCII.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');

export const toText = (bytes: Bytes): string =>
  ASCII.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');

export function toEntry(version: Version, keysOnly = false): KvEntry {
  const entry = {
    key: toText(version.key),
    value: keysOnly ? '' : toText(version.value),
    createRevision: version.createRevision,
    modRevision: version.modRevision,
    version: version.version,
  };
  return version.lease === NO_LEASE ? entry : { ...entry, lease: version.lease };
}

/** The keys that a list asks for: those of the prefix behind `after`. */
export function listRange(prefix: string, options: ListOptions): KeyRange {
  const range = prefixRange(toBytes(prefix));
  // An empty key does not exist; \0 is the first that can.
  const from = range.from === '' ? '\0' : range.from;
  if (options.after === undefined) return { from, to: range.to };
  const behind = `${toBytes(options.after)}\0`;
  return { from: behind < from ? from : behind, to: range.to };
}

export function toMvccTransaction(transaction: Transaction): MvccTransaction {
  return {
    compare: transaction.compare.map((compare): Comparison => {
      const range = keyRange(toBytes(compare.key));
      return compare.target === 'value'
        ? { range, relation: '=', target: 'value', is: toBytes(compare.is) }
        : { range, relation: '=', target: compare.target, is: compare.is };
    }),
    success: transaction.then.map(toMvccOperation),
    failure: (transaction.otherwise ?? []).map(toMvccOperation),
  };
}

function toMvccOperation(operation: Operation): MvccOperation {
  switch (operation.kind) {
    case 'put':
      return {
        kind: 'put',
        key: toBytes(operation.key),
        value: toBytes(operation.value),
        lease: operation.lease ?? NO_LEASE,
      };
    case 'delete':
      return { kind: 'delete', range: keyRange(toBytes(operation.key)) };
    case 'delete-prefix':
      return { kind: 'delete', range: listRange(operation.prefix, {}) };
    case 'get':
      return { kind: 'range', range: keyRange(toBytes(operation.key)) };
  }
}
