// RIBs as UPDATEs, for monitoring stations: the Adj-RIBs-In of all monitored peers for one that has just connected (RFC 7854
// §5), and the Loc-RIB, whole and as it changes (RFC 9069).
//
//     prefixes, a slice at a time ─► their paths by peer and attribute set ─► one UPDATE for each, packed
//
// Between slices routes may change. That is no harm: a change is told as it comes, and a slice tells what is true when it
// is made.

import type { FamilyRib } from '../rib/family-rib.ts';
import { joinAttributes, splitAttributes } from '../rib/filtering.ts';
import { families, type Rib } from '../rib/rib.ts';
import type { AddressFamily } from '../settings.ts';
import { AttributeCode, OPTIONAL, TRANSITIVE } from '../wire/attributes.ts';
import { concat, uint16 } from '../wire/bytes.ts';
import { toWireFamily } from '../wire/message.ts';
import { encodeNlri, type Nlri } from '../wire/nlri.ts';
import { encodeUpdate } from '../wire/update.ts';

const SLICE_PREFIXES = 512;
/** Prefixes of one UPDATE; with the longest ones and path identifiers they take 2,100 of its 4,096 octets. */
const UPDATE_PREFIXES = 100;

/** How a peer's routes are to be written; undefined for peers that are not monitored. */
export type AddPathOf = (source: number, family: AddressFamily) => boolean | undefined;

export interface TableUpdate {
  readonly source: number;
  /** An UPDATE's body, with 4-octet AS numbers. */
  readonly body: Uint8Array;
}

/** Slices of the table, in which some may be empty. */
export function* tableUpdates(rib: Rib, addPathOf: AddPathOf): Generator<readonly TableUpdate[]> {
  for (const family of families) {
    const familyRib = rib.family(family);
    for (let from = 1; from < familyRib.prefixes.end; from += SLICE_PREFIXES) {
      yield slice(familyRib, from, addPathOf);
    }
  }
}

function slice(rib: FamilyRib, from: number, addPathOf: AddPathOf): TableUpdate[] {
  const { paths, prefixes } = rib;
  const packs = new Map<string, { readonly source: number; readonly attributes: number; readonly nlri: Nlri[] }>();
  for (let prefix = from; prefix < Math.min(from + SLICE_PREFIXES, prefixes.end); prefix++) {
    for (let path = paths.heads[prefix] ?? 0; path !== 0; path = paths.next[path] ?? 0) {
      const source = paths.sourceOf(path);
      const attributes = paths.receivedOf(path);
      const addPath = addPathOf(source, rib.family);
      // What is left of a session before is not of this one.
      if (addPath === undefined || attributes === 0 || paths.stale?.[path] === 1) continue;
      const key = `${source} ${attributes}`;
      const pack = packs.get(key) ?? { source, attributes, nlri: [] };
      packs.set(key, pack);
      const pathId = paths.identifiers?.[path] ?? 0;
      pack.nlri.push({ prefix: prefixes.prefixOf(prefix), ...(addPath ? { pathId } : {}) });
    }
  }
  return [...packs.values()].flatMap(({ source, attributes, nlri }) => {
    const canonical = rib.store.copyOf(attributes);
    const updates: TableUpdate[] = [];
    for (let at = 0; at < nlri.length; at += UPDATE_PREFIXES) {
      updates.push({ source, body: updateBody(canonical, nlri.slice(at, at + UPDATE_PREFIXES)) });
    }
    return updates;
  });
}

/** Slices of the best routes, as UPDATE bodies. */
export function* locRibUpdates(rib: Rib): Generator<readonly Uint8Array[]> {
  for (const family of families) {
    const familyRib = rib.family(family);
    for (let from = 1; from < familyRib.prefixes.end; from += SLICE_PREFIXES) {
      const prefixes = Array.from({ length: SLICE_PREFIXES }, (_, i) => from + i).filter(
        (prefix) => (familyRib.best[prefix] ?? 0) !== 0,
      );
      yield locRibChanges(familyRib, prefixes);
    }
  }
}

/** The best routes of these prefixes as they are now, as UPDATE bodies: those that are gone, then the others. */
export function locRibChanges(rib: FamilyRib, changed: Iterable<number>): Uint8Array[] {
  const gone: Nlri[] = [];
  const packs = new Map<number, Nlri[]>();
  for (const prefix of changed) {
    const attributes = rib.best[prefix] ?? 0;
    const list = attributes === 0 ? gone : (packs.get(attributes) ?? []);
    if (attributes !== 0) packs.set(attributes, list);
    list.push({ prefix: rib.prefixes.prefixOf(prefix) });
  }
  return [
    ...parts(gone).map((list) => withdrawals(rib.family, list)),
    ...[...packs].flatMap(([attributes, nlri]) => {
      const canonical = withNextHop(rib.family, rib.store.copyOf(attributes));
      return parts(nlri).map((list) => updateBody(canonical, list));
    }),
  ];
}

const parts = (list: readonly Nlri[]): readonly Nlri[][] =>
  Array.from({ length: Math.ceil(list.length / UPDATE_PREFIXES) }, (_, i) =>
    list.slice(i * UPDATE_PREFIXES, (i + 1) * UPDATE_PREFIXES),
  );

function withdrawals(family: AddressFamily, list: readonly Nlri[]): Uint8Array {
  const update = { kind: 'update', withdrawn: [], attributes: {}, unknownAttributes: [], nlri: [] } as const;
  const attributes = { mpUnreach: { ...toWireFamily(family), withdrawn: list } };
  return encodeUpdate(family === 'ipv4-unicast' ? { ...update, withdrawn: list } : { ...update, attributes });
}

/** Own routes have no next hop in the RIB, and an UPDATE must have one: the unspecified address. */
function withNextHop(family: AddressFamily, canonical: Uint8Array): Uint8Array {
  const items = splitAttributes(canonical);
  const has = (wanted: number): boolean => items.some(({ code }) => code === wanted);
  if (has(AttributeCode.nextHop) || has(AttributeCode.mpReach)) return canonical;
  const { afi, safi } = toWireFamily(family);
  const nextHop =
    family === 'ipv4-unicast'
      ? { flags: TRANSITIVE, code: AttributeCode.nextHop, value: new Uint8Array(4) }
      : {
          flags: OPTIONAL,
          code: AttributeCode.mpReach,
          value: concat([uint16(afi), Uint8Array.of(safi, 16), new Uint8Array(16 + 1)]),
        };
  return joinAttributes([...items, nextHop].sort((a, b) => a.code - b.code));
}

/** Stored sets with MP_REACH_NLRI have all of it but the prefixes; those without carry IPv4 in the UPDATE's own field. */
function updateBody(canonical: Uint8Array, list: readonly Nlri[]): Uint8Array {
  const nlri = encodeNlri(list);
  const items = splitAttributes(canonical);
  const isMp = items.some(({ code }) => code === AttributeCode.mpReach);
  const attributes = joinAttributes(
    items.map((item) => (item.code === AttributeCode.mpReach ? { ...item, value: concat([item.value, nlri]) } : item)),
  );
  return concat([uint16(0), uint16(attributes.length), attributes, ...(isMp ? [] : [nlri])]);
}
