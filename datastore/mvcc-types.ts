// The words of mvcc.ts: keys and ranges, versions, comparisons, operations, results and refusals.

/** Bytes as a string whose characters are 0–255 ("latin1"): compact, immutable, a Map key, and < is byte order. */
export type Bytes = string;

/** Keys with from <= key < to; `to` undefined reaches to the last key. */
export interface KeyRange {
  readonly from: Bytes;
  readonly to?: Bytes | undefined;
}

/** One state of one key. `older` is the state before it, until that is compacted away. */
export interface Version {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 0: the key was deleted in modRevision. */
  readonly version: number;
  /** Decimal lease id, '0' for none. */
  readonly lease: string;
  readonly older: Version | undefined;
}

export type Relation = '=' | '!=' | '<' | '>';

/** Holds when it holds for every key in the range; for a missing key numbers are 0, and no value compares. */
export type Comparison = { readonly range: KeyRange; readonly relation: Relation } & (
  | { readonly target: 'version' | 'createRevision' | 'modRevision'; readonly is: number }
  | { readonly target: 'value'; readonly is: Bytes }
  | { readonly target: 'lease'; readonly is: string }
);

export type SortTarget = 'key' | 'version' | 'createRevision' | 'modRevision' | 'value';

export interface RangeOptions {
  /** Read the state of this revision; undefined or 0 is the present. */
  readonly revision?: number | undefined;
  /** Undefined or 0 is no limit. */
  readonly limit?: number | undefined;
  readonly sort?: { readonly target: SortTarget; readonly descending: boolean } | undefined;
  readonly countOnly?: boolean | undefined;
  /** Count also what the limit cuts off: costs a walk over the whole range. */
  readonly countAll?: boolean | undefined;
  readonly minModRevision?: number | undefined;
  readonly maxModRevision?: number | undefined;
  readonly minCreateRevision?: number | undefined;
  readonly maxCreateRevision?: number | undefined;
}

export interface RangeResult {
  readonly versions: readonly Version[];
  /** Keys in the range, before limit and revision filters; with a limit only exact when countAll was asked. */
  readonly count: number;
  readonly more: boolean;
}

export type MvccOperation =
  /** An undefined value or lease keeps the present one; undefined value asks that the key exists. */
  | { readonly kind: 'put'; readonly key: Bytes; readonly value: Bytes | undefined; readonly lease: string | undefined }
  | { readonly kind: 'delete'; readonly range: KeyRange }
  | { readonly kind: 'range'; readonly range: KeyRange; readonly options?: RangeOptions }
  | { readonly kind: 'transaction'; readonly transaction: MvccTransaction };

export interface MvccTransaction {
  readonly compare: readonly Comparison[];
  readonly success: readonly MvccOperation[];
  readonly failure: readonly MvccOperation[];
}

export type OperationResult =
  | { readonly kind: 'put'; readonly previous: Version | undefined }
  | { readonly kind: 'delete'; readonly deleted: readonly Version[] }
  | ({ readonly kind: 'range' } & RangeResult)
  | { readonly kind: 'transaction'; readonly succeeded: boolean; readonly results: readonly OperationResult[] };

export interface Outcome {
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
  /** The store's revision afterwards. */
  readonly revision: number;
  /** What was written, all of this one revision; empty when nothing was. */
  readonly changes: readonly Version[];
}

export type MvccErrorCode =
  | 'compacted'
  | 'future-revision'
  | 'duplicate-key'
  | 'too-many-operations'
  | 'empty-key'
  | 'key-not-found'
  | 'lease-not-found'
  | 'lease-exists'
  /** The server around it has no room for more. */
  | 'no-space';

/** The request was refused and nothing has changed. */
export class MvccError extends Error {
  override readonly name = 'MvccError';
  readonly code: MvccErrorCode;

  constructor(code: MvccErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** etcd's --max-txn-ops. */
export const MAX_OPERATIONS = 128;

/** What a Version costs beside its bytes; for the size that bounds history. */
const VERSION_OVERHEAD_BYTES = 120;

export const sizeOf = (version: Version): number => version.key.length + version.value.length + VERSION_OVERHEAD_BYTES;

export const NO_LEASE = '0';

/** The range of one key. */
export const keyRange = (key: Bytes): KeyRange => ({ from: key, to: `${key}\0` });

/** The range of all keys that start with the prefix. */
export function prefixRange(prefix: Bytes): KeyRange {
  let end = prefix.length;
  while (end > 0 && prefix.charCodeAt(end - 1) === 0xff) end--;
  if (end === 0) return { from: prefix };
  return { from: prefix, to: prefix.slice(0, end - 1) + String.fromCharCode(prefix.charCodeAt(end - 1) + 1) };
}

export const inRange = (range: KeyRange, key: Bytes): boolean =>
  key >= range.from && (range.to === undefined || key < range.to);
