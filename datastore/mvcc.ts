// etcd v3's data model in memory: revisions, key history until compaction, transactions, leases.
//
//     transaction ─► execute() ─► index   key → newest Version ─older─► Version ─older─► …    reads, also of the past
//                             └─► changes [Version, Version, …] in order of revision          watches, compaction
//
// The two structures share the Version objects. A watch holds a position, not a queue: readChanges(from) gives what
// happened since, so a slow reader costs nothing, and one that sleeps through a compaction is told so. Compaction walks
// the changes that it drops and nothing else.
//
// Pure: no clock, no I/O. memory.ts makes a KvStore of it, embedded/ serves it over gRPC with a durable log. Not for
// concurrent use; every method is one atomic step. Behaviour and refusals are those of etcd 3.4
// (server/mvcc, server/etcdserver/apply.go); test/datastore/kv-contract.ts holds this against the real one.

import { LeaseTable } from './leases.ts';
import { checkShape } from './mvcc-check.ts';
import {
  type Bytes,
  type Comparison,
  inRange,
  type KeyRange,
  keyRange,
  MvccError,
  type MvccOperation,
  type MvccTransaction,
  NO_LEASE,
  type OperationResult,
  type Outcome,
  type RangeOptions,
  type RangeResult,
  type Relation,
  type SortTarget,
  sizeOf,
  type Version,
} from './mvcc-types.ts';
import { OrderedMap } from './ordered-map.ts';

export * from './mvcc-types.ts';

type MutableVersion = { -readonly [K in keyof Version]: K extends 'older' ? MutableVersion | undefined : Version[K] };

export class Mvcc {
  readonly leases = new LeaseTable();
  readonly #index = new OrderedMap<MutableVersion>();
  /** Keys of the index whose newest version is a deletion. */
  readonly #deleted = new OrderedMap<true>();
  readonly #changes: MutableVersion[] = [];
  #revision = 1;
  #compactedRevision = 0;
  /** The first revision of which all changes are still here. */
  #historyFrom = 0;
  #size = 0;
  #liveSize = 0;

  /** etcd counts from 1: an empty store is at 1, its first write makes 2. */
  get revision(): number {
    return this.#revision;
  }

  /** Revisions below this one can not be read any more; 0 when nothing was compacted yet. */
  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /** About how many bytes of memory keys, values and their history take. */
  get size(): number {
    return this.#size;
  }

  /** The part of it that a compaction at the present revision would free. */
  get historySize(): number {
    return this.#size - this.#liveSize;
  }

  /** Number of changes kept for watches and past reads. */
  get historyLength(): number {
    return this.#changes.length;
  }

  /** The revision of the change at this place of the history, 0 being the oldest one. */
  revisionAt(place: number): number {
    return this.#changes[place]?.modRevision ?? this.#revision;
  }

  range(range: KeyRange, options: RangeOptions = {}): RangeResult {
    this.#checkRange(range, options);
    return this.#range(range, options);
  }

  get(key: Bytes, revision?: number): Version | undefined {
    this.#checkRange(keyRange(key), { revision });
    const version = this.#index.get(key);
    return version && liveAt(version, revision || this.#revision);
  }

  execute(transaction: MvccTransaction): Outcome {
    checkShape(transaction);
    const plan = this.#plan(transaction);
    this.#checkPlan(plan);
    const changes: MutableVersion[] = [];
    const results = this.#run(plan, changes);
    if (changes.length > 0) this.#revision++;
    return { succeeded: plan.succeeded, results, revision: this.#revision, changes };
  }

  /**
   * Changes in the range since `from` (inclusive), of whole revisions, in order; stops after the revision in which
   * `limit` was reached or at `until`. `next` is where to read on.
   */
  readChanges(
    range: KeyRange,
    from: number,
    until = this.#revision,
    limit = Number.POSITIVE_INFINITY,
  ): { readonly changes: readonly Version[]; readonly next: number } {
    if (from < this.#historyFrom) throw this.#compactedError(from);
    const changes: Version[] = [];
    for (let i = this.#changesFrom(from); i < this.#changes.length; i++) {
      const change = this.#changes[i];
      if (!change || change.modRevision > until) break;
      if (changes.length >= limit && changes[changes.length - 1]?.modRevision !== change.modRevision) {
        return { changes, next: change.modRevision };
      }
      if (inRange(range, change.key)) changes.push(change);
    }
    return { changes, next: Math.max(from, until + 1) };
  }

  /** Forgets history below `revision`, of which the state itself stays readable. */
  compact(revision: number): void {
    if (revision <= this.#compactedRevision) {
      throw new MvccError('compacted', `revision ${revision} is compacted already, up to ${this.#compactedRevision}`);
    }
    if (revision > this.#revision) throw this.#futureError(revision);
    let dropped = 0;
    for (const change of this.#changes) {
      if (change.modRevision > revision) break;
      this.#forgetBefore(change);
      // The changes of `revision` itself stay: a watch may start there.
      if (change.modRevision < revision) dropped++;
    }
    this.#changes.splice(0, dropped);
    this.#compactedRevision = revision;
    this.#historyFrom = revision;
  }

  /** Deletes the lease and its keys in one revision; the changes are empty when it had none. */
  revokeLease(id: string): Outcome {
    const keys = this.leases.keysOf(id);
    if (!keys) throw new MvccError('lease-not-found', `requested lease not found: ${id}`);
    const changes: MutableVersion[] = [];
    for (const key of [...keys].sort()) this.#delete(keyRange(key), changes);
    if (changes.length > 0) this.#revision++;
    this.leases.delete(id);
    return { succeeded: true, results: [], revision: this.#revision, changes };
  }

  /** Puts back a change read from a log, in the order in which they happened. */
  replay(change: Omit<Version, 'older'>): void {
    this.#append({ ...change, older: this.#index.get(change.key) });
    this.#revision = Math.max(this.#revision, change.modRevision);
  }

  /** One key of a snapshot taken at `revision`, before whose history nothing is known; before any replay(). */
  load(version: Omit<Version, 'older'>): void {
    const loaded: MutableVersion = { ...version, older: undefined };
    this.#index.set(version.key, loaded);
    if (version.lease !== NO_LEASE) this.leases.attach(version.lease, version.key);
    this.#size += sizeOf(loaded);
    this.#liveSize += sizeOf(loaded);
  }

  /** The revision of the snapshot whose keys were loaded. */
  startFrom(revision: number): void {
    this.#revision = Math.max(revision, 1);
    this.#compactedRevision = revision;
    this.#historyFrom = revision === 0 ? 0 : revision + 1;
  }

  /** Everything: the keys alive at the compacted revision, and the changes since. Versions never change their content. */
  capture(): { readonly base: readonly Version[]; readonly changes: readonly Version[] } {
    const base: Version[] = [];
    for (const head of this.#index.range('')) {
      const version = liveAt(head, this.#compactedRevision);
      if (version) base.push(version);
    }
    return { base, changes: this.#changes.slice(this.#changesFrom(this.#compactedRevision + 1)) };
  }

  #range(range: KeyRange, options: RangeOptions): RangeResult {
    const revision = options.revision || this.#revision;
    const limit = options.limit || Number.POSITIVE_INFINITY;
    const filter = revisionFilter(options);
    const found: Version[] = [];
    if (options.countOnly) return { versions: [], count: this.#count(range, revision), more: false };
    let count = 0;
    for (const head of this.#index.range(range.from, range.to)) {
      const version = liveAt(head, revision);
      if (!version) continue;
      count++;
      if (filter && !filter(version)) continue;
      if (found.length >= limit && !options.sort) {
        if (options.countAll) count = this.#count(range, revision);
        return { versions: found, count, more: true };
      }
      found.push(version);
    }
    if (!options.sort) return { versions: found, count, more: false };
    found.sort(sorter(options.sort));
    return { versions: found.slice(0, limit), count, more: found.length > limit };
  }

  /** Keys alive at the revision: those alive now, corrected by what changed since. Costs the changes, not the keys. */
  #count({ from, to }: KeyRange, revision: number): number {
    let count = this.#index.count(from, to) - this.#deleted.count(from, to);
    const seen = new Set<Bytes>();
    for (let i = this.#changesFrom(revision + 1); i < this.#changes.length; i++) {
      const key = this.#changes[i]?.key ?? '';
      if (!inRange({ from, to }, key) || seen.has(key)) continue;
      seen.add(key);
      const newest = this.#index.get(key);
      if (newest) count += (liveAt(newest, revision) ? 1 : 0) - (isLive(newest) ? 1 : 0);
    }
    return count;
  }

  #plan(transaction: MvccTransaction): Plan {
    const succeeded = transaction.compare.every((comparison) => this.#holds(comparison));
    const branch = succeeded ? transaction.success : transaction.failure;
    return {
      succeeded,
      steps: branch.map((operation) =>
        // All comparisons, nested ones too, see the state before the transaction, as in etcd.
        operation.kind === 'transaction' ? { kind: 'plan', plan: this.#plan(operation.transaction) } : operation,
      ),
    };
  }

  #holds(comparison: Comparison): boolean {
    const { versions } = this.#range(comparison.range, {});
    if (versions.length > 0) return versions.every((version) => compareTo(comparison, version));
    return comparison.target !== 'value' && compareTo(comparison, undefined);
  }

  /** Refuses before anything is changed. */
  #checkPlan(plan: Plan): void {
    for (const step of plan.steps) {
      if (step.kind === 'plan') this.#checkPlan(step.plan);
      else if (step.kind === 'range') this.#checkRange(step.range, step.options ?? {});
      else if (step.kind === 'put') {
        if (step.lease !== undefined && step.lease !== NO_LEASE && !this.leases.has(step.lease)) {
          throw new MvccError('lease-not-found', `requested lease not found: ${step.lease}`);
        }
        if ((step.value === undefined || step.lease === undefined) && !isLive(this.#index.get(step.key))) {
          throw new MvccError('key-not-found', `key not found: ${step.key}`);
        }
      }
    }
  }

  #checkRange(range: KeyRange, options: RangeOptions): void {
    if (range.from === '') throw new MvccError('empty-key', 'key is not provided');
    const revision = options.revision ?? 0;
    if (revision > this.#revision) throw this.#futureError(revision);
    if (revision > 0 && revision < this.#compactedRevision) throw this.#compactedError(revision);
  }

  #compactedError(revision: number): MvccError {
    return new MvccError('compacted', `revision ${revision} has been compacted, up to ${this.#compactedRevision}`);
  }

  #futureError(revision: number): MvccError {
    return new MvccError('future-revision', `revision ${revision} is in the future, the store is at ${this.#revision}`);
  }

  #run(plan: Plan, changes: MutableVersion[]): OperationResult[] {
    const results: OperationResult[] = [];
    for (const step of plan.steps) results.push(this.#runStep(step, changes));
    return results;
  }

  #runStep(step: Plan['steps'][number], changes: MutableVersion[]): OperationResult {
    switch (step.kind) {
      case 'put':
        return { kind: 'put', previous: this.#put(step, changes) };
      case 'delete':
        return { kind: 'delete', deleted: this.#delete(step.range, changes) };
      case 'range': {
        // A read after a write of the same transaction sees it.
        const revision = step.options?.revision || this.#revision + (changes.length > 0 ? 1 : 0);
        return { kind: 'range', ...this.#range(step.range, { ...step.options, revision }) };
      }
      case 'plan':
        return { kind: 'transaction', succeeded: step.plan.succeeded, results: this.#run(step.plan, changes) };
    }
  }

  #put(operation: Extract<MvccOperation, { kind: 'put' }>, changes: MutableVersion[]): Version | undefined {
    const older = this.#index.get(operation.key);
    const present = older && isLive(older) ? older : undefined;
    const modRevision = this.#revision + 1;
    const change: MutableVersion = {
      key: operation.key,
      value: operation.value ?? present?.value ?? '',
      createRevision: present?.createRevision ?? modRevision,
      modRevision,
      version: (present?.version ?? 0) + 1,
      lease: operation.lease ?? present?.lease ?? NO_LEASE,
      older,
    };
    this.#append(change);
    changes.push(change);
    return present;
  }

  #delete(range: KeyRange, changes: MutableVersion[]): Version[] {
    const deleted = [...this.#index.range(range.from, range.to)].filter(isLive);
    for (const older of deleted) {
      const change: MutableVersion = {
        key: older.key,
        value: '',
        createRevision: 0,
        modRevision: this.#revision + 1,
        version: 0,
        lease: NO_LEASE,
        older,
      };
      this.#append(change);
      changes.push(change);
    }
    return deleted;
  }

  #append(change: MutableVersion): void {
    const older = change.older;
    if (older && older.lease !== change.lease && older.lease !== NO_LEASE) this.leases.detach(older.lease, change.key);
    if (change.lease !== NO_LEASE) this.leases.attach(change.lease, change.key);
    this.#index.set(change.key, change);
    this.#changes.push(change);
    this.#size += sizeOf(change);
    if (isLive(change)) {
      this.#liveSize += sizeOf(change);
      if (older && !isLive(older)) this.#deleted.delete(change.key);
    } else this.#deleted.set(change.key, true);
    if (older && isLive(older)) this.#liveSize -= sizeOf(older);
  }

  /** Compaction of one change: what it replaced goes, and so does the change itself when it was a deletion. */
  #forgetBefore(change: MutableVersion): void {
    if (change.older) {
      this.#size -= sizeOf(change.older);
      change.older = undefined;
    }
    if (change.version === 0 && this.#index.get(change.key) === change) {
      this.#index.delete(change.key);
      this.#deleted.delete(change.key);
      this.#size -= sizeOf(change);
    }
  }

  /** Index of the first change of `revision` or later. */
  #changesFrom(revision: number): number {
    let low = 0;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle]?.modRevision ?? 0) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A transaction with its branches chosen. */
interface Plan {
  readonly succeeded: boolean;
  readonly steps: readonly (
    | Exclude<MvccOperation, { kind: 'transaction' }>
    | { readonly kind: 'plan'; readonly plan: Plan }
  )[];
}

const isLive = (version: Version | undefined): boolean => version !== undefined && version.version > 0;

/** The state of the key at this revision, if it had one. */
function liveAt(newest: Version, revision: number): Version | undefined {
  let version: Version | undefined = newest;
  while (version && version.modRevision > revision) version = version.older;
  return isLive(version) ? version : undefined;
}

function compareTo(comparison: Comparison, version: Version | undefined): boolean {
  switch (comparison.target) {
    case 'value':
      return related(version?.value ?? '', comparison.relation, comparison.is);
    case 'lease': {
      const lease = BigInt(version?.lease ?? NO_LEASE);
      return related(lease, comparison.relation, BigInt(comparison.is));
    }
    default:
      return related(version?.[comparison.target] ?? 0, comparison.relation, comparison.is);
  }
}

function related<T extends string | number | bigint>(left: T, relation: Relation, right: T): boolean {
  switch (relation) {
    case '=':
      return left === right;
    case '!=':
      return left !== right;
    case '<':
      return left < right;
    case '>':
      return left > right;
  }
}

function revisionFilter(options: RangeOptions): ((version: Version) => boolean) | undefined {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = options;
  if (!minModRevision && !maxModRevision && !minCreateRevision && !maxCreateRevision) return undefined;
  return (version) =>
    version.modRevision >= (minModRevision || 0) &&
    version.modRevision <= (maxModRevision || Number.POSITIVE_INFINITY) &&
    version.createRevision >= (minCreateRevision || 0) &&
    version.createRevision <= (maxCreateRevision || Number.POSITIVE_INFINITY);
}

function sorter(sort: { target: SortTarget; descending: boolean }): (a: Version, b: Version) => number {
  const sign = sort.descending ? -1 : 1;
  return (a, b) => (a[sort.target] < b[sort.target] ? -sign : a[sort.target] > b[sort.target] ? sign : 0);
}
