// One block as a value: who has which ordinal. Every function returns a new block; none knows the datastore.
//
// The sequence number goes up by one with each change; an allocation remembers the number that it was made at, so that a
// late release of an address that has changed hands can be told from a rightful one.

import type { IpamAttributes, IpamBlock } from '../datastore/model/ipam.ts';
import type { Address } from '../net/address.ts';
import {
  addressAt,
  formatPrefix,
  ordinalOf,
  type Prefix,
  parsePrefix,
  prefixContains,
  prefixSize,
} from '../net/prefix.ts';

export interface Owner {
  readonly handle: string;
  /** Facts for people and garbage collection: pod, namespace, node, timestamp … */
  readonly attributes: Readonly<Record<string, string>>;
}

/** A fresh block; `affinity` as stored: `host:<node>`. */
export function newBlock(prefix: Prefix, affinity: string | null, nowMs: number): IpamBlock {
  const size = prefixSize(prefix);
  return {
    cidr: formatPrefix(prefix),
    affinity,
    ...(affinity === null ? {} : { affinity_claim_time: new Date(nowMs).toISOString() }),
    allocations: new Array<null>(size).fill(null),
    unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
    attributes: [],
    sequenceNumber: BigInt(nowMs) * 1_000_000n,
    sequenceNumberForAllocation: {},
    deleted: false,
  };
}

export function prefixOfBlock(block: IpamBlock): Prefix {
  const prefix = parsePrefix(block.cidr);
  if (!prefix) throw new Error(`block ${block.cidr} got past parseBlock`);
  return prefix;
}

export const isEmpty = (block: IpamBlock): boolean => block.allocations.every((index) => index === null);

/** Nobody has an address of it; some may be cooling down. */
export const isUnused = (block: IpamBlock): boolean =>
  block.allocations.every((index) => index === null || block.attributes[index]?.releasedAt !== undefined);

export interface Allocation {
  readonly block: IpamBlock;
  readonly addresses: readonly Address[];
}

/**
 * Gives up to `count` addresses to the owner, in the order of `unallocated`: the one free for the longest comes first.
 * `usable` passes over reserved addresses. Fewer addresses than asked for (or none) when the block runs out.
 */
export function allocate(
  block: IpamBlock,
  count: number,
  owner: Owner,
  usable: (address: Address) => boolean = () => true,
): Allocation {
  const prefix = prefixOfBlock(block);
  const ordinals: number[] = [];
  for (const ordinal of block.unallocated) {
    if (ordinals.length === count) break;
    if (block.allocations[ordinal] === null && usable(addressAt(prefix, ordinal))) ordinals.push(ordinal);
  }
  return {
    block: ordinals.length === 0 ? block : take(block, ordinals, owner),
    addresses: ordinals.map((ordinal) => addressAt(prefix, ordinal)),
  };
}

/** Gives this very address to the owner; undefined when somebody has it or it cools down. */
export function allocateAddress(block: IpamBlock, address: Address, owner: Owner): IpamBlock | undefined {
  const ordinal = ordinalOf(prefixOfBlock(block), address);
  return block.unallocated.includes(ordinal) ? take(block, [ordinal], owner) : undefined;
}

function take(block: IpamBlock, ordinals: readonly number[], owner: Owner): IpamBlock {
  const attributes = [...block.attributes];
  const wanted: IpamAttributes = { handle_id: owner.handle, secondary: owner.attributes };
  let index = attributes.findIndex((candidate) => sameOwner(candidate, wanted));
  if (index < 0) index = attributes.push(wanted) - 1;
  const allocations = [...block.allocations];
  const sequenceNumbers = { ...block.sequenceNumberForAllocation };
  for (const ordinal of ordinals) {
    allocations[ordinal] = index;
    sequenceNumbers[String(ordinal)] = block.sequenceNumber;
  }
  const taken = new Set(ordinals);
  return {
    ...block,
    allocations,
    unallocated: block.unallocated.filter((ordinal) => !taken.has(ordinal)),
    attributes,
    sequenceNumber: block.sequenceNumber + 1n,
    sequenceNumberForAllocation: sequenceNumbers,
  };
}

function sameOwner(a: IpamAttributes, b: IpamAttributes): boolean {
  if (a.releasedAt !== undefined || a.handle_id !== b.handle_id) return false;
  const [left, right] = [a.secondary ?? {}, b.secondary ?? {}];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => left[key] === right[key]);
}

/** Ordinals that bear the handle. */
export function ordinalsOfHandle(block: IpamBlock, handle: string): number[] {
  const indexes = new Set<number>();
  for (const [index, attributes] of block.attributes.entries()) if (attributes.handle_id === handle) indexes.add(index);
  return ordinalsWhere(block, (index) => indexes.has(index));
}

const ordinalsWhere = (block: IpamBlock, matches: (attributeIndex: number) => boolean): number[] => {
  const ordinals: number[] = [];
  for (const [ordinal, index] of block.allocations.entries())
    if (index !== null && matches(index)) ordinals.push(ordinal);
  return ordinals;
};

/**
 * Takes addresses from their owners. With a cooldown they stay out of `unallocated`, marked with the time of release,
 * until endCooldown() finds that the time has passed; without one they are free at once, last in line.
 */
export function release(block: IpamBlock, ordinals: readonly number[], nowMs: number, cooldownSec: number): IpamBlock {
  if (ordinals.length === 0) return block;
  const allocations = [...block.allocations];
  const attributes = [...block.attributes];
  const sequenceNumbers = { ...block.sequenceNumberForAllocation };
  const cooling = cooldownSec > 0 ? attributes.push({ releasedAt: new Date(nowMs).toISOString() }) - 1 : null;
  for (const ordinal of ordinals) {
    allocations[ordinal] = cooling;
    delete sequenceNumbers[String(ordinal)];
  }
  return withoutUnusedAttributes({
    ...block,
    allocations,
    unallocated: cooling === null ? [...block.unallocated, ...ordinals] : block.unallocated,
    attributes,
    sequenceNumber: block.sequenceNumber + 1n,
    sequenceNumberForAllocation: sequenceNumbers,
  });
}

/** Frees the addresses whose cooldown is over; the same block when there are none. */
export function endCooldown(block: IpamBlock, nowMs: number, cooldownSec: number): IpamBlock {
  const over = block.attributes.map(
    ({ releasedAt }) => releasedAt !== undefined && Date.parse(releasedAt) + cooldownSec * 1000 <= nowMs,
  );
  const ordinals = ordinalsWhere(block, (index) => over[index] === true);
  return release(block, ordinals, nowMs, 0);
}

/** Drops attributes that no ordinal refers to, and renumbers the rest. */
function withoutUnusedAttributes(block: IpamBlock): IpamBlock {
  const used = new Set(block.allocations);
  if (block.attributes.every((_, index) => used.has(index))) return block;
  const attributes: IpamAttributes[] = [];
  const renumbered = block.attributes.map((entry, index) => (used.has(index) ? attributes.push(entry) - 1 : null));
  return {
    ...block,
    attributes,
    allocations: block.allocations.map((index) => (index === null ? null : (renumbered[index] ?? null))),
  };
}

/** Who has the address; undefined when it is free, cooling down, or not of this block. */
export function ownerOf(block: IpamBlock, address: Address): IpamAttributes | undefined {
  const prefix = prefixOfBlock(block);
  if (!prefixContains(prefix, address)) return undefined;
  const index = block.allocations[ordinalOf(prefix, address)];
  const attributes = index === null || index === undefined ? undefined : block.attributes[index];
  return attributes?.releasedAt === undefined ? attributes : undefined;
}

/** The addresses at these ordinals. */
export function addressesOf(block: IpamBlock, ordinals: readonly number[]): Address[] {
  const prefix = prefixOfBlock(block);
  return ordinals.map((ordinal) => addressAt(prefix, ordinal));
}
