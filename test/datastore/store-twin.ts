// A slow and obvious twin of a store: a whole copy of the state for every revision. Random operations go to both, and every
// answer must be the same: results, refusals, past reads, pages, and at the end the whole watch.

import assert from 'node:assert/strict';
import {
  type Compare,
  type KvEntry,
  KvError,
  type KvStore,
  type Operation,
  type Transaction,
  type TransactionResult,
  type WatchEvent,
} from '../../datastore/kv.ts';
import { watching } from './kv-contract.ts';
import { type Random, seededRandom } from './random.ts';

type State = ReadonlyMap<string, KvEntry>;

class Twin {
  readonly states = new Map<number, State>();
  readonly events: WatchEvent[] = [];
  revision: number;
  /** Nothing below is asked for: at the start because we do not know it, later because it is gone. */
  compacted: number;
  #hasCompacted = false;

  constructor(revision: number) {
    this.revision = revision;
    this.compacted = revision;
    this.states.set(revision, new Map());
  }

  at(revision = this.revision): State {
    if (revision > this.revision) throw new KvError('invalid', 'future');
    if (revision < this.compacted) throw new KvError('compacted', 'gone');
    const state = this.states.get(revision);
    assert.ok(state);
    return state;
  }

  transact(transaction: Transaction): TransactionResult {
    for (const branch of [transaction.then, transaction.otherwise ?? []]) refuseDoubleWrites(branch);
    const before = this.at();
    const succeeded = transaction.compare.every((compare) => holds(before, compare));
    const state = new Map(before);
    const revision = this.revision + 1;
    const events: WatchEvent[] = [];
    const entries = (succeeded ? transaction.then : (transaction.otherwise ?? [])).map((operation) =>
      run(state, operation, revision, events),
    );
    if (events.length > 0) {
      this.revision = revision;
      this.states.set(revision, state);
      this.events.push(...events);
    }
    return { succeeded, revision: this.revision, entries };
  }

  compact(revision: number): void {
    if (revision <= this.compacted) throw new KvError('compacted', 'gone');
    if (revision > this.revision) throw new KvError('invalid', 'future');
    this.compacted = revision;
    this.#hasCompacted = true;
  }

  /** A revision of the known past, sometimes one that is gone or has not come yet. */
  randomRevision(random: Random): number {
    const from = this.#hasCompacted ? Math.max(1, this.compacted - 2) : this.compacted;
    return from + random.below(this.revision - from + 3);
  }

  randomCompaction(random: Random): number {
    return this.compacted + (this.#hasCompacted ? 0 : 1) + random.below(this.revision - this.compacted + 1);
  }
}

function refuseDoubleWrites(operations: readonly Operation[]): void {
  const puts = operations.flatMap((operation) => (operation.kind === 'put' ? [operation.key] : []));
  const deleted = (key: string): boolean =>
    operations.some(
      (operation) =>
        (operation.kind === 'delete' && operation.key === key) ||
        (operation.kind === 'delete-prefix' && key.startsWith(operation.prefix)),
    );
  if (new Set(puts).size < puts.length || puts.some(deleted)) throw new KvError('invalid', 'written twice');
}

function holds(state: State, compare: Compare): boolean {
  const entry = state.get(compare.key);
  return compare.target === 'value' ? entry?.value === compare.is : (entry?.[compare.target] ?? 0) === compare.is;
}

function run(
  state: Map<string, KvEntry>,
  operation: Operation,
  revision: number,
  events: WatchEvent[],
): KvEntry | undefined {
  if (operation.kind === 'get') return state.get(operation.key);
  if (operation.kind === 'put') {
    const previous = state.get(operation.key);
    const entry = {
      key: operation.key,
      value: operation.value,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
    };
    state.set(operation.key, entry);
    events.push({ kind: 'put', entry, ...(previous ? { previous } : {}) });
    return undefined;
  }
  const matches = (key: string): boolean =>
    operation.kind === 'delete' ? key === operation.key : key.startsWith(operation.prefix);
  for (const key of [...state.keys()].filter(matches).sort()) {
    const previous = state.get(key);
    if (previous) events.push({ kind: 'delete', key, modRevision: revision, previous });
    state.delete(key);
  }
  return undefined;
}

/** Nobody else may write to the store meanwhile. A failure names the seed and the step. */
export async function compareWithTwin(store: KvStore, seed: number, steps: number): Promise<void> {
  const random = seededRandom(seed);
  const base = `/twin-${seed}-${process.pid}/`;
  const twin = new Twin((await store.status()).revision);
  const watched = watching(store, base, twin.revision + 1, 30_000);
  try {
    for (let step = 0; step < steps; step++) await namedStep(store, twin, random, base, `seed ${seed}, step ${step}`);
    const end = await store.transact({ compare: [], then: [{ kind: 'put', key: `${base}end`, value: '' }] });
    await watched.until(end.revision);
    assert.deepEqual(watched.events.slice(0, -1), twin.events, `seed ${seed}: the watch`);
  } finally {
    watched.close();
  }
}

async function namedStep(store: KvStore, twin: Twin, random: Random, base: string, name: string): Promise<void> {
  try {
    await randomStep(store, twin, random, base);
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

async function randomStep(store: KvStore, twin: Twin, random: Random, base: string): Promise<void> {
  const dice = random.next();
  if (dice < 0.6) {
    const transaction = randomTransaction(twin, random, base);
    await same(
      () => store.transact(transaction),
      () => twin.transact(transaction),
    );
  } else if (dice < 0.75) {
    const key = randomKey(random, base);
    const revision = twin.randomRevision(random);
    await same(
      () => store.get(key, { revision }),
      () => twin.at(revision).get(key),
    );
  } else if (dice < 0.97) {
    await sameList(store, twin, random, base);
  } else {
    const revision = twin.randomCompaction(random);
    await same(
      () => store.compact(revision),
      () => twin.compact(revision),
    );
  }
}

async function sameList(store: KvStore, twin: Twin, random: Random, base: string): Promise<void> {
  const prefix = base + random.pick(['', 'a', 'b/', 'c/x']);
  const limit = 1 + random.below(6);
  const after = random.next() < 0.5 ? undefined : randomKey(random, base);
  const revision = random.next() < 0.5 ? undefined : twin.compacted + random.below(twin.revision - twin.compacted + 1);
  const options = { limit, ...(after === undefined ? {} : { after }), ...(revision === undefined ? {} : { revision }) };
  await same(
    async () => {
      const { entries, more, revision: at } = await store.list(prefix, options);
      return { entries, more, at };
    },
    () => {
      const all = [...twin.at(revision).values()]
        .filter(({ key }) => key.startsWith(prefix) && (after === undefined || key > after))
        .sort((a, b) => (a.key < b.key ? -1 : 1));
      return { entries: all.slice(0, limit), more: all.length > limit, at: twin.revision };
    },
  );
}

const randomKey = (random: Random, base: string): string =>
  base + random.pick(['a', 'ab', 'b/', 'b/1', 'b/2', 'b/x/y', 'c', 'c/x', 'c/x1', 'd']);

function randomTransaction(twin: Twin, random: Random, base: string): Transaction {
  const operations = (): Operation[] => Array.from({ length: random.below(4) }, () => randomOperation(random, base));
  const compare = Array.from({ length: random.below(3) }, () => randomCompare(twin, random, base));
  return { compare, then: operations(), otherwise: operations() };
}

function randomOperation(random: Random, base: string): Operation {
  const key = randomKey(random, base);
  const dice = random.next();
  if (dice < 0.6) return { kind: 'put', key, value: random.pick(['', '1', '2', 'ü', 'x'.repeat(300)]) };
  if (dice < 0.8) return { kind: 'delete', key };
  if (dice < 0.9) return { kind: 'get', key };
  return { kind: 'delete-prefix', prefix: base + random.pick(['a', 'b/', 'c/x']) };
}

function randomCompare(twin: Twin, random: Random, base: string): Compare {
  const key = randomKey(random, base);
  const entry = twin.at().get(key);
  // Mostly what is true, so that both branches run.
  const truth = random.next() < 0.8;
  const target = random.pick(['modRevision', 'createRevision', 'version', 'value'] as const);
  if (target === 'value') return { key, target, is: truth ? (entry?.value ?? '') : '1' };
  return { key, target, is: truth ? (entry?.[target] ?? 0) : random.below(3) };
}

/** Both give the same answer, or the same refusal. */
async function same(real: () => Promise<unknown>, expected: () => unknown): Promise<void> {
  let [expectedAnswer, expectedCode]: [unknown, string] = [undefined, ''];
  try {
    expectedAnswer = expected();
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    expectedCode = error.code;
  }
  if (expectedCode === '') assert.deepEqual(await real(), expectedAnswer);
  else await assert.rejects(real(), { code: expectedCode });
}
