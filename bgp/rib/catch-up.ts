// Bringing one peer up to date from the group's Adj-RIB-Out: the whole of it when the peer is new, or the routes that
// changed while it did not keep up. Routes are sorted by attribute set, so that each set leaves in as few UPDATEs as can
// be. What changes meanwhile is sent at once by the group, so a route whose set is not that of the snapshot any more is
// left out when its turn comes.

import type { IdList } from './columns.ts';
import type { UpdateWriter } from './update-writer.ts';

/** The attribute set that is announced for a prefix now (and for a path identifier, where there are any); 0: none. */
export type Announced = (prefix: number, identifier: number) => number;

export interface CatchUpOptions {
  readonly prefixes: Uint32Array;
  /** Beside the prefixes, RFC 7911; undefined where one path per prefix is sent. */
  readonly identifiers?: Uint32Array | undefined;
  readonly announced: Announced;
  /** The peer may have routes that are gone now. */
  readonly withdraws: boolean;
  /** Called behind the last of them. */
  readonly onDone?: ((writer: UpdateWriter) => void) | undefined;
}

export class CatchUp {
  readonly withdraws: boolean;
  readonly onDone: (writer: UpdateWriter) => void;
  readonly #announced: Announced;
  /** Sorted: routes of one attribute set are next to each other. */
  readonly #prefixes: Uint32Array;
  readonly #identifiers: Uint32Array | undefined;
  /** Beside them: the attribute set at the time of the snapshot. */
  readonly #sets: Uint32Array;
  #at = 0;

  /** Counting sort by attribute set: linear, and the order within a set stays that of the ids. */
  constructor({ prefixes, identifiers, announced, withdraws, onDone }: CatchUpOptions) {
    this.withdraws = withdraws;
    this.onDone = onDone ?? (() => {});
    this.#announced = announced;
    const count = prefixes.length;
    const sets = new Uint32Array(count);
    let highest = 0;
    for (let i = 0; i < count; i++) {
      const set = announced(prefixes[i] ?? 0, identifiers?.[i] ?? 0);
      sets[i] = set;
      if (set > highest) highest = set;
    }
    const starts = new Uint32Array(highest + 2);
    for (const set of sets) starts[set + 1] = (starts[set + 1] ?? 0) + 1;
    for (let i = 1; i < starts.length; i++) starts[i] = (starts[i] ?? 0) + (starts[i - 1] ?? 0);
    this.#prefixes = new Uint32Array(count);
    this.#identifiers = identifiers && new Uint32Array(count);
    this.#sets = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const set = sets[i] ?? 0;
      const at = starts[set] ?? 0;
      starts[set] = at + 1;
      this.#prefixes[at] = prefixes[i] ?? 0;
      this.#sets[at] = set;
      if (this.#identifiers) this.#identifiers[at] = identifiers?.[i] ?? 0;
    }
  }

  get isDone(): boolean {
    return this.#at >= this.#prefixes.length;
  }

  /** Moves the next routes of one attribute set into the lists, at most `limit`, and returns the set. */
  take(prefixes: IdList, identifiers: IdList, limit: number): number {
    prefixes.clear();
    identifiers.clear();
    const sets = this.#sets;
    const set = sets[this.#at] ?? 0;
    while (!this.isDone && prefixes.length < limit && sets[this.#at] === set) {
      const prefix = this.#prefixes[this.#at] ?? 0;
      const identifier = this.#identifiers?.[this.#at] ?? 0;
      this.#at++;
      if (this.#announced(prefix, identifier) !== set) continue;
      prefixes.push(prefix);
      if (this.#identifiers) identifiers.push(identifier);
    }
    return set;
  }

  /** Calls back for the routes whose turn has not come. */
  forEachLeft(callback: (prefix: number, identifier: number) => void): void {
    for (let i = this.#at; i < this.#prefixes.length; i++)
      callback(this.#prefixes[i] ?? 0, this.#identifiers?.[i] ?? 0);
  }

  mark(inUse: Uint8Array): void {
    for (let i = this.#at; i < this.#sets.length; i++) inUse[this.#sets[i] ?? 0] = 1;
  }
}
