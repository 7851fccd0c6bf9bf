// Which routes to this node's pods are announced beside its blocks. A block speaks for all addresses inside it, but not for
//
//     a pod whose address lies in no block of this node    an address borrowed from another node's block
//     a pod whose route has a better metric than normal    the pod has just moved here, and its former node may still
//                                                          announce it

import { type Prefix, prefixCovers } from '../../net/prefix.ts';
import type { WorkloadRoute } from '../edges.ts';
import type { FibSettings, OriginatedRoute, WorkloadSettings } from '../settings.ts';

const defaultPriority = 1024;

export function announcedWorkloads(
  routes: readonly WorkloadRoute[],
  blocks: readonly OriginatedRoute[],
  { inside, communities }: WorkloadSettings,
  fib: Pick<FibSettings, 'priority' | 'priority6'> = { priority: defaultPriority },
): OriginatedRoute[] {
  return routes.flatMap(({ prefix, priority }): OriginatedRoute[] => {
    if (!inside.some((pool) => prefixCovers(pool, prefix))) return [];
    const normal = typeof prefix.address === 'number' ? fib.priority : (fib.priority6 ?? fib.priority);
    // None given: 0, or for IPv6 the kernel's 1024.
    const isElevated = priority > 0 && priority < Math.min(normal, defaultPriority);
    if (!isElevated && blocks.some((block) => prefixCovers(block.prefix, prefix))) return [];
    return [
      {
        prefix,
        blackhole: false,
        communities: communitiesOf(prefix, communities),
        ...(isElevated ? { priority } : {}),
      },
    ];
  });
}

export const communitiesOf = (prefix: Prefix, given: WorkloadSettings['communities']): OriginatedRoute['communities'] =>
  given.flatMap((one) => (prefixCovers(one.prefix, prefix) ? one.communities : []));
