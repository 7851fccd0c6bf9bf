// A plan: the blocks that one transaction will change, and the operations that change them.

import type { Compare, Operation, Revision } from '../datastore/kv.ts';
import { affinityKey, blockKey, encodeBlock, handleKey, type IpamBlock, parseHandle } from '../datastore/model/ipam.ts';
import type { Address } from '../net/address.ts';
import { type Prefix, prefixContains } from '../net/prefix.ts';
import { isEmpty, isUnused } from './block.ts';

export interface KnownBlock {
  readonly block: IpamBlock;
  /** 0: it does not exist yet. */
  readonly revision: Revision;
}

export interface BlockChange {
  readonly prefix: Prefix;
  readonly before: KnownBlock;
  readonly after: IpamBlock;
  /** No pool has the block any more: once nobody uses it, it goes with its affinity. */
  readonly orphaned?: boolean;
}

/** What one transaction will change. */
export interface Plan {
  /** By prefix text: of all requests that the transaction carries out. */
  readonly changes: Map<string, BlockChange>;
  /** Of the request that plans now. */
  readonly addresses: Address[];
}

export const emptyPlan = (): Plan => ({ changes: new Map(), addresses: [] });

/** A plan for one more request in the same transaction; the plan before stays as it is, should this one be refused. */
export const planUpon = ({ changes }: Plan): Plan => ({ changes: new Map(changes), addresses: [] });

/**
 * Blocks, and for the new ones their affinity: confirmed at once, for both are one transaction. A block that is nobody's
 * and empty has no reason to exist.
 */
export function blockWrites(plan: Plan, node: string): Operation[] {
  return [...plan.changes.values()].flatMap((change): Operation[] => {
    const { prefix, before, after } = change;
    const key = blockKey(prefix);
    if (isGivenUp(change)) {
      const owner = nodeOfAffinity(after.affinity);
      const block: Operation = { kind: 'delete', key };
      return owner === undefined ? [block] : [block, { kind: 'delete', key: affinityKey(owner, prefix) }];
    }
    const block: Operation = { kind: 'put', key, value: encodeBlock(after) };
    if (before.revision !== 0) return [block];
    const value = JSON.stringify({ state: 'confirmed', deleted: false });
    return [block, { kind: 'put', key: affinityKey(node, prefix), value }];
  });
}

/** Whether the change leaves nothing worth keeping: the block is removed. Affinities of other things than hosts stay. */
export function isGivenUp({ after, orphaned = false }: BlockChange): boolean {
  if (after.affinity === null && isEmpty(after)) return true;
  // Addresses that cool down are kept from whoever comes next; from a block of no pool nobody takes any.
  return orphaned && isUnused(after) && nodeOfAffinity(after.affinity) !== undefined;
}

const hostAffinity = 'host:';

const nodeOfAffinity = (affinity: string | null): string | undefined =>
  affinity?.startsWith(hostAffinity) ? affinity.slice(hostAffinity.length) : undefined;

/** How many operations blockWrites() makes of a change at most. */
export const writesOf = ({ before, orphaned }: BlockChange): number => (before.revision === 0 || orphaned ? 2 : 1);

/** The handle's new count of addresses; `current` is what is stored. */
export function handleWrite(handle: string, current: string | undefined, plan: Plan): Operation {
  const counts: Record<string, number> = { ...(current === undefined ? {} : parseHandle(current)?.block) };
  for (const address of plan.addresses) {
    for (const [name, { prefix }] of plan.changes) {
      if (prefixContains(prefix, address)) counts[name] = (counts[name] ?? 0) + 1;
    }
  }
  return { kind: 'put', key: handleKey(handle), value: JSON.stringify({ block: counts, deleted: false }) };
}

export const comparesBlock = ({ prefix, before }: BlockChange): Compare => ({
  key: blockKey(prefix),
  target: 'modRevision',
  is: before.revision,
});
