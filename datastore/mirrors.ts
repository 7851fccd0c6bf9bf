// Resources that say the same as IPAM's own keys, so that there is one truth.
//
// In etcd, Calico has two unconnected IPAM settings: the IPAMConfiguration resource, which its allocator does not read, and
// the plain key, which it does; and likewise BlockAffinity resources beside the affinity keys. Here, writing an
// IPAMConfiguration writes both in one transaction, and reading either kind shows what IPAM's keys say.

import { formatPrefix } from '../net/prefix.ts';
import type { KvEntry, KvStore, Operation } from './kv.ts';
import {
  affinityRoot,
  apiVersion,
  type BlockAffinity,
  encodeExactJson,
  type IPAMConfiguration,
  ipamConfigKey,
  parseAffinity,
  parseIpamConfig,
  partsOfAffinityKey,
  type Resource,
} from './model/index.ts';

/** What is written together with the resource. */
export function mirrorsOf(resource: Resource): readonly Operation[] {
  if (resource.kind !== 'IPAMConfiguration' || resource.metadata.name !== 'default') return [];
  const { spec } = resource;
  const value = encodeExactJson({
    strict_affinity: spec.strictAffinity ?? false,
    auto_allocate_blocks: spec.autoAllocateBlocks,
    maxBlocksPerHost: spec.maxBlocksPerHost ?? 0,
    ...(spec.kubeVirtVMAddressPersistence && { kubeVirtVMAddressPersistence: spec.kubeVirtVMAddressPersistence }),
    ipCooldownSeconds: spec.ipCooldownSeconds ?? 0,
  });
  return [{ kind: 'put', key: ipamConfigKey, value }];
}

/** The resource with the settings that are in force, when another client wrote only those; undefined when there are none. */
export async function ipamConfigurationInForce(
  store: KvStore,
  stored: IPAMConfiguration | undefined,
): Promise<IPAMConfiguration | undefined> {
  const entry = await store.get(ipamConfigKey);
  const config = entry && parseIpamConfig(entry.value);
  // Written together, both have one revision.
  if (!config || Number(stored?.metadata.resourceVersion ?? 0) >= entry.modRevision) return stored;
  return {
    kind: 'IPAMConfiguration',
    apiVersion,
    metadata: stored?.metadata ?? { name: 'default' },
    spec: {
      ...stored?.spec,
      strictAffinity: config.strict_affinity,
      autoAllocateBlocks: config.auto_allocate_blocks,
      maxBlocksPerHost: config.maxBlocksPerHost,
      ipCooldownSeconds: config.ipCooldownSeconds,
    },
  };
}

/** What the keys of BlockAffinity resources begin with, in IPAM's own data. */
export const affinitiesPrefix = affinityRoot;

/** Undefined for keys that are no affinity of a node. */
export function blockAffinityFrom(entry: KvEntry): BlockAffinity | undefined {
  const parts = partsOfAffinityKey(entry.key);
  const affinity = parseAffinity(entry.value);
  if (!parts || !affinity) return undefined;
  const cidr = formatPrefix(parts.prefix);
  return {
    kind: 'BlockAffinity',
    apiVersion,
    // Calico’s name for it with the Kubernetes datastore.
    metadata: { name: `${parts.node}-${cidr.replaceAll(/[.:/]/g, '-')}`, resourceVersion: String(entry.modRevision) },
    spec: {
      state: affinity.state,
      node: parts.node,
      type: 'host',
      cidr,
      deleted: affinity.deleted ? 'true' : 'false',
    },
  };
}
