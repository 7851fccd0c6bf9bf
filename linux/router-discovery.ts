// Router solicitations and advertisements (RFC 4861) on one interface: how two routers on a link find each other's
// link-local address without being told, for BGP over interfaces without addresses.
//
//     advertisement: type 134(1) code(1) checksum(2) hop limit(1) flags(1) router lifetime(2) reachable(4) retransmit(4)
//     solicitation:  type 133(1) code(1) checksum(2) reserved(4)
//     both may end with options; we send our MAC: type 1(1) length in 8 bytes(1) address(6)
//
// The kernel fills in the checksum, and drops what does not come from this very link (hop limit below 255, RFC 4861 §6.1).

import { type Ipv6, parseIpv6 } from '../net/address.ts';
import { LinuxError } from './errors.ts';
import {
  AF_INET6,
  close,
  interfaceIndex,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  sendTo,
  setsockopt,
  socket,
} from './libc.ts';
import { insideNetns, type NetnsRef } from './netns.ts';
import type { PacketListener } from './packet-listener.ts';
import { socketAddress } from './sockaddr.ts';
import { attachFilter, minTtlFilter } from './socket-filter.ts';

const IPPROTO_IPV6 = 41;
const IPPROTO_ICMPV6 = 58;
const SO_BINDTODEVICE = 25;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_ADD_MEMBERSHIP = 20;
const ICMPV6_FILTER = 1;
const ROUTER_SOLICITATION = 133;
const ROUTER_ADVERTISEMENT = 134;
const OPTION_SOURCE_LINK_ADDRESS = 1;

const allNodes = parseIpv6('ff02::1') ?? 0n;
const allRouters = parseIpv6('ff02::2') ?? 0n;

export type RouterMessage =
  | { readonly kind: 'solicitation' }
  /** Lifetime 0: not a default router, or one that goes; the sender is a router all the same. */
  | { readonly kind: 'advertisement'; readonly lifetimeSec: number };

export interface RouterDiscoveryOptions {
  readonly netns?: NetnsRef;
  readonly device: string;
  /** Shared by all interfaces of a process. */
  readonly listener: PacketListener;
  /** `source` is link-local. Our own messages do not come back. */
  readonly onMessage: (message: RouterMessage, source: Ipv6) => void;
}

export class RouterDiscovery {
  readonly #fd: number;
  readonly #index: number;
  readonly #listener: PacketListener;

  /** Throws LinuxError: ENODEV when there is no such interface. */
  constructor(options: RouterDiscoveryOptions) {
    const { fd, index } = insideNetns(options.netns, () => openSocket(options.device));
    this.#fd = fd;
    this.#index = index;
    this.#listener = options.listener;
    options.listener.add(fd, (bytes, source) => {
      const message = parseRouterMessage(bytes);
      if (message && typeof source === 'bigint' && source >> 118n === 0x3fan) options.onMessage(message, source);
    });
  }

  /** Tells all nodes on the link that we are a router. Lifetime 0: but not their default one. */
  advertise(mac: Uint8Array, lifetimeSec = 0): void {
    const bytes = new Uint8Array(16);
    bytes[0] = ROUTER_ADVERTISEMENT;
    bytes[4] = 64;
    new DataView(bytes.buffer).setUint16(6, lifetimeSec);
    this.#send(withLinkAddress(bytes, mac), allNodes);
  }

  /** Asks all routers on the link to advertise themselves now. */
  solicit(mac: Uint8Array): void {
    const bytes = new Uint8Array(8);
    bytes[0] = ROUTER_SOLICITATION;
    this.#send(withLinkAddress(bytes, mac), allRouters);
  }

  close(): void {
    this.#listener.remove(this.#fd);
  }

  #send(bytes: Uint8Array, to: Ipv6): void {
    sendTo(this.#fd, bytes, socketAddress(to, 0, this.#index));
  }
}

function openSocket(device: string): { fd: number; index: number } {
  const index = interfaceIndex(device);
  if (index === undefined) throw new LinuxError('ENODEV', `router discovery on ${device}`);
  const fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMPV6);
  try {
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`));
    // A set bit blocks the type.
    const filter = new Uint8Array(32).fill(255);
    for (const type of [ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT])
      filter[type >> 3] = (filter[type >> 3] ?? 0) & ~(1 << (type & 7));
    setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, filter);
    attachFilter(fd, minTtlFilter(6, 255));
    for (const option of [IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS]) setsockopt(fd, IPPROTO_IPV6, option, 255);
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
    // struct ipv6_mreq: address(16) interface index(4).
    const membership = new Uint8Array(20);
    membership.set(socketAddress(allRouters, 0).subarray(8, 24));
    new DataView(membership.buffer).setUint32(16, index, true);
    setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, membership);
    return { fd, index };
  } catch (error) {
    close(fd);
    throw error;
  }
}

function withLinkAddress(message: Uint8Array, mac: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(message.length + 8);
  bytes.set(message);
  bytes.set([OPTION_SOURCE_LINK_ADDRESS, 1, ...mac.subarray(0, 6)], message.length);
  return bytes;
}

/** Undefined for other ICMPv6 messages and for what is too short (RFC 4861 §6.1). */
export function parseRouterMessage(bytes: Uint8Array): RouterMessage | undefined {
  // Both have code 0.
  if (bytes[1] !== 0) return undefined;
  if (bytes[0] === ROUTER_SOLICITATION && bytes.length >= 8) return { kind: 'solicitation' };
  if (bytes[0] !== ROUTER_ADVERTISEMENT || bytes.length < 16) return undefined;
  return { kind: 'advertisement', lifetimeSec: ((bytes[6] ?? 0) << 8) | (bytes[7] ?? 0) };
}
