// Checks that need other resources: overlapping pools, tiers that policies name.

import { parsePrefix, prefixesOverlap } from '../net/prefix.ts';
import type { Fault, IPPool, Kind, Resource, ResourceId, ResourceOf } from './model/index.ts';

/** As much of Resources as the checks need. */
export interface ResourceReader {
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
      return previous ? [] : overlappingPools(resource, (await reader.list('IPPool')).resources);
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
