// The IPAM data: not resources, but plain JSON below /calico/ipam/v2, in Calico's format.
//
//   assignment/ipv4/block/10.0.0.0-26      the block: which ordinal is whose
//   host/<node>/ipv4/block/10.0.0.0-26     the affinity: this node may hand out addresses of that block
//   handle/<id>                            how many addresses of which blocks one owner (a container) has
//   config                                 settings of the whole cluster
//
// Sequence numbers start as nanoseconds since 1970 and do not fit a JavaScript number, so they are bigints here, and
// reading and writing keeps every digit. Fields that we do not know are kept when a block is written back.

import { type Family, formatAddress } from '../../net/address.ts';
import { familyOfPrefix, type Prefix, parsePrefix } from '../../net/prefix.ts';

export const ipamRoot = '/calico/ipam/v2/';
export const blockRoot = `${ipamRoot}assignment/`;
export const affinityRoot = `${ipamRoot}host/`;
export const handleRoot = `${ipamRoot}handle/`;
export const ipamConfigKey = `${ipamRoot}config`;

export interface IpamBlock {
  readonly cidr: string;
  /** `host:<node>`, `virtual:load-balancer`, or null: nobody's. */
  readonly affinity: string | null;
  readonly affinity_claim_time?: string;
  /** One per ordinal: null when free, else an index into `attributes`. */
  readonly allocations: readonly (number | null)[];
  /** Free ordinals, the one to hand out next first. */
  readonly unallocated: readonly number[];
  readonly attributes: readonly IpamAttributes[];
  readonly sequenceNumber: bigint;
  /** By ordinal, the block's sequence number at its allocation. */
  readonly sequenceNumberForAllocation: Readonly<Record<string, bigint>>;
  readonly deleted: boolean;
}

/** One owner's facts, shared by all its addresses in the block. */
export interface IpamAttributes {
  readonly handle_id?: string | null;
  readonly secondary?: Readonly<Record<string, string>> | null;
  /** RFC 3339; the address is free again once the cooldown has passed. */
  readonly releasedAt?: string;
}

export type AffinityState = 'pending' | 'confirmed' | 'pendingDeletion';

export interface IpamAffinity {
  readonly state: AffinityState;
  readonly deleted: boolean;
}

export interface IpamHandle {
  /** Addresses by block prefix: {"10.0.0.0/26": 2}. */
  readonly block: Readonly<Record<string, number>>;
  readonly deleted: boolean;
}

export interface IpamConfig {
  /** Addresses are never borrowed from another node's block. */
  readonly strict_affinity: boolean;
  readonly auto_allocate_blocks: boolean;
  /** 0: the default of 20. */
  readonly maxBlocksPerHost: number;
  readonly ipCooldownSeconds: number;
}

export const defaultIpamConfig: IpamConfig = {
  strict_affinity: false,
  auto_allocate_blocks: true,
  maxBlocksPerHost: 0,
  ipCooldownSeconds: 0,
};

const familyPart = (family: Family): string => `ipv${family}`;
const prefixPart = (prefix: Prefix): string => `${formatAddress(prefix.address)}-${prefix.length}`;

export const blockKey = (prefix: Prefix): string =>
  `${blockRoot}${familyPart(familyOfPrefix(prefix))}/block/${prefixPart(prefix)}`;

/** Prefix of all block keys of one family. */
export const blocksOf = (family: Family): string => `${blockRoot}${familyPart(family)}/block/`;

export const affinityKey = (node: string, prefix: Prefix): string =>
  `${affinityRoot}${node}/${familyPart(familyOfPrefix(prefix))}/block/${prefixPart(prefix)}`;

/** Prefix of all affinity keys of one node and family. */
export const affinitiesOf = (node: string, family: Family): string =>
  `${affinityRoot}${node}/${familyPart(family)}/block/`;

export const handleKey = (id: string): string => `${handleRoot}${id}`;

/** The block prefix that a block key names; undefined for any other key. */
export function prefixOfBlockKey(key: string): Prefix | undefined {
  const match = /^\/calico\/ipam\/v2\/assignment\/ipv[46]\/block\/([^/]+)$/.exec(key);
  return match?.[1] === undefined ? undefined : parsePrefixPart(match[1]);
}

/** Node and block of an affinity key; undefined for any other key. */
export function partsOfAffinityKey(key: string): { node: string; prefix: Prefix } | undefined {
  const match = /^\/calico\/ipam\/v2\/host\/([^/]+)\/ipv[46]\/block\/([^/]+)$/.exec(key);
  const prefix = match?.[2] === undefined ? undefined : parsePrefixPart(match[2]);
  return match?.[1] === undefined || !prefix ? undefined : { node: match[1], prefix };
}

export type IpamKey =
  | { readonly kind: 'block'; readonly prefix: Prefix }
  | { readonly kind: 'affinity'; readonly node: string; readonly prefix: Prefix }
  | { readonly kind: 'handle'; readonly handle: string }
  | { readonly kind: 'config' };

/** What an IPAM key is about; undefined for keys that are not IPAM's, for its legacy ones and for virtual affinities. */
export function parseIpamKey(key: string): IpamKey | undefined {
  if (key === ipamConfigKey) return { kind: 'config' };
  if (key.startsWith(handleRoot)) return { kind: 'handle', handle: key.slice(handleRoot.length) };
  const prefix = prefixOfBlockKey(key);
  if (prefix) return { kind: 'block', prefix };
  const parts = partsOfAffinityKey(key);
  return parts && { kind: 'affinity', ...parts };
}

function parsePrefixPart(part: string): Prefix | undefined {
  const dash = part.lastIndexOf('-');
  return dash < 0 ? undefined : parsePrefix(`${part.slice(0, dash)}/${part.slice(dash + 1)}`);
}

// Integers of sixteen digits and more lose digits as JavaScript numbers. They travel through JSON.parse and
// JSON.stringify as strings with this mark; no text stored by anybody starts with a NUL.
const bigMark = '\u0000big:';
const stringOrBigInteger = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;
const markedInteger = /"\\u0000big:(-?\d+)"/g;

/** JSON.parse that keeps integers of sixteen and more digits exact, as bigints. */
export function parseExactJson(text: string): unknown {
  const marked = text.replace(stringOrBigInteger, (token) =>
    token.startsWith('"') ? token : JSON.stringify(bigMark + token),
  );
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === 'string' && value.startsWith(bigMark) ? BigInt(value.slice(bigMark.length)) : value,
  );
}

/** JSON.stringify that writes bigints as plain integers. */
export function encodeExactJson(value: unknown, indent?: number): string {
  const exact = (_key: string, field: unknown): unknown => (typeof field === 'bigint' ? bigMark + field : field);
  const text = JSON.stringify(value, exact, indent);
  return text.replace(markedInteger, '$1');
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const toBigInt = (value: unknown): bigint => {
  if (typeof value === 'bigint') return value;
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : 0n;
};

/** Reads a stored block; undefined when it is not one (which counts as "nobody may allocate from it"). */
export function parseBlock(text: string): IpamBlock | undefined {
  const raw = parseOrUndefined(text);
  if (!isRecord(raw) || typeof raw['cidr'] !== 'string' || !parsePrefix(raw['cidr'])) return undefined;
  const { allocations, unallocated, attributes } = raw;
  if (!Array.isArray(allocations) || !Array.isArray(unallocated)) return undefined;
  const sequenceNumbers = isRecord(raw['sequenceNumberForAllocation']) ? raw['sequenceNumberForAllocation'] : {};
  return {
    ...raw,
    cidr: raw['cidr'],
    // Very old blocks have hostAffinity instead.
    affinity: typeof raw['affinity'] === 'string' ? raw['affinity'] : hostAffinity(raw['hostAffinity']),
    allocations: allocations.map((index: unknown) => (typeof index === 'number' ? index : null)),
    unallocated: unallocated.filter((ordinal: unknown) => typeof ordinal === 'number'),
    attributes: Array.isArray(attributes) ? attributes.filter(isRecord) : [],
    sequenceNumber: toBigInt(raw['sequenceNumber']),
    sequenceNumberForAllocation: Object.fromEntries(
      Object.entries(sequenceNumbers).map(([ordinal, number]) => [ordinal, toBigInt(number)]),
    ),
    deleted: raw['deleted'] === true,
  };
}

const hostAffinity = (host: unknown): string | null =>
  typeof host === 'string' && host !== '' ? `host:${host}` : null;

export const encodeBlock = (block: IpamBlock): string => encodeExactJson(block);

/** Reads a stored affinity. An empty value means confirmed, in very old data. */
export function parseAffinity(text: string): IpamAffinity | undefined {
  if (text === '') return { state: 'confirmed', deleted: false };
  const raw = parseOrUndefined(text);
  if (!isRecord(raw)) return undefined;
  const state = raw['state'];
  if (state !== 'pending' && state !== 'confirmed' && state !== 'pendingDeletion') return undefined;
  return { ...raw, state, deleted: raw['deleted'] === true };
}

export function parseHandle(text: string): IpamHandle | undefined {
  const raw = parseOrUndefined(text);
  if (!isRecord(raw) || !isRecord(raw['block'])) return undefined;
  const counts = Object.entries(raw['block']).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  );
  return { ...raw, block: Object.fromEntries(counts), deleted: raw['deleted'] === true };
}

export function parseIpamConfig(text: string): IpamConfig | undefined {
  const raw = parseOrUndefined(text);
  if (!isRecord(raw)) return undefined;
  const known = Object.entries(raw).filter(([, value]) => value !== null && value !== undefined);
  return { ...defaultIpamConfig, ...Object.fromEntries(known) };
}

function parseOrUndefined(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}
