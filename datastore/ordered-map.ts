// A map whose keys stay in order: sorted runs of at most RUN_MAX keys, in a sorted list.
//
//     runs   [ a b d ] [ f g h k ] [ m q ]      find the run by bisection, then the key inside it by bisection
//
// It is a B-tree of two levels. Insert and delete move at most one run's pointers (a memmove of 4 KB), and the list of
// runs only changes once in hundreds of inserts, so a million keys cost little more than a thousand. Keys compare as
// JavaScript strings; when every character is a byte (see Bytes in mvcc.ts) that is byte order.

const RUN_MAX = 512;

interface Run<V> {
  readonly keys: string[];
  readonly values: V[];
}

export class OrderedMap<V> {
  readonly #runs: Run<V>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    const run = this.#runs[this.#runIndex(key)];
    if (!run) return undefined;
    const at = lowerBound(run.keys, key);
    return run.keys[at] === key ? run.values[at] : undefined;
  }

  set(key: string, value: V): void {
    const index = this.#runIndex(key);
    const run = this.#runs[index];
    if (!run) {
      this.#runs.push({ keys: [key], values: [value] });
      this.#size = 1;
      return;
    }
    const at = lowerBound(run.keys, key);
    if (run.keys[at] === key) {
      run.values[at] = value;
      return;
    }
    run.keys.splice(at, 0, key);
    run.values.splice(at, 0, value);
    this.#size++;
    if (run.keys.length > RUN_MAX) this.#split(index, run);
  }

  delete(key: string): boolean {
    const index = this.#runIndex(key);
    const run = this.#runs[index];
    if (!run) return false;
    const at = lowerBound(run.keys, key);
    if (run.keys[at] !== key) return false;
    run.keys.splice(at, 1);
    run.values.splice(at, 1);
    this.#size--;
    if (run.keys.length === 0) this.#runs.splice(index, 1);
    return true;
  }

  /** Values with from <= key < to in order (to undefined: until the end). The map must not change meanwhile. */
  *range(from: string, to?: string): Generator<V, void, undefined> {
    let index = this.#runIndex(from);
    let run = this.#runs[index];
    let at = run ? lowerBound(run.keys, from) : 0;
    while (run) {
      for (; at < run.keys.length; at++) {
        if (to !== undefined && (run.keys[at] ?? '') >= to) return;
        yield run.values[at] as V;
      }
      run = this.#runs[++index];
      at = 0;
    }
  }

  /** Number of keys with from <= key < to: counts whole runs, not keys. */
  count(from: string, to?: string): number {
    const start = this.#position(from);
    const end = to === undefined ? { run: this.#runs.length, at: 0 } : this.#position(to);
    let count = end.at - start.at;
    for (let run = start.run; run < end.run; run++) count += this.#runs[run]?.keys.length ?? 0;
    return Math.max(0, count);
  }

  /** Where the first key that is not below `key` is or would be. */
  #position(key: string): { readonly run: number; readonly at: number } {
    const index = this.#runIndex(key);
    const run = this.#runs[index];
    return { run: index, at: run ? lowerBound(run.keys, key) : 0 };
  }

  /** The last run whose first key is not above `key`, or the first run. */
  #runIndex(key: string): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#runs[middle]?.keys[0] ?? '') <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #split(index: number, run: Run<V>): void {
    // Keys often arrive in order (a replay, a sorted import): then splitting near the end leaves full runs behind.
    const appended = index === this.#runs.length - 1;
    const cut = appended ? RUN_MAX : RUN_MAX >>> 1;
    this.#runs.splice(index + 1, 0, { keys: run.keys.splice(cut), values: run.values.splice(cut) });
  }
}

/** Index of the first key that is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
