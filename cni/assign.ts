// The datastore's side of ADD: block, handle and WorkloadEndpoint in one transaction.
//
// It is tried as if nothing were there, which is the usual case and costs nothing but the transaction. Only when that fails
// is it read what an earlier container of the same pod, or an ADD that nobody cleaned up after, has left.

import type { KvEntry } from '../datastore/kv.ts';
import { handleKey } from '../datastore/model/index.ts';
import type { AssignResult } from '../ipam/allocator.ts';
import type { Address } from '../net/address.ts';
import { requestedAddresses } from './attachment.ts';
import type { CniContext } from './context.ts';
import { decodeEndpoint, encodeEndpoint } from './endpoint.ts';
import { CniError } from './errors.ts';
import { ensureNetworkProfile } from './profile.ts';
import type { Target } from './target.ts';

export interface Assigned {
  readonly addresses: readonly Address[];
  /** Revision of the transaction: what Felix is waited for. */
  readonly revision: number;
}

/** Keys of an allocation's attributes, beside Calico's `pod`, `namespace`, `node` and `timestamp`. */
export const attachmentAttributes = { network: 'network', containerId: 'container', ifname: 'interface' } as const;

/** Throws CniError when there is no address to have. */
export async function assign(context: CniContext, target: Target, mac: string): Promise<Assigned> {
  const { attachment, configuration } = target;
  if (!attachment.pod && !configuration.profiles) await ensureNetworkProfile(context, configuration.name);
  const first = await assignOver(context, target, mac, undefined);
  if (first.kind === 'assigned') return first;
  if (first.reason !== 'conflict') throw new CniError('noAddress', first.message);
  const { store, allocator } = context;
  const [previous, handle] = await Promise.all([store.get(target.endpointKey), store.get(handleKey(target.handle))]);
  if (handle) await allocator.releaseByHandle(target.handle);
  const second = await assignOver(context, target, mac, previous);
  if (second.kind === 'assigned') return second;
  throw new CniError(second.reason === 'conflict' ? 'tryAgainLater' : 'noAddress', second.message);
}

/** Writes the endpoint over `previous`, which must still be what is stored. */
function assignOver(
  { allocator, nodeName }: CniContext,
  target: Target,
  mac: string,
  previous: KvEntry | undefined,
): Promise<AssignResult> {
  const { attachment, configuration, identity } = target;
  const stored = decodeEndpoint(previous);
  return allocator.assign({
    handle: target.handle,
    count: { 4: configuration.assignIpv4 ? 1 : 0, 6: configuration.assignIpv6 ? 1 : 0 },
    addresses: requestedAddresses(attachment, configuration.addresses),
    ...(configuration.pools && { pools: configuration.pools }),
    attributes: {
      node: nodeName,
      ...(attachment.pod && { pod: attachment.pod.name, namespace: attachment.pod.namespace }),
      [attachmentAttributes.network]: configuration.name,
      [attachmentAttributes.containerId]: attachment.containerId,
      [attachmentAttributes.ifname]: attachment.ifname,
      timestamp: new Date().toISOString(),
    },
    also: (addresses) => {
      const facts = { attachment, configuration, identity, nodeName, mac, addresses, previous: stored };
      const value = encodeEndpoint({ ...facts, now: Date.now() });
      return {
        compare: [{ key: target.endpointKey, target: 'modRevision', is: previous?.modRevision ?? 0 }],
        then: [{ kind: 'put', key: target.endpointKey, value }],
      };
    },
  });
}
