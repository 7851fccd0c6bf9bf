// Path attributes, one entry each: code, flags, what makes one malformed, and what then happens (RFC 7606 §7).
//
// RFCs: 4271 (1–7), 1997 (8), 4456 (9, 10), 4760 (14, 15), 4360 (16), 6793 (17, 18), 9012 (23), 5701 (25), 7311 (26),
// 8092 (32), 9234 (35), 8669 (40). Adding an attribute is adding a line to PathAttributes and one to the table.

import { type Address, addressFromBytes, addressToBytes, type Ipv4 } from '../../net/address.ts';
import type { AddressFamily } from '../settings.ts';
import { type AsPathSegment, decodeAsPath, encodeAsPath, isWellFormedAs4Path, isWellFormedAsPath } from './as-path.ts';
import { concat, readUint16, readUint32, readUint32List, uint16, uint32, uint32List } from './bytes.ts';
import { fromWireFamily } from './message.ts';
import { decodeNlri, encodeNlri, isWellFormedNlri, type Nlri } from './nlri.ts';

export interface PathAttributes {
  /** 0 IGP, 1 EGP, 2 INCOMPLETE. */
  readonly origin?: number;
  readonly asPath?: readonly AsPathSegment[];
  readonly nextHop?: Ipv4;
  readonly med?: number;
  readonly localPref?: number;
  readonly atomicAggregate?: true;
  readonly aggregator?: Aggregator;
  readonly communities?: readonly number[];
  readonly originatorId?: Ipv4;
  readonly clusterList?: readonly number[];
  readonly mpReach?: MpReach;
  readonly mpUnreach?: MpUnreach;
  /** Eight octets each, as big-endian hex would read. */
  readonly extendedCommunities?: readonly bigint[];
  readonly as4Path?: readonly AsPathSegment[];
  readonly as4Aggregator?: Aggregator;
  readonly tunnelEncapsulation?: Uint8Array;
  readonly ipv6ExtendedCommunities?: Uint8Array;
  readonly aigp?: Uint8Array;
  readonly largeCommunities?: readonly LargeCommunity[];
  readonly onlyToCustomer?: number;
  readonly prefixSid?: Uint8Array;
}

export interface Aggregator {
  readonly asn: number;
  readonly address: Ipv4;
}

export interface LargeCommunity {
  readonly global: number;
  readonly local1: number;
  readonly local2: number;
}

export interface MpReach {
  readonly afi: number;
  readonly safi: number;
  /** One address, or for IPv6 a global and a link-local one (RFC 2545 §3). */
  readonly nextHops: readonly Address[];
  readonly nlri: readonly Nlri[];
}

export interface MpUnreach {
  readonly afi: number;
  readonly safi: number;
  readonly withdrawn: readonly Nlri[];
}

/** What the session negotiated that changes how bytes read. */
export interface WireContext {
  readonly fourOctetAs: boolean;
  /** The peer is in another AS: LOCAL_PREF, ORIGINATOR_ID and the like are then discarded (RFC 7606 §7). */
  readonly external: boolean;
  /** Path identifiers are present in the NLRI that this side reads. */
  readonly addPathIpv4: boolean;
  readonly addPathIpv6: boolean;
  /** Families of the session; undefined: all that this speaker knows. Prefixes of others are nobody's to read. */
  readonly families?: readonly AddressFamily[];
}

export const plainContext: WireContext = { fourOctetAs: true, external: false, addPathIpv4: false, addPathIpv6: false };

export type MalformedOutcome = 'treat-as-withdraw' | 'attribute-discard' | 'session-reset';

export const OPTIONAL = 0x80;
export const TRANSITIVE = 0x40;
export const PARTIAL = 0x20;
export const EXTENDED_LENGTH = 0x10;

export type AttributeName = keyof PathAttributes;
/** Required: every attribute has its entry. */
type Values = Required<PathAttributes>;
export type AttributeTable = { readonly [N in keyof Values]: AttributeDescriptor<Values[N]> };

export interface AttributeDescriptor<V> {
  readonly code: number;
  /** The optional and transitive bits that it must have. */
  readonly flags: number;
  readonly whenMalformed: MalformedOutcome;
  /** Means nothing from an external peer, and is dropped without a look. */
  readonly internalOnly?: true;
  /** Holds prefixes, so that without it an UPDATE can not be treated as a withdrawal. */
  readonly holdsNlri?: true;
  readonly isWellFormed: (bytes: Uint8Array, from: number, to: number, context: WireContext) => boolean;
  /** Of well-formed bytes. */
  readonly decode: (bytes: Uint8Array, from: number, to: number, context: WireContext) => V;
  readonly encode: (value: V, context: WireContext) => Uint8Array;
}

export const AttributeCode = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  med: 4,
  localPref: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReach: 14,
  mpUnreach: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  tunnelEncapsulation: 23,
  ipv6ExtendedCommunities: 25,
  aigp: 26,
  largeCommunities: 32,
  onlyToCustomer: 35,
  prefixSid: 40,
} as const satisfies Record<AttributeName, number>;

const WELL_KNOWN = TRANSITIVE;
const titles = new Map<number, string>(
  Object.entries(AttributeCode).map(([name, code]) => [code, name.replace(/[A-Z]/g, '_$&').toUpperCase()]),
);

/** "AS_PATH", "attribute 28". */
export const attributeTitle = (code: number): string => titles.get(code) ?? `attribute ${code}`;

const OPTIONAL_TRANSITIVE = OPTIONAL | TRANSITIVE;

const ofLength =
  (length: number) =>
  (_bytes: Uint8Array, from: number, to: number): boolean =>
    to - from === length;

/** A non-empty list of items of `size` octets. */
const listOf =
  (size: number) =>
  (_bytes: Uint8Array, from: number, to: number): boolean =>
    to > from && (to - from) % size === 0;

const number32 = {
  isWellFormed: ofLength(4),
  decode: (bytes: Uint8Array, from: number): number => readUint32(bytes, from),
  encode: (value: number): Uint8Array => uint32(value),
};

const opaque = {
  decode: (bytes: Uint8Array, from: number, to: number): Uint8Array => bytes.slice(from, to),
  encode: (value: Uint8Array): Uint8Array => value,
};

const asnSize = (context: WireContext): 2 | 4 => (context.fourOctetAs ? 4 : 2);

export const attributes: AttributeTable = {
  origin: {
    code: AttributeCode.origin,
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    isWellFormed: (bytes, from, to) => to - from === 1 && (bytes[from] ?? 0) <= 2,
    decode: (bytes, from) => bytes[from] ?? 0,
    encode: (value) => Uint8Array.of(value),
  },
  asPath: {
    code: AttributeCode.asPath,
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    isWellFormed: (bytes, from, to, context) => isWellFormedAsPath(bytes, from, to, asnSize(context)),
    decode: (bytes, from, to, context) => decodeAsPath(bytes, from, to, asnSize(context)),
    encode: (value, context) => encodeAsPath(value, asnSize(context)),
  },
  nextHop: {
    code: AttributeCode.nextHop,
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    // RFC 4271 §6.3: a host address; 0.0.0.0/8 and classes D and E are none.
    isWellFormed: (bytes, from, to) => to - from === 4 && (bytes[from] ?? 0) > 0 && (bytes[from] ?? 0) < 224,
    decode: (bytes, from) => readUint32(bytes, from),
    encode: uint32,
  },
  med: { code: AttributeCode.med, flags: OPTIONAL, whenMalformed: 'treat-as-withdraw', ...number32 },
  localPref: {
    code: AttributeCode.localPref,
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    ...number32,
  },
  atomicAggregate: {
    code: AttributeCode.atomicAggregate,
    flags: WELL_KNOWN,
    whenMalformed: 'attribute-discard',
    isWellFormed: ofLength(0),
    decode: () => true,
    encode: () => new Uint8Array(0),
  },
  aggregator: {
    code: AttributeCode.aggregator,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'attribute-discard',
    isWellFormed: (bytes, from, to, context) => {
      const size = asnSize(context);
      return to - from === size + 4 && (size === 4 ? readUint32(bytes, from) : readUint16(bytes, from)) !== 0;
    },
    decode: (bytes, from, to, context) => ({
      asn: context.fourOctetAs ? readUint32(bytes, from) : readUint16(bytes, from),
      address: readUint32(bytes, to - 4),
    }),
    encode: ({ asn, address }, context) => concat([context.fourOctetAs ? uint32(asn) : uint16(asn), uint32(address)]),
  },
  communities: {
    code: AttributeCode.communities,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    isWellFormed: listOf(4),
    decode: readUint32List,
    encode: uint32List,
  },
  originatorId: {
    code: AttributeCode.originatorId,
    flags: OPTIONAL,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    ...number32,
  },
  clusterList: {
    code: AttributeCode.clusterList,
    flags: OPTIONAL,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    isWellFormed: listOf(4),
    decode: readUint32List,
    encode: uint32List,
  },
  mpReach: {
    code: AttributeCode.mpReach,
    flags: OPTIONAL,
    whenMalformed: 'session-reset',
    holdsNlri: true,
    isWellFormed: isWellFormedMpReach,
    decode: decodeMpReach,
    encode: encodeMpReach,
  },
  mpUnreach: {
    code: AttributeCode.mpUnreach,
    flags: OPTIONAL,
    whenMalformed: 'session-reset',
    holdsNlri: true,
    isWellFormed: (bytes, from, to, context) => {
      if (to - from < 3) return false;
      const family = carriedFamily(readUint16(bytes, from), bytes[from + 2] ?? 0, context);
      // A family that we do not carry is not ours to judge: it is ignored.
      return family === undefined || isWellFormedNlri(bytes, from + 3, to, ...nlriForm(family, context));
    },
    decode: (bytes, from, to, context) => {
      const afi = readUint16(bytes, from);
      const safi = bytes[from + 2] ?? 0;
      const family = carriedFamily(afi, safi, context);
      return { afi, safi, withdrawn: family ? decodeNlri(bytes, from + 3, to, ...nlriForm(family, context)) : [] };
    },
    encode: ({ afi, safi, withdrawn }) => concat([uint16(afi), Uint8Array.of(safi), encodeNlri(withdrawn)]),
  },
  extendedCommunities: {
    code: AttributeCode.extendedCommunities,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    isWellFormed: listOf(8),
    decode: (bytes, from, to) => {
      const words = readUint32List(bytes, from, to);
      return words.flatMap((word, i) => (i % 2 === 0 ? [(BigInt(word) << 32n) | BigInt(words[i + 1] ?? 0)] : []));
    },
    encode: (list) => uint32List(list.flatMap((value) => [Number(value >> 32n), Number(value & 0xffffffffn)])),
  },
  as4Path: {
    code: AttributeCode.as4Path,
    flags: OPTIONAL_TRANSITIVE,
    // RFC 6793 §6: the route is kept without it.
    whenMalformed: 'attribute-discard',
    isWellFormed: isWellFormedAs4Path,
    decode: (bytes, from, to) => decodeAsPath(bytes, from, to, 4),
    encode: (value) => encodeAsPath(value, 4),
  },
  as4Aggregator: {
    code: AttributeCode.as4Aggregator,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'attribute-discard',
    isWellFormed: (bytes, from, to) => to - from === 8 && readUint32(bytes, from) !== 0,
    decode: (bytes, from) => ({ asn: readUint32(bytes, from), address: readUint32(bytes, from + 4) }),
    encode: ({ asn, address }) => concat([uint32(asn), uint32(address)]),
  },
  tunnelEncapsulation: {
    code: AttributeCode.tunnelEncapsulation,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    // RFC 9012 §13: tunnel TLVs of 2-octet type and length, which fill the attribute exactly.
    isWellFormed: (bytes, from, to) => {
      let at = from;
      while (at + 4 <= to) {
        const end = at + 4 + readUint16(bytes, at + 2);
        if (end > to || !isWellFormedSubTlvs(bytes, at + 4, end)) return false;
        at = end;
      }
      return at === to && to > from;
    },
    ...opaque,
  },
  ipv6ExtendedCommunities: {
    code: AttributeCode.ipv6ExtendedCommunities,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    isWellFormed: listOf(20),
    ...opaque,
  },
  aigp: {
    code: AttributeCode.aigp,
    flags: OPTIONAL,
    whenMalformed: 'attribute-discard',
    // RFC 7311 §3: a TLV of type 1 has 11 octets.
    isWellFormed: (bytes, from, to) => to - from >= 3 && (bytes[from] !== 1 || readUint16(bytes, from + 1) === 11),
    ...opaque,
  },
  largeCommunities: {
    code: AttributeCode.largeCommunities,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    isWellFormed: listOf(12),
    decode: (bytes, from, to) => {
      const list: LargeCommunity[] = [];
      for (let at = from; at < to; at += 12) {
        const [global, local1, local2] = [readUint32(bytes, at), readUint32(bytes, at + 4), readUint32(bytes, at + 8)];
        list.push({ global, local1, local2 });
      }
      return list;
    },
    encode: (list) => uint32List(list.flatMap(({ global, local1, local2 }) => [global, local1, local2])),
  },
  onlyToCustomer: {
    code: AttributeCode.onlyToCustomer,
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    ...number32,
  },
  prefixSid: {
    code: AttributeCode.prefixSid,
    flags: OPTIONAL_TRANSITIVE,
    // RFC 8669 §6, and for the SRv6 TLVs RFC 9252 §7. From other ASs it is discarded unless an operator wants it (§3).
    whenMalformed: 'attribute-discard',
    internalOnly: true,
    isWellFormed: (bytes, from, to) => {
      let at = from;
      while (at + 3 <= to) at += 3 + readUint16(bytes, at + 1);
      return at === to && to > from;
    },
    ...opaque,
  },
};

/** Undefined: not a family of this session. */
function carriedFamily(afi: number, safi: number, { families }: WireContext): AddressFamily | undefined {
  const family = fromWireFamily(afi, safi);
  return family !== undefined && families?.includes(family) === false ? undefined : family;
}

const nlriForm = (family: 'ipv4-unicast' | 'ipv6-unicast', context: WireContext): [4 | 6, boolean] =>
  family === 'ipv4-unicast' ? [4, context.addPathIpv4] : [6, context.addPathIpv6];

/** RFC 9012 §2: sub-TLV types from 128 on have 2-octet lengths. */
function isWellFormedSubTlvs(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  while (at < to) {
    const long = (bytes[at] ?? 0) >= 128;
    const head = long ? 3 : 2;
    if (at + head > to) return false;
    at += head + (long ? readUint16(bytes, at + 1) : (bytes[at + 1] ?? 0));
  }
  return at === to;
}

/** Where the parts of MP_REACH_NLRI begin (RFC 4760 §3): AFI, SAFI, next hop length, next hop, reserved, NLRI. */
export const MP_REACH_NEXT_HOP = 4;

function isWellFormedMpReach(bytes: Uint8Array, from: number, to: number, context: WireContext): boolean {
  if (to - from < 5) return false;
  const nextHopLength = bytes[from + 3] ?? 0;
  const nlri = from + MP_REACH_NEXT_HOP + nextHopLength + 1;
  if (nlri > to) return false;
  const family = carriedFamily(readUint16(bytes, from), bytes[from + 2] ?? 0, context);
  if (family === undefined) return true;
  // RFC 7606 §7.11. IPv4 routes may have IPv6 next hops (RFC 8950); whether that was negotiated is the RIB's to judge.
  const fits = nextHopLength === 16 || nextHopLength === 32 || (family === 'ipv4-unicast' && nextHopLength === 4);
  return fits && isWellFormedNlri(bytes, nlri, to, ...nlriForm(family, context));
}

function decodeMpReach(bytes: Uint8Array, from: number, to: number, context: WireContext): MpReach {
  const afi = readUint16(bytes, from);
  const safi = bytes[from + 2] ?? 0;
  const nextHopLength = bytes[from + 3] ?? 0;
  const nextHops: Address[] = [];
  const size = nextHopLength === 4 ? 4 : 16;
  for (let at = 0; at + size <= nextHopLength; at += size) {
    nextHops.push(addressFromBytes(bytes, size === 4 ? 4 : 6, from + MP_REACH_NEXT_HOP + at));
  }
  const family = carriedFamily(afi, safi, context);
  const nlriAt = from + MP_REACH_NEXT_HOP + nextHopLength + 1;
  return { afi, safi, nextHops, nlri: family ? decodeNlri(bytes, nlriAt, to, ...nlriForm(family, context)) : [] };
}

function encodeMpReach({ afi, safi, nextHops, nlri }: MpReach): Uint8Array {
  const nextHop = concat(nextHops.map(addressToBytes));
  const head = concat([uint16(afi), Uint8Array.of(safi, nextHop.length), nextHop, Uint8Array.of(0)]);
  return concat([head, encodeNlri(nlri)]);
}

/** What judging an attribute takes, without its value's type. */
export type AttributeRule = Pick<
  AttributeDescriptor<unknown>,
  'code' | 'flags' | 'whenMalformed' | 'internalOnly' | 'holdsNlri' | 'isWellFormed'
>;

/** By attribute code; undefined: unknown to this speaker. */
export const attributeRules: readonly (AttributeRule | undefined)[] = (() => {
  const rules = new Array<AttributeRule | undefined>(256).fill(undefined);
  for (const rule of Object.values<AttributeRule>(attributes)) rules[rule.code] = rule;
  return rules;
})();
