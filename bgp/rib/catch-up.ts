// Bringing one peer up to date from the group's Adj-RIB-Out: the whole of it when the peer is new, or the prefixes that
// changed while it did not keep up. Prefixes are sorted by attribute set, so that each set leaves in as few UPDATEs as can
// be. What changes meanwhile is sent at once by the group, so a prefix whose set is not that of the snapshot any more is
// left out when its turn comes.

import type { IdList } from './columns.ts';
import type { UpdateWriter } from './update-writer.ts';

export class CatchUp {
  /** Prefixes, those of one attribute set next to each other. */
  readonly #prefixes: Uint32Array;
  /** Beside them: the attribute set at the time of the snapshot. */
  readonly #attributes: (index: number) => number;
  #at = 0;
  /** Whether the peer may have prefixes that are gone now. */
  readonly withdraws: boolean;
  readonly onDone: (writer: UpdateWriter) => void;

  private constructor(
    prefixes: Uint32Array,
    attributes: (index: number) => number,
    withdraws: boolean,
    onDone: (writer: UpdateWriter) => void,
  ) {
    this.#prefixes = prefixes;
    this.#attributes = attributes;
    this.withdraws = withdraws;
    this.onDone = onDone;
  }

  /** Everything announced, for a peer that has nothing. */
  static all(adjOut: Uint32Array, end: number, onDone: (writer: UpdateWriter) => void): CatchUp {
    const last = Math.min(end, adjOut.length);
    const announced: number[] | Uint32Array = presentIn(adjOut, last);
    return CatchUp.#sorted(adjOut, announced, false, onDone);
  }

  static some(
    adjOut: Uint32Array,
    prefixes: ReadonlySet<number>,
    onDone: (writer: UpdateWriter) => void = () => {},
  ): CatchUp {
    return CatchUp.#sorted(adjOut, Uint32Array.from(prefixes), true, onDone);
  }

  /** Counting sort by attribute set: linear, and the order within a set stays that of the ids. */
  static #sorted(
    adjOut: Uint32Array,
    prefixes: Uint32Array,
    withdraws: boolean,
    onDone: (writer: UpdateWriter) => void,
  ): CatchUp {
    let highest = 0;
    for (const prefix of prefixes) highest = Math.max(highest, adjOut[prefix] ?? 0);
    const starts = new Uint32Array(highest + 2);
    for (const prefix of prefixes) {
      const next = (adjOut[prefix] ?? 0) + 1;
      starts[next] = (starts[next] ?? 0) + 1;
    }
    for (let i = 1; i < starts.length; i++) starts[i] = (starts[i] ?? 0) + (starts[i - 1] ?? 0);
    const sorted = new Uint32Array(prefixes.length);
    const attributes = new Uint32Array(prefixes.length);
    for (const prefix of prefixes) {
      const set = adjOut[prefix] ?? 0;
      const at = starts[set] ?? 0;
      starts[set] = at + 1;
      sorted[at] = prefix;
      attributes[at] = set;
    }
    return new CatchUp(sorted, (index) => attributes[index] ?? 0, withdraws, onDone);
  }

  get isDone(): boolean {
    return this.#at >= this.#prefixes.length;
  }

  /** Moves the next prefixes of one attribute set into `ids`, at most `limit`, and returns the set. */
  take(adjOut: Uint32Array, ids: IdList, limit: number): number {
    ids.clear();
    const set = this.#attributes(this.#at);
    while (!this.isDone && ids.length < limit && this.#attributes(this.#at) === set) {
      const prefix = this.#prefixes[this.#at++] ?? 0;
      if (adjOut[prefix] === set) ids.push(prefix);
    }
    return set;
  }

  mark(inUse: Uint8Array): void {
    for (let i = this.#at; i < this.#prefixes.length; i++) inUse[this.#attributes(i)] = 1;
  }
}

function presentIn(adjOut: Uint32Array, end: number): Uint32Array {
  let count = 0;
  for (let prefix = 1; prefix < end; prefix++) if (adjOut[prefix] !== 0) count++;
  const prefixes = new Uint32Array(count);
  let at = 0;
  for (let prefix = 1; prefix < end; prefix++) if (adjOut[prefix] !== 0) prefixes[at++] = prefix;
  return prefixes;
}
