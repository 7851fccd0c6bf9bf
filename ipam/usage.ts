// What the addresses are doing: counts per pool and block, and the places where the data contradicts itself.
//
// A pure summary of all blocks, affinities and handles at one revision; `twillctl ipam show` and `ipam check` print it.

import type { IpamAffinity, IpamBlock, IpamHandle } from '../datastore/model/ipam.ts';
import { type Address, formatAddress } from '../net/address.ts';
import { addressAt, formatPrefix, type Prefix, parsePrefix, prefixCovers, prefixSize } from '../net/prefix.ts';
import { ordinalsOfHandle, prefixOfBlock } from './block.ts';

export interface BlockUsage {
  readonly prefix: Prefix;
  /** Node with the affinity; undefined when nobody has it. */
  readonly node: string | undefined;
  readonly size: number;
  readonly inUse: number;
  /** Released, waiting for their cooldown to end. */
  readonly coolingDown: number;
  /** In use by another node than the one with the affinity. */
  readonly borrowed: readonly BorrowedAddress[];
}

export interface BorrowedAddress {
  readonly address: Address;
  readonly node: string;
  readonly handle: string | undefined;
}

export interface PoolUsage {
  readonly name: string;
  readonly prefix: Prefix;
  /** Addresses in the pool; a float beyond 2^53. */
  readonly size: number;
  readonly inUse: number;
  readonly blocks: readonly BlockUsage[];
}

export function blockUsage(block: IpamBlock): BlockUsage {
  const prefix = prefixOfBlock(block);
  const node = block.affinity?.startsWith('host:') ? block.affinity.slice('host:'.length) : undefined;
  let inUse = 0;
  let coolingDown = 0;
  const borrowed: BorrowedAddress[] = [];
  for (const [ordinal, index] of block.allocations.entries()) {
    if (index === null) continue;
    const attributes = block.attributes[index];
    if (attributes?.releasedAt !== undefined) {
      coolingDown++;
      continue;
    }
    inUse++;
    const holder = attributes?.secondary?.['node'];
    if (holder === undefined || holder === node) continue;
    borrowed.push({ address: addressAt(prefix, ordinal), node: holder, handle: attributes?.handle_id ?? undefined });
  }
  return { prefix, node, size: block.allocations.length, inUse, coolingDown, borrowed };
}

/** Each block is counted in the smallest pool that covers it; blocks of no pool are in `orphans`. */
export function poolUsage(
  pools: readonly { readonly name: string; readonly prefix: Prefix }[],
  blocks: readonly IpamBlock[],
): { readonly pools: readonly PoolUsage[]; readonly orphans: readonly BlockUsage[] } {
  const smallestFirst = [...pools].sort((a, b) => b.prefix.length - a.prefix.length);
  const byPool = new Map<string, BlockUsage[]>(pools.map(({ name }) => [name, []]));
  const orphans: BlockUsage[] = [];
  for (const block of blocks) {
    const usage = blockUsage(block);
    const pool = smallestFirst.find((candidate) => prefixCovers(candidate.prefix, usage.prefix));
    (pool ? byPool.get(pool.name) : orphans)?.push(usage);
  }
  return {
    pools: pools.map(({ name, prefix }) => {
      const usages = byPool.get(name) ?? [];
      const inUse = usages.reduce((sum, usage) => sum + usage.inUse, 0);
      return { name, prefix, size: prefixSize(prefix), inUse, blocks: usages };
    }),
    orphans,
  };
}

export interface IpamSnapshot {
  readonly blocks: readonly IpamBlock[];
  readonly affinities: readonly { readonly node: string; readonly prefix: Prefix; readonly affinity: IpamAffinity }[];
  readonly handles: readonly { readonly id: string; readonly handle: IpamHandle }[];
  /** Nodes that exist. */
  readonly nodes: ReadonlySet<string>;
  /** Addresses that workload endpoints have, with the endpoint's name. */
  readonly endpoints: ReadonlyMap<Address, string>;
}

export interface IpamProblem {
  readonly kind:
    | 'affinity-without-block'
    | 'block-without-affinity'
    | 'handle-miscounts'
    | 'address-without-endpoint'
    | 'endpoint-without-address'
    | 'unknown-node';
  /** The block, address or handle that is wrong. */
  readonly subject: string;
  readonly message: string;
}

/** Every place where blocks, affinities, handles and endpoints disagree. */
export function ipamProblems(snapshot: IpamSnapshot): IpamProblem[] {
  const blocks = new Map(snapshot.blocks.map((block) => [block.cidr, block]));
  return [
    ...affinityProblems(snapshot, blocks),
    ...blockProblems(snapshot),
    ...handleProblems(snapshot, blocks),
    ...addressProblems(snapshot),
  ];
}

function affinityProblems(snapshot: IpamSnapshot, blocks: ReadonlyMap<string, IpamBlock>): IpamProblem[] {
  return snapshot.affinities.flatMap(({ node, prefix, affinity }): IpamProblem[] => {
    const subject = formatPrefix(prefix);
    const problems: IpamProblem[] = [];
    if (!snapshot.nodes.has(node)) {
      problems.push({
        kind: 'unknown-node',
        subject,
        message: `node ${node} has an affinity for it but does not exist`,
      });
    }
    if (affinity.state === 'confirmed' && blocks.get(subject)?.affinity !== `host:${node}`) {
      problems.push({
        kind: 'affinity-without-block',
        subject,
        message: `node ${node} has an affinity for it, the block says otherwise`,
      });
    }
    return problems;
  });
}

function blockProblems(snapshot: IpamSnapshot): IpamProblem[] {
  const claimed = new Set(snapshot.affinities.map(({ node, prefix }) => `${node} ${formatPrefix(prefix)}`));
  return snapshot.blocks.flatMap((block): IpamProblem[] => {
    const { node } = blockUsage(block);
    if (node === undefined || claimed.has(`${node} ${block.cidr}`)) return [];
    return [
      {
        kind: 'block-without-affinity',
        subject: block.cidr,
        message: `the block says node ${node}, which has no affinity for it`,
      },
    ];
  });
}

function handleProblems(snapshot: IpamSnapshot, blocks: ReadonlyMap<string, IpamBlock>): IpamProblem[] {
  return snapshot.handles.flatMap(({ id, handle }) =>
    Object.entries(handle.block).flatMap(([cidr, count]): IpamProblem[] => {
      const block = blocks.get(cidr);
      const found = block ? ordinalsOfHandle(block, id).length : 0;
      if (found === count) return [];
      return [
        {
          kind: 'handle-miscounts',
          subject: id,
          message: `counts ${count} addresses of ${cidr}, where it has ${found}`,
        },
      ];
    }),
  );
}

/** Pods' addresses against endpoints; tunnel and load-balancer addresses have no endpoint and are left out. */
function addressProblems(snapshot: IpamSnapshot): IpamProblem[] {
  const problems: IpamProblem[] = [];
  const owned = new Set<Address>();
  for (const block of snapshot.blocks) {
    const prefix = parsePrefix(block.cidr);
    for (const [ordinal, index] of block.allocations.entries()) {
      const attributes = index === null ? undefined : block.attributes[index];
      if (!prefix || !attributes || attributes.releasedAt !== undefined) continue;
      const address = addressAt(prefix, ordinal);
      owned.add(address);
      const pod = attributes.secondary?.['pod'];
      if (pod === undefined || snapshot.endpoints.has(address)) continue;
      const message = `is held for pod ${attributes.secondary?.['namespace'] ?? '?'}/${pod}, which has no endpoint with it`;
      problems.push({ kind: 'address-without-endpoint', subject: formatAddress(address), message });
    }
  }
  for (const [address, endpoint] of snapshot.endpoints) {
    if (owned.has(address)) continue;
    const message = `is used by ${endpoint} but not allocated: another pod may get it`;
    problems.push({ kind: 'endpoint-without-address', subject: formatAddress(address), message });
  }
  return problems;
}
