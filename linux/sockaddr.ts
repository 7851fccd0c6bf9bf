// `struct sockaddr` as bytes, for bind() and for socket options.

import { type Address, addressFromBytes, addressToBytes } from '../net/address.ts';
import { AF_INET, AF_INET6, AF_NETLINK } from './libc.ts';

/**
 * sockaddr_in (16 bytes) or sockaddr_in6 (28). `scopeId` is the interface index that a link-local address needs.
 *
 *     in:  family(2, host order) port(2, big-endian) address(4) zero(8)
 *     in6: family(2) port(2) flowinfo(4) address(16) scope id(4)
 */
export function socketAddress(address: Address, port: number, scopeId = 0): Uint8Array {
  const isIpv4 = typeof address === 'number';
  const bytes = new Uint8Array(isIpv4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, isIpv4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(addressToBytes(address), isIpv4 ? 4 : 8);
  if (!isIpv4) view.setUint32(24, scopeId, true);
  return bytes;
}

/** Reads what getsockname() gave; undefined for a family other than IPv4 and IPv6. */
export function parseSocketAddress(bytes: Uint8Array): { address: Address; port: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const family = view.getUint16(0, true);
  if (family === AF_INET) return { address: addressFromBytes(bytes, 4, 4), port: view.getUint16(2) };
  if (family === AF_INET6) return { address: addressFromBytes(bytes, 6, 8), port: view.getUint16(2) };
  return undefined;
}

/** sockaddr_nl: family(2) pad(2) port id(4) groups(4). Port id 0 lets the kernel choose one. */
export function netlinkAddress(groups = 0): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, groups, true);
  return bytes;
}
