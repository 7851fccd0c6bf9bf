// Filters at work: shows a stored attribute set to a RouteFilter, and turns the operations of its verdict into another
// stored set, so that all behind it goes on comparing numbers.

import type { AddressFamily, Community, FilterOperation } from '../settings.ts';
import { type AsPathSegment, decodeAsPath, encodeAsPath } from '../wire/as-path.ts';
import { AttributeCode, EXTENDED_LENGTH, OPTIONAL, TRANSITIVE } from '../wire/attributes.ts';
import { concat, readUint16, readUint32, readUint32List, uint16, uint32, uint32List } from '../wire/bytes.ts';
import { type AttributeStore, MAX_SET_BYTES } from './attribute-store.ts';
import type { FilterRoute, FilterVerdict, RouteFilter } from './policy.ts';
import type { PrefixTable } from './prefixes.ts';
import type { Source, Sources } from './source.ts';

export class Filtering {
  readonly #store: AttributeStore;
  readonly #sources: Sources;
  /** Name of the interface that the routes of a set are reached by; set by whoever knows the kernel. */
  interfaceOf: (attributes: number) => string | undefined = () => undefined;
  /** Verdicts of filters that do not look at the prefix, by attribute set. */
  #memo = new WeakMap<RouteFilter, Map<number, number>>();

  constructor(store: AttributeStore, sources: Sources) {
    this.#store = store;
    this.#sources = sources;
  }

  /** The set to go on with: the same, a changed one, or 0 when the route is refused. */
  apply(filter: RouteFilter, attributes: number, prefixes: PrefixTable, prefix: number): number {
    if (filter.acceptsAll) return attributes;
    if (filter.usesPrefix) return this.#evaluate(filter, attributes, prefixes, prefix);
    let memo = this.#memo.get(filter);
    if (!memo) {
      memo = new Map();
      this.#memo.set(filter, memo);
    }
    const known = memo.get(attributes);
    if (known !== undefined) return known;
    const result = this.#evaluate(filter, attributes, prefixes, prefix);
    memo.set(attributes, result);
    return result;
  }

  /** Attribute set numbers are about to mean other sets, or sets are reached by other interfaces. */
  forget(): void {
    this.#memo = new WeakMap();
  }

  verdict(filter: RouteFilter, attributes: number, prefixes: PrefixTable, prefix: number): FilterVerdict {
    return filter.evaluate(this.#routeOf(attributes, prefixes, prefix));
  }

  #evaluate(filter: RouteFilter, attributes: number, prefixes: PrefixTable, prefix: number): number {
    const { accept, operations } = this.verdict(filter, attributes, prefixes, prefix);
    if (!accept) return 0;
    return operations.length === 0 ? attributes : this.#changed(attributes, operations);
  }

  #routeOf(attributes: number, prefixes: PrefixTable, prefix: number): FilterRoute {
    const source = this.#sources.get(this.#store.source[attributes] ?? 0);
    const items = splitAttributes(this.#store.copyOf(attributes));
    const value = (code: number): Uint8Array => items.find((item) => item.code === code)?.value ?? empty;
    const communities = value(AttributeCode.communities);
    const large = value(AttributeCode.largeCommunities);
    const path = value(AttributeCode.asPath);
    const priority = this.#store.priorityOf(attributes);
    const name = this.interfaceOf(attributes);
    const family: AddressFamily = prefixes.family === 4 ? 'ipv4-unicast' : 'ipv6-unicast';
    return {
      family,
      prefix: prefixes.prefixOf(prefix),
      source: kindOf(source),
      communities: readUint32List(communities, 0, communities.length),
      largeCommunities: largeOf(large),
      asPath: decodeAsPath(path, 0, path.length, 4).flatMap((segment) => segment.asns),
      ...(priority === undefined ? {} : { priority }),
      ...(name === undefined ? {} : { interface: name }),
    };
  }

  /** The same set with one more community. */
  withCommunity(attributes: number, value: number): number {
    return this.#changed(attributes, [{ kind: 'add-community', community: { kind: 'standard', value } }]);
  }

  /** Own AS numbers that a filter put in front are no loop: what may not be used, and why, stays as it was. */
  #changed(attributes: number, operations: readonly FilterOperation[]): number {
    const store = this.#store;
    const items = splitAttributes(store.copyOf(attributes));
    for (const operation of operations) applyOperation(items, operation);
    const bytes = joinAttributes(items);
    // Nobody could be sent it, and what it says could not be kept.
    if (bytes.length > MAX_SET_BYTES) return 0;
    const source = store.source[attributes] ?? 0;
    const ofRefusal = store.refusal[attributes] ?? 0;
    const set = operations.findLast((operation) => operation.kind === 'set-priority');
    const priority = set?.priority ?? store.setPriorityOf(attributes);
    return store.intern(source, this.#sources.get(source), bytes, 0, bytes.length, { ofRefusal, priority });
  }
}

const empty = new Uint8Array(0);

const kindOf = (source: Source): FilterRoute['source'] => (source.local ? 'local' : source.external ? 'ebgp' : 'ibgp');

function largeOf(bytes: Uint8Array): { global: number; local1: number; local2: number }[] {
  const list: { global: number; local1: number; local2: number }[] = [];
  for (let at = 0; at + 12 <= bytes.length; at += 12) {
    list.push({ global: readUint32(bytes, at), local1: readUint32(bytes, at + 4), local2: readUint32(bytes, at + 8) });
  }
  return list;
}

export interface AttributeItem {
  readonly flags: number;
  readonly code: number;
  value: Uint8Array;
}

/** The attributes of a canonical set. */
export function splitAttributes(bytes: Uint8Array): AttributeItem[] {
  const items: AttributeItem[] = [];
  for (let at = 0; at < bytes.length; ) {
    const flags = bytes[at] ?? 0;
    const extended = (flags & EXTENDED_LENGTH) !== 0;
    const start = at + (extended ? 4 : 3);
    const end = start + (extended ? readUint16(bytes, at + 2) : (bytes[at + 2] ?? 0));
    items.push({ flags: flags & ~EXTENDED_LENGTH, code: bytes[at + 1] ?? 0, value: bytes.subarray(start, end) });
    at = end;
  }
  return items;
}

export function joinAttributes(items: readonly AttributeItem[]): Uint8Array {
  return concat(
    items.flatMap(({ flags, code, value }) => [
      value.length > 255
        ? concat([Uint8Array.of(flags | EXTENDED_LENGTH, code), uint16(value.length)])
        : Uint8Array.of(flags, code, value.length),
      value,
    ]),
  );
}

function applyOperation(items: AttributeItem[], operation: FilterOperation): void {
  switch (operation.kind) {
    case 'add-community':
      addCommunity(items, operation.community);
      return;
    case 'prepend-as-path': {
      const item = items.find(({ code }) => code === AttributeCode.asPath);
      if (!item) return;
      const segment: AsPathSegment = { kind: 'sequence', asns: operation.asns };
      item.value = joinSequences(segment, decodeAsPath(item.value, 0, item.value.length, 4));
      return;
    }
    case 'set-priority':
      // Beside the attributes: it concerns the FIB, and what is told to other nodes.
      return;
  }
}

/** One sequence where both are, so that the path has no needless segment. */
function joinSequences(front: AsPathSegment, path: readonly AsPathSegment[]): Uint8Array {
  const [first, ...rest] = path;
  if (first?.kind !== 'sequence') return encodeAsPath([front, ...path], 4);
  return encodeAsPath([{ kind: 'sequence', asns: [...front.asns, ...first.asns] }, ...rest], 4);
}

function addCommunity(items: AttributeItem[], community: Community): void {
  const isStandard = community.kind === 'standard';
  const code = isStandard ? AttributeCode.communities : AttributeCode.largeCommunities;
  const value = isStandard
    ? uint32(community.value)
    : uint32List([community.global, community.local1, community.local2]);
  const item = items.find((candidate) => candidate.code === code);
  if (item) {
    if (!holds(item.value, value)) item.value = concat([item.value, value]);
    return;
  }
  items.push({ flags: OPTIONAL | TRANSITIVE, code, value });
  items.sort((a, b) => a.code - b.code);
}

function holds(list: Uint8Array, value: Uint8Array): boolean {
  for (let at = 0; at < list.length; at += value.length) {
    if (value.every((octet, i) => list[at + i] === octet)) return true;
  }
  return false;
}
