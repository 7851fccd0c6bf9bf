// Which selectors match which things, kept as both change.
//
// Things with the same labels and the same parents (profiles) form one group, and a selector is evaluated against a group,
// not against each thing: the 5,000 pods of one Deployment cost one evaluation. Both directions have an inverted index:
//
//   a new group     → its label=value pairs  → the selectors filed under them → evaluate those only
//   a new selector  → its label restrictions → the groups that have them      → evaluate those only
//   a parent's labels change → its groups, each as if it were new
//
// A selector is filed under one of its restrictions, the least crowded one; only a selector that restricts no label at all
// (`!has(x)`, `all()`) is compared with everything.

import type { Labels } from '../../datastore/model/selector/index.ts';
import { addToFew, elementsOf, type Few, getOrMake, removeFromFew, sizeOfFew } from './few.ts';
import { type LabelRestriction, SelectorFiling } from './selector-filing.ts';

/** Labels of one thing. Those of the system win over those that people gave. */
export interface LabelSet {
  readonly given: Readonly<Record<string, string>>;
  readonly system?: Readonly<Record<string, string>>;
}

export interface IndexedSelector {
  /** Canonical: equal texts are equal selectors. */
  readonly text: string;
  readonly restrictions: readonly LabelRestriction[];
  matches(labels: Labels): boolean;
}

/** One label=value in use, and who has it by itself (not from a parent). */
interface LabelPair<M extends object, S> {
  readonly serial: number;
  readonly name: string;
  readonly value: string;
  groups: Few<LabelGroup<M, S>>;
}

interface Parent<M extends object, S> {
  readonly serial: number;
  readonly name: string;
  labels: ReadonlyMap<string, string> | undefined;
  groups: Few<LabelGroup<M, S>>;
}

/** All members with the same labels and parents. */
export class LabelGroup<M extends object, S> implements Labels {
  readonly key: string;
  /** The group's own labels; they win over its parents'. */
  readonly pairs: readonly LabelPair<M, S>[];
  /** An earlier parent's label wins over a later one's. */
  readonly parents: readonly Parent<M, S>[];
  members: Few<M> = undefined;
  matches: Few<SelectorEntry<M, S>> = undefined;

  constructor(key: string, pairs: readonly LabelPair<M, S>[], parents: readonly Parent<M, S>[]) {
    this.key = key;
    this.pairs = pairs;
    this.parents = parents;
  }

  get(name: string): string | undefined {
    for (const pair of this.pairs) if (pair.name === name) return pair.value;
    for (const parent of this.parents) {
      const value = parent.labels?.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }
}

/** A selector in use, and what it matches now. */
export class SelectorEntry<M extends object, S> {
  readonly selector: IndexedSelector;
  readonly groups = new Set<LabelGroup<M, S>>();
  readonly subscribers = new Set<S>();

  constructor(selector: IndexedSelector) {
    this.selector = selector;
  }
}

export interface MatchChange<M extends object, S> {
  readonly entry: SelectorEntry<M, S>;
  readonly group: LabelGroup<M, S>;
  readonly matches: boolean;
}

const none: Readonly<Record<string, string>> = {};

/** M: what has labels. S: who asked for a selector. */
export class LabelIndex<M extends object, S> {
  readonly #groups = new Map<string, LabelGroup<M, S>>();
  readonly #pairs = new Map<string, Map<string, LabelPair<M, S>>>();
  readonly #parents = new Map<string, Parent<M, S>>();
  readonly #selectors = new Map<string, SelectorEntry<M, S>>();
  readonly #filing = new SelectorFiling<SelectorEntry<M, S>>();
  /** Parents by the labels that they give. */
  readonly #givers = new Map<string, Map<string, Few<Parent<M, S>>>>();
  #nextSerial = 0;

  get groupCount(): number {
    return this.#groups.size;
  }

  get selectorCount(): number {
    return this.#selectors.size;
  }

  /** The group of these labels, made when there is none; whoever asks then lets a member enter. */
  groupOf({ given, system = none }: LabelSet, parentNames: readonly string[]): LabelGroup<M, S> {
    const pairs: LabelPair<M, S>[] = [];
    for (const name in system) pairs.push(this.#pair(name, system[name] ?? ''));
    for (const name in given) if (!Object.hasOwn(system, name)) pairs.push(this.#pair(name, given[name] ?? ''));
    pairs.sort((a, b) => a.serial - b.serial);
    const parents = parentNames.map((name) => this.#parent(name));
    let key = '';
    for (const pair of pairs) key += `${pair.serial.toString(36)},`;
    key += '|';
    for (const parent of parents) key += `${parent.serial.toString(36)},`;
    return getOrMake(this.#groups, key, () => this.#makeGroup(key, pairs, parents));
  }

  #makeGroup(key: string, pairs: readonly LabelPair<M, S>[], parents: readonly Parent<M, S>[]): LabelGroup<M, S> {
    const group = new LabelGroup<M, S>(key, pairs, parents);
    for (const pair of pairs) pair.groups = addToFew(pair.groups, group);
    for (const parent of parents) parent.groups = addToFew(parent.groups, group);
    for (const entry of this.#candidateSelectors(group)) {
      if (entry.selector.matches(group)) link(entry, group);
    }
    return group;
  }

  has(group: LabelGroup<M, S>): boolean {
    return this.#groups.get(group.key) === group;
  }

  enter(member: M, group: LabelGroup<M, S>): void {
    group.members = addToFew(group.members, member);
  }

  /** Takes a member out again; a group without members is forgotten. */
  leave(member: M, group: LabelGroup<M, S>): void {
    group.members = removeFromFew(group.members, member);
    if (group.members !== undefined) return;
    this.#groups.delete(group.key);
    for (const entry of elementsOf(group.matches)) entry.groups.delete(group);
    group.matches = undefined;
    for (const pair of group.pairs) {
      pair.groups = removeFromFew(pair.groups, group);
      if (pair.groups === undefined) this.#forgetPair(pair);
    }
    for (const parent of group.parents) {
      parent.groups = removeFromFew(parent.groups, group);
      this.#forgetParentIfUnused(parent);
    }
  }

  /** Labels that every group with this parent has, unless it has its own; undefined when the parent does not exist. */
  setParent(name: string, labels: ReadonlyMap<string, string> | undefined): readonly MatchChange<M, S>[] {
    const parent = this.#parent(name);
    const before = parent.labels;
    parent.labels = labels;
    this.#forgetParentIfUnused(parent);
    if (sameLabels(before, labels)) return [];
    for (const [label, value] of before ?? []) this.#forgetGiver(parent, label, value);
    for (const [label, value] of labels ?? []) {
      const values = getOrMake(this.#givers, label, () => new Map<string, Few<Parent<M, S>>>());
      values.set(value, addToFew(values.get(value), parent));
    }
    const changes: MatchChange<M, S>[] = [];
    for (const group of elementsOf(parent.groups)) this.#rematch(group, changes);
    return changes;
  }

  #forgetGiver(parent: Parent<M, S>, label: string, value: string): void {
    const values = this.#givers.get(label);
    if (!values) return;
    const rest = removeFromFew(values.get(value), parent);
    if (rest) values.set(value, rest);
    else values.delete(value);
    if (values.size === 0) this.#givers.delete(label);
  }

  #rematch(group: LabelGroup<M, S>, changes: MatchChange<M, S>[]): void {
    const candidates = new Set(this.#candidateSelectors(group));
    for (const entry of [...elementsOf(group.matches)]) {
      if (candidates.has(entry) && entry.selector.matches(group)) continue;
      unlink(entry, group);
      changes.push({ entry, group, matches: false });
    }
    for (const entry of candidates) {
      if (entry.groups.has(group) || !entry.selector.matches(group)) continue;
      link(entry, group);
      changes.push({ entry, group, matches: true });
    }
  }

  /** The entry of a selector, made when there is none; whoever asks then subscribes to it. */
  entryOf(selector: IndexedSelector): SelectorEntry<M, S> {
    return getOrMake(this.#selectors, selector.text, () => {
      const entry = new SelectorEntry<M, S>(selector);
      this.#filing.add(entry);
      for (const group of this.#candidateGroups(selector)) {
        if (!entry.groups.has(group) && selector.matches(group)) link(entry, group);
      }
      return entry;
    });
  }

  /** Ends a subscription; an entry without subscribers is forgotten. */
  unsubscribe(entry: SelectorEntry<M, S>, subscriber: S): void {
    entry.subscribers.delete(subscriber);
    if (entry.subscribers.size > 0) return;
    this.#selectors.delete(entry.selector.text);
    for (const group of [...entry.groups]) unlink(entry, group);
    this.#filing.delete(entry);
  }

  #pair(name: string, value: string): LabelPair<M, S> {
    const values = getOrMake(this.#pairs, name, () => new Map<string, LabelPair<M, S>>());
    return getOrMake(values, value, () => ({ serial: this.#nextSerial++, name, value, groups: undefined }));
  }

  #forgetPair(pair: LabelPair<M, S>): void {
    const values = this.#pairs.get(pair.name);
    values?.delete(pair.value);
    if (values?.size === 0) this.#pairs.delete(pair.name);
  }

  #parent(name: string): Parent<M, S> {
    return getOrMake(this.#parents, name, () => ({
      serial: this.#nextSerial++,
      name,
      labels: undefined,
      groups: undefined,
    }));
  }

  #forgetParentIfUnused(parent: Parent<M, S>): void {
    if (parent.labels === undefined && parent.groups === undefined) this.#parents.delete(parent.name);
  }

  /** May yield a selector more than once: a group can have a label by itself and from a parent. */
  *#candidateSelectors(group: LabelGroup<M, S>): Iterable<SelectorEntry<M, S>> {
    yield* this.#filing.unrestricted;
    for (const pair of group.pairs) yield* this.#filing.under(pair.name, pair.value);
    for (const parent of group.parents) {
      for (const [name, value] of parent.labels ?? []) yield* this.#filing.under(name, value);
    }
  }

  /** Groups that fulfil the selector's rarest restriction. */
  *#candidateGroups(selector: IndexedSelector): Iterable<LabelGroup<M, S>> {
    let rarest: LabelRestriction | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    // Those with values first: counting who has a label at all then ends early.
    for (const restriction of selector.restrictions.toSorted(byValues)) {
      const count = this.#countGroups(restriction, fewest);
      if (count >= fewest) continue;
      fewest = count;
      rarest = restriction;
    }
    if (!rarest) {
      yield* this.#groups.values();
      return;
    }
    for (const pair of this.#pairsOf(rarest)) yield* elementsOf(pair.groups);
    for (const parent of this.#giversOf(rarest)) yield* elementsOf(parent.groups);
  }

  *#pairsOf(restriction: LabelRestriction): Iterable<LabelPair<M, S>> {
    const values = this.#pairs.get(restriction.name);
    if (!values) return;
    if (!restriction.oneOf) {
      yield* values.values();
      return;
    }
    for (const value of restriction.oneOf) {
      const pair = values.get(value);
      if (pair) yield pair;
    }
  }

  *#giversOf(restriction: LabelRestriction): Iterable<Parent<M, S>> {
    const values = this.#givers.get(restriction.name);
    if (!values) return;
    for (const value of restriction.oneOf ?? values.keys()) yield* elementsOf(values.get(value));
  }

  /** Exact below the limit, which is where counting ends. */
  #countGroups(restriction: LabelRestriction, limit: number): number {
    let count = 0;
    for (const pair of this.#pairsOf(restriction)) {
      count += sizeOfFew(pair.groups);
      if (count >= limit) return count;
    }
    for (const parent of this.#giversOf(restriction)) {
      count += sizeOfFew(parent.groups);
      if (count >= limit) return count;
    }
    return count;
  }
}

const byValues = (a: LabelRestriction, b: LabelRestriction): number => Number(!a.oneOf) - Number(!b.oneOf);

function link<M extends object, S>(entry: SelectorEntry<M, S>, group: LabelGroup<M, S>): void {
  entry.groups.add(group);
  group.matches = addToFew(group.matches, entry);
}

function unlink<M extends object, S>(entry: SelectorEntry<M, S>, group: LabelGroup<M, S>): void {
  entry.groups.delete(group);
  group.matches = removeFromFew(group.matches, entry);
}

function sameLabels(a: ReadonlyMap<string, string> | undefined, b: ReadonlyMap<string, string> | undefined): boolean {
  if ((a?.size ?? 0) !== (b?.size ?? 0)) return false;
  for (const [name, value] of a ?? []) if (b?.get(name) !== value) return false;
  return true;
}
