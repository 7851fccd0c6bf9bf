// How often things are referred to, and which of them came into use or went out of it.

export class UseCounts<K> {
  readonly #counts = new Map<K, number>();
  readonly #changed = new Set<K>();

  has(key: K): boolean {
    return this.#counts.has(key);
  }

  /** One user gives up its old references and takes new ones. */
  replace(before: Iterable<K>, after: Iterable<K>): void {
    for (const key of after) this.#add(key, 1);
    for (const key of before) this.#add(key, -1);
  }

  #add(key: K, difference: 1 | -1): void {
    const count = this.#counts.get(key) ?? 0;
    if (count + difference === 0) this.#counts.delete(key);
    else this.#counts.set(key, count + difference);
    if (count === 0 || count + difference === 0) this.#changed.add(key);
  }

  /** What may have come into use, or gone out of it, since the last call. */
  takeChanged(): readonly K[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }
}
