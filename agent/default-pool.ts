// The ranges of the pools that are made when there is none: Calico's candidates for IPv4, the first that this machine does not
// use; for IPv6 a unique local range of the cluster's own.

import {
  formatPrefix,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  prefixesOverlap,
  prefixOf,
} from '../net/prefix.ts';
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

/** RFC 4193 §3.1: fd00::/8 and 40 random bits, so that no two clusters are likely to have the same. */
export function uniqueLocalRange(randomBytes: (count: number) => Uint8Array): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = randomBytes(5);
  const groups = [0xfd00 | a, (b << 8) | c, (d << 8) | e];
  const text = `${groups.map((group) => group.toString(16)).join(':')}::/48`;
  const prefix = parsePrefix(text);
  // Groups of zeros make it shorter.
  return prefix ? formatPrefix(prefix) : text;
}
