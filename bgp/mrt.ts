// The routes of all peers as an MRT table dump: RFC 6396 §4.3 (TABLE_DUMP_V2), RFC 8050 where there are path identifiers.
// Other programs read it: bgpdump, GoBGP, RIPE's and RouteViews' tools.
//
//     PEER_INDEX_TABLE, then a record for each prefix with all its paths as received
//     record: time(4) type(2)=13 subtype(2) length(4) …

import { addressToBytes, familyOf } from '../net/address.ts';
import type { FamilyRib } from './rib/family-rib.ts';
import { type AttributeItem, joinAttributes, splitAttributes } from './rib/filtering.ts';
import type { Rib } from './rib/rib.ts';
import type { Source } from './rib/source.ts';
import { AttributeCode, OPTIONAL, TRANSITIVE } from './wire/attributes.ts';
import { concat, uint16, uint32 } from './wire/bytes.ts';

const TABLE_DUMP_V2 = 13;
const PEER_INDEX_TABLE = 1;
const subtypes = {
  'ipv4-unicast': { plain: 2, addPath: 8 },
  'ipv6-unicast': { plain: 4, addPath: 10 },
} as const;

/** Peer type bits of PEER_INDEX_TABLE. */
const IPV6_ADDRESS = 1;
const FOUR_OCTET_AS = 2;

/** The whole dump in parts of some records each; between them, routes may change. */
export function* tableDump(rib: Rib, routerId: number, atMs: number): Generator<Uint8Array> {
  const time = Math.floor(atMs / 1000);
  const sources = [...rib.sources.entries()];
  yield record(
    time,
    PEER_INDEX_TABLE,
    peerIndexTable(
      routerId,
      sources.map(([, source]) => source),
    ),
  );
  const peerIndex = new Map(sources.map(([number], index) => [number, index]));
  let sequence = 0;
  for (const family of ['ipv4-unicast', 'ipv6-unicast'] as const) {
    const familyRib = rib.family(family);
    const addPath = familyRib.paths.identifiers !== undefined;
    const subtype = addPath ? subtypes[family].addPath : subtypes[family].plain;
    let part: Uint8Array[] = [];
    for (let prefix = 1; prefix < familyRib.prefixes.end; prefix++) {
      const body = ribEntries(familyRib, prefix, peerIndex, time, addPath, sequence);
      if (!body) continue;
      sequence++;
      part.push(record(time, subtype, body));
      if (part.length < 512) continue;
      yield concat(part);
      part = [];
    }
    if (part.length > 0) yield concat(part);
  }
}

const record = (time: number, subtype: number, body: Uint8Array): Uint8Array =>
  concat([uint32(time), uint16(TABLE_DUMP_V2), uint16(subtype), uint32(body.length), body]);

/** Our own routes come from a peer too: the one with our router id and number 0 in the table. */
function peerIndexTable(routerId: number, sources: readonly Source[]): Uint8Array {
  const peers = sources.map(({ routerId: peerId, address, asn }) => {
    const type = FOUR_OCTET_AS | (familyOf(address) === 6 ? IPV6_ADDRESS : 0);
    return concat([Uint8Array.of(type), uint32(peerId), addressToBytes(address), uint32(asn)]);
  });
  // Without a view name.
  return concat([uint32(routerId), uint16(0), uint16(peers.length), ...peers]);
}

/** Undefined for a prefix that nobody announces. */
function ribEntries(
  rib: FamilyRib,
  prefix: number,
  peerIndex: ReadonlyMap<number, number>,
  time: number,
  addPath: boolean,
  sequence: number,
): Uint8Array | undefined {
  const { paths, store } = rib;
  const entries: Uint8Array[] = [];
  for (let path = paths.heads[prefix] ?? 0; path !== 0; path = paths.next[path] ?? 0) {
    const index = peerIndex.get(paths.sourceOf(path));
    const received = paths.receivedOf(path);
    if (index === undefined || received === 0) continue;
    const attributes = dumpedAttributes(store.copyOf(received), rib.prefixes.family);
    const identifier = addPath ? [uint32(paths.identifiers?.[path] ?? 0)] : [];
    entries.push(concat([uint16(index), uint32(time), ...identifier, uint16(attributes.length), attributes]));
  }
  if (entries.length === 0) return undefined;
  const { address, length } = rib.prefixes.prefixOf(prefix);
  const octets = addressToBytes(address).subarray(0, (length + 7) >> 3);
  return concat([uint32(sequence), Uint8Array.of(length), octets, uint16(entries.length), ...entries]);
}

/**
 * RFC 6396 §4.3.4: of MP_REACH_NLRI only the next hop and its length are there. Our own routes have none yet, and readers
 * want one: the unspecified address.
 */
function dumpedAttributes(canonical: Uint8Array, family: 4 | 6): Uint8Array {
  const items = splitAttributes(canonical).map((item): AttributeItem => {
    if (item.code !== AttributeCode.mpReach) return item;
    const nextHopLength = item.value[3] ?? 0;
    return { ...item, value: item.value.slice(3, 4 + nextHopLength) };
  });
  const hasNextHop = items.some(({ code }) => code === AttributeCode.nextHop || code === AttributeCode.mpReach);
  if (!hasNextHop) {
    items.push(
      family === 4
        ? { flags: TRANSITIVE, code: AttributeCode.nextHop, value: new Uint8Array(4) }
        : { flags: OPTIONAL, code: AttributeCode.mpReach, value: concat([Uint8Array.of(16), new Uint8Array(16)]) },
    );
    items.sort((a, b) => a.code - b.code);
  }
  return joinAttributes(items);
}
