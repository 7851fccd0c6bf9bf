// The range of the pool that is made when there is none: Calico's candidates, the first that this machine does not use.

import { type Prefix, parseInterfaceAddress, parsePrefix, prefixesOverlap, prefixOf } from '../net/prefix.ts';
import type { Interfaces } from './autodetect.ts';

const candidates = ['192.168.0.0/16', ...Array.from({ length: 16 }, (_, i) => `172.${16 + i}.0.0/16`)];

/** Undefined when all of them are in use. */
export function defaultPoolRange(interfaces: Interfaces): string | undefined {
  const used = Object.values(interfaces).flatMap((addresses) =>
    (addresses ?? []).flatMap(({ cidr }): readonly Prefix[] => {
      const parsed = cidr === null ? undefined : parseInterfaceAddress(cidr);
      return parsed ? [prefixOf(parsed.address, parsed.length)] : [];
    }),
  );
  return candidates.find((candidate) => {
    const range = parsePrefix(candidate);
    return range && !used.some((own) => typeof own.address === 'number' && prefixesOverlap(range, own));
  });
}
