// Checks that need other resources: overlapping pools, tiers that policies name.

import { familyOfPrefix, formatPrefix, parsePrefix, prefixesOverlap } from '../net/prefix.ts';
import type { KvStore } from './kv.ts';
import {
  blocksOf,
  type Fault,
  type IPPool,
  type Kind,
  prefixOfBlockKey,
  type Resource,
  type ResourceId,
  type ResourceOf,
} from './model/index.ts';
import { pagesOf } from './pages.ts';

/** As much of Resources as the checks need. */
export interface ResourceReader {
  readonly store: KvStore;
  find<K extends Kind>(kind: K, name: string, namespace?: string): Promise<ResourceOf<K> | undefined>;
  list<K extends Kind>(kind: K, namespace?: string): Promise<{ readonly resources: readonly ResourceOf<K>[] }>;
}

/** Faults of a resource among the others; `previous` is what it replaces. */
export async function admit(
  resource: Resource,
  previous: Resource | undefined,
  reader: ResourceReader,
): Promise<readonly Fault[]> {
  switch (resource.kind) {
    case 'IPPool':
      return previous?.kind === 'IPPool'
        ? changedUse(resource, previous)
        : [
            ...overlappingPools(resource, (await reader.list('IPPool')).resources),
            ...(await foreignBlocks(resource, reader.store)),
          ];
    case 'NetworkPolicy':
    case 'GlobalNetworkPolicy':
    case 'StagedNetworkPolicy':
    case 'StagedGlobalNetworkPolicy':
      return missingTier(resource.spec.tier, reader);
    default:
      return [];
  }
}

function overlappingPools(pool: IPPool, others: readonly IPPool[]): readonly Fault[] {
  const prefix = parsePrefix(pool.spec.cidr);
  const overlapping = others.find((other) => {
    const prefixOfOther = parsePrefix(other.spec.cidr);
    return (
      prefix && prefixOfOther && other.metadata.name !== pool.metadata.name && prefixesOverlap(prefix, prefixOfOther)
    );
  });
  if (!overlapping) return [];
  const problem = `overlaps IPPool ${overlapping.metadata.name} (${overlapping.spec.cidr})`;
  return [{ path: 'spec.cidr', value: pool.spec.cidr, problem, remedy: 'choose a range that no pool has' }];
}

function changedUse(pool: IPPool, before: IPPool): readonly Fault[] {
  const balances = (uses: readonly string[]): boolean => uses.includes('LoadBalancer');
  if (!balances(before.spec.allowedUses) || balances(pool.spec.allowedUses)) return [];
  const remedy = 'keep LoadBalancer, or make another pool';
  return [
    { path: 'spec.allowedUses', value: pool.spec.allowedUses, problem: 'cannot change from LoadBalancer', remedy },
  ];
}

/** Blocks that a former pool has left, of another size: their addresses would be counted twice. */
async function foreignBlocks(pool: IPPool, store: KvStore): Promise<readonly Fault[]> {
  const prefix = parsePrefix(pool.spec.cidr);
  if (!prefix) return [];
  for await (const { entries } of pagesOf(store, blocksOf(familyOfPrefix(prefix)), { keysOnly: true })) {
    for (const { key } of entries) {
      const block = prefixOfBlockKey(key);
      if (!block || block.length === pool.spec.blockSize || !prefixesOverlap(prefix, block)) continue;
      const problem = `does not fit ${formatPrefix(block)}, a block in this range with addresses in use`;
      return [
        {
          path: 'spec.blockSize',
          value: pool.spec.blockSize,
          problem,
          remedy: `set ${block.length}, or release its addresses`,
        },
      ];
    }
  }
  return [];
}

async function missingTier(tier: string, reader: ResourceReader): Promise<readonly Fault[]> {
  // The default tier is made by bootstrap, and works as if it were there before.
  if (tier === 'default' || (await reader.find('Tier', tier))) return [];
  return [{ path: 'spec.tier', value: tier, problem: `there is no Tier ${tier}`, remedy: 'create the Tier first' }];
}

const tieredKinds = [
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
] as const;

/** Why a resource cannot be deleted now; undefined when it can. */
export async function admitDeletion(id: ResourceId, reader: ResourceReader): Promise<string | undefined> {
  if (id.kind !== 'Tier') return undefined;
  for (const kind of tieredKinds) {
    const { resources } = await reader.list(kind);
    const policy = (resources as readonly Resource[]).find(
      (found) => 'tier' in found.spec && found.spec.tier === id.name,
    );
    if (policy) return `still has policies, such as ${kind} ${policy.metadata.name}`;
  }
  return undefined;
}
