// What the deletion of a pool needs besides: no new addresses from it, and its empty blocks given up.
//
// Blocks with addresses in use stay with their nodes, so that running pods keep their routes; they go when the last address
// is released.

import type { Operation } from '../datastore/kv.ts';
import { affinityKey, blockRoot, parseBlock } from '../datastore/model/index.ts';
import type { Resources } from '../datastore/resources.ts';
import { isEmpty, prefixOfBlock } from '../ipam/block.ts';
import { parsePrefix, prefixCovers } from '../net/prefix.ts';
import { listAll } from './ipam-data.ts';

export interface Emptied {
  readonly blocksReleased: number;
  readonly addressesInUse: number;
}

/** Disables the pool, then releases its empty blocks, each with its affinity in one transaction. */
export async function emptyPool(resources: Resources, name: string): Promise<Emptied> {
  const pool = await resources.get('IPPool', name);
  if (!pool.spec.disabled) await resources.update<'IPPool'>({ ...pool, spec: { ...pool.spec, disabled: true } });
  const prefix = parsePrefix(pool.spec.cidr);
  let blocksReleased = 0;
  let addressesInUse = 0;
  for (const entry of await listAll(resources.store, blockRoot)) {
    const block = parseBlock(entry.value);
    if (!block || !prefix || !prefixCovers(prefix, prefixOfBlock(block))) continue;
    if (!isEmpty(block)) {
      addressesInUse += block.allocations.filter(
        (index) => index !== null && block.attributes[index]?.releasedAt === undefined,
      ).length;
      continue;
    }
    const node = block.affinity?.startsWith('host:') ? block.affinity.slice('host:'.length) : undefined;
    const then: Operation[] = [{ kind: 'delete', key: entry.key }];
    if (node !== undefined) then.push({ kind: 'delete', key: affinityKey(node, prefixOfBlock(block)) });
    const result = await resources.store.transact({
      compare: [{ key: entry.key, target: 'modRevision', is: entry.modRevision }],
      then,
    });
    if (result.succeeded) blocksReleased++;
    // An agent that did not know yet that the pool is disabled took an address from it meanwhile.
    else addressesInUse++;
  }
  return { blocksReleased, addressesInUse };
}
