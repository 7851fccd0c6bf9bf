// A route's attributes for people: as a peer sent them, as they are in force here, or as they were sent on.

import { formatAddress, formatIpv4 } from '../../net/address.ts';
import type { AttributeStore } from '../rib/attribute-store.ts';
import { DEFAULT_LOCAL_PREF } from '../rib/attribute-store.ts';
import { attributesOf, type DecodedAttributes } from '../rib/decoded.ts';
import type { Rib } from '../rib/rib.ts';
import type { Treatment } from '../rib/treatment.ts';
import type { RouteAttributesReport } from '../status.ts';
import { formatAsPath } from '../wire/as-path.ts';
import { AttributeScan } from '../wire/attribute-scan.ts';
import { AttributeCode, attributeTitle, plainContext } from '../wire/attributes.ts';
import { concat, writeUint16 } from '../wire/bytes.ts';
import { decodeAttributes } from '../wire/update.ts';

/** Of a set that is in the RIB, as it came or as a filter changed it. */
export function reportStored(store: AttributeStore, id: number, local: boolean): RouteAttributesReport {
  const report = describe(attributesOf(store, id), otherTitles(store.copyOf(id)));
  const localPref = store.localPref[id];
  return {
    ...(local ? { ...report, nextHop: undefined } : report),
    // What no attribute says, but decides: a route that its neighbor drains (RFC 8326).
    ...(localPref === DEFAULT_LOCAL_PREF || localPref === undefined ? {} : { localPref }),
  };
}

/** Of a set as it leaves: with our AS, next hop and whatever else peers of this treatment see. */
export function reportSent(rib: Rib, id: number, treatment: Treatment): RouteAttributesReport {
  const { bytes, length, reach, reachLength } = rib.exporter.build(id, treatment);
  const head = reach.slice(0, reachLength);
  if (reachLength > 0) writeUint16(head, 2, reachLength - 4);
  const sent = concat([head, bytes.subarray(0, length)]);
  const context = { ...plainContext, fourOctetAs: treatment.fourOctetAs };
  const scan = new AttributeScan();
  scan.scan(sent, 0, sent.length, context, false);
  const attributes = decodeAttributes(sent, scan, context);
  const { nextHop, mpReach } = attributes;
  const nextHops = mpReach?.nextHops ?? (nextHop === undefined ? [] : [nextHop]);
  return describe({ attributes, nextHops }, otherTitles(sent));
}

/** Attributes that have a field of their own. */
const described = new Set<number>([
  AttributeCode.origin,
  AttributeCode.asPath,
  AttributeCode.nextHop,
  AttributeCode.med,
  AttributeCode.localPref,
  AttributeCode.communities,
  AttributeCode.originatorId,
  AttributeCode.clusterList,
  AttributeCode.mpReach,
  AttributeCode.extendedCommunities,
  AttributeCode.largeCommunities,
]);

function otherTitles(bytes: Uint8Array): string[] {
  const scan = new AttributeScan();
  scan.scan(bytes, 0, bytes.length, plainContext, false);
  const codes = [...scan.codes.subarray(0, scan.count)];
  return codes.filter((code) => !described.has(code)).map(attributeTitle);
}

const origins = ['igp', 'egp', 'incomplete'] as const;

function describe({ attributes, nextHops }: DecodedAttributes, others: readonly string[]): RouteAttributesReport {
  const { origin = 2, asPath = [], localPref, med, communities = [], largeCommunities = [] } = attributes;
  const { originatorId, clusterList, extendedCommunities } = attributes;
  return {
    origin: origins[origin] ?? 'incomplete',
    asPath: formatAsPath(asPath),
    ...(nextHops.length === 0 ? {} : { nextHop: nextHops.map(formatAddress).join(' ') }),
    ...(localPref === undefined ? {} : { localPref }),
    ...(med === undefined ? {} : { med }),
    communities: [
      ...communities.map((value) => `${value >>> 16}:${value & 0xffff}`),
      ...largeCommunities.map(({ global, local1, local2 }) => `${global}:${local1}:${local2}`),
    ],
    ...(extendedCommunities ? { extendedCommunities: extendedCommunities.map(formatExtendedCommunity) } : {}),
    ...(originatorId === undefined ? {} : { originatorId: formatIpv4(originatorId) }),
    ...(clusterList === undefined ? {} : { clusterList: clusterList.map((id) => formatIpv4(id)) }),
    ...(others.length === 0 ? {} : { others }),
  };
}

/** "rt:65000:7" and "ro:65000:7" for targets and origins (RFC 4360 §4, §5), else the octets. */
function formatExtendedCommunity(value: bigint): string {
  const bits = (shift: bigint, width: bigint): number => Number((value >> shift) & ((1n << width) - 1n));
  const [type, subtype] = [bits(56n, 8n) & 0xbf, bits(48n, 8n)];
  const kind = subtype === 2 ? 'rt' : subtype === 3 ? 'ro' : undefined;
  if (kind !== undefined && type === 0) return `${kind}:${bits(32n, 16n)}:${bits(0n, 32n)}`;
  if (kind !== undefined && type === 1) return `${kind}:${formatIpv4(bits(16n, 32n))}:${bits(0n, 16n)}`;
  if (kind !== undefined && type === 2) return `${kind}:${bits(16n, 32n)}:${bits(0n, 16n)}`;
  return `0x${value.toString(16).padStart(16, '0')}`;
}
