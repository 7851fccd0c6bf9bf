// Which prefixes can not be routes of a unicast family: RFC 4271 §6.3 has them ignored, not the session ended. A peer that
// announces ff00::/8, fe80::/10 or 127.0.0.0/8 would otherwise take away what the host itself lives by.

import { familyOfPrefix, type Prefix, parsePrefix, prefixCovers } from '../../net/prefix.ts';

/** RFC 1122 §3.2.1.3: this network, loopback, multicast, broadcast; RFC 4291 §2.4: unspecified, loopback, link-local, multicast. */
const notUnicast: readonly Prefix[] = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '224.0.0.0/4',
  '255.255.255.255/32',
  '::/128',
  '::1/128',
  'fe80::/10',
  'ff00::/8',
].flatMap((text) => parsePrefix(text) ?? []);

export const isUnicast = (prefix: Prefix): boolean => !notUnicast.some((outer) => prefixCovers(outer, prefix));

/** RFC 4271 §6.3, RFC 2545 §3: next hops are addresses of hosts. `::` beside a link-local one says that there is no other. */
export function isHostNextHop(bytes: Uint8Array, from: number, length: number): boolean {
  const first = bytes[from] ?? 0;
  if (length === 4) return first > 0 && first < 224;
  if (first === 0xff) return false;
  for (let i = 0; i < 15; i++) if (bytes[from + i] !== 0) return true;
  return length === 32 && bytes[from + 15] === 0;
}

/** A quick look at an encoded prefix: true for nearly all that are unicast, and for none that are not. */
export function isSurelyUnicast(bytes: Uint8Array, at: number, family: 4 | 6): boolean {
  const length = bytes[at] ?? 0;
  const first = bytes[at + 1] ?? 0;
  if (family === 4) return length < 4 || (first !== 0 && first !== 127 && first < 224);
  return length < 8 || (first !== 0 && first < 0xfe);
}

/** Why a prefix is refused; undefined when it is not. */
export const unicastProblem = (prefix: Prefix): string | undefined =>
  isUnicast(prefix) ? undefined : `not a prefix of ${familyOfPrefix(prefix) === 4 ? 'IPv4' : 'IPv6'} unicast addresses`;
