// The Adj-RIBs-In of all monitored peers as UPDATEs, for a station that has just connected: RFC 7854 §5.
//
//     prefixes, a slice at a time ─► their paths by peer and attribute set ─► one UPDATE for each, packed
//
// Between slices routes may change. That is no harm: a change is told as it comes, and a slice tells what is true when it
// is made.

import type { FamilyRib } from '../rib/family-rib.ts';
import { joinAttributes, splitAttributes } from '../rib/filtering.ts';
import { families, type Rib } from '../rib/rib.ts';
import type { AddressFamily } from '../settings.ts';
import { AttributeCode } from '../wire/attributes.ts';
import { concat, uint16 } from '../wire/bytes.ts';
import { encodeNlri, type Nlri } from '../wire/nlri.ts';

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
