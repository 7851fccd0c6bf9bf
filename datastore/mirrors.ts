// Keys that say the same as a resource and are written with it, so that there is one truth.
//
// In etcd, Calico has two unconnected IPAM settings: the IPAMConfiguration resource, which its allocator does not read,
// and the plain key, which it does. Here, writing the resource writes both in one transaction.

import type { Operation } from './kv.ts';
import { encodeExactJson, ipamConfigKey, type Resource } from './model/index.ts';

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
