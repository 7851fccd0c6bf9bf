// Selectors filed under the labels that they ask for, so that a thing with labels finds the few that may match it.
//
// A selector is filed under one of its restrictions, the least crowded one: finding it once is enough. Only a selector
// that restricts no label (`!has(x)`, `all()`) is in everybody's way.

import { getOrMake } from './few.ts';

/** What every match must fulfil for one label: one of these values, or any value when none are listed. */
export interface LabelRestriction {
  readonly name: string;
  readonly oneOf?: readonly string[];
}

interface Filed {
  readonly selector: { readonly restrictions: readonly LabelRestriction[] };
}

/** Selectors filed under one label's name: those that want certain values, and those content with any. */
interface Drawer<E> {
  readonly byValue: Map<string, Set<E>>;
  readonly anyValue: Set<E>;
}

// "Any value" is met by everything that has the label: only for selectors that offer nothing better.
const ANY_VALUE_LOAD = 1e6;

export class SelectorFiling<E extends Filed> {
  readonly unrestricted = new Set<E>();
  readonly #drawers = new Map<string, Drawer<E>>();
  readonly #places = new Map<E, LabelRestriction>();

  add(entry: E): void {
    let best: LabelRestriction | undefined;
    let bestLoad = Number.POSITIVE_INFINITY;
    for (const restriction of entry.selector.restrictions) {
      const load = this.#load(restriction);
      if (load >= bestLoad) continue;
      bestLoad = load;
      best = restriction;
    }
    if (!best) {
      this.unrestricted.add(entry);
      return;
    }
    this.#places.set(entry, best);
    const drawer = getOrMake(this.#drawers, best.name, () => ({ byValue: new Map(), anyValue: new Set() }));
    if (!best.oneOf) drawer.anyValue.add(entry);
    for (const value of best.oneOf ?? []) getOrMake(drawer.byValue, value, () => new Set<E>()).add(entry);
  }

  delete(entry: E): void {
    this.unrestricted.delete(entry);
    const place = this.#places.get(entry);
    const drawer = place && this.#drawers.get(place.name);
    if (!drawer) return;
    this.#places.delete(entry);
    drawer.anyValue.delete(entry);
    for (const value of place.oneOf ?? []) {
      const filed = drawer.byValue.get(value);
      filed?.delete(entry);
      if (filed?.size === 0) drawer.byValue.delete(value);
    }
    if (drawer.byValue.size === 0 && drawer.anyValue.size === 0) this.#drawers.delete(place.name);
  }

  /** The selectors that ask for this label with this value, or with any. */
  *under(name: string, value: string): Iterable<E> {
    const drawer = this.#drawers.get(name);
    if (!drawer) return;
    yield* drawer.anyValue;
    const filed = drawer.byValue.get(value);
    if (filed) yield* filed;
  }

  #load(restriction: LabelRestriction): number {
    const drawer = this.#drawers.get(restriction.name);
    if (!restriction.oneOf) return ANY_VALUE_LOAD + (drawer?.anyValue.size ?? 0);
    let load = restriction.oneOf.length;
    for (const value of restriction.oneOf) load += drawer?.byValue.get(value)?.size ?? 0;
    return load;
  }
}
