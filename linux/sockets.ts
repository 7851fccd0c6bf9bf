// Sockets with what Node's own cannot set: TCP-MD5 keys (RFC 2385), the TTL security check (RFC 5082, GTSM), a bound
// device, a network namespace. They are made here as descriptors and handed to Node:
//
//     net.createServer(onConnection).listen({ fd })            // listeningSocket()
//     new net.Socket({ fd }).connect({ host, port })           // connectingSocket()
//     dgram.createSocket('udp4').bind({ fd })                  // udpSocket()
//
// Node then owns the descriptor and closes it.

import { type Address, familyOf } from '../net/address.ts';
import type { Prefix } from '../net/prefix.ts';
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  getsockname,
  interfaceIndex,
  listen,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  setsockopt,
  socket,
} from './libc.ts';
import { insideNetns, type NetnsRef } from './netns.ts';
import { parseSocketAddress, socketAddress } from './sockaddr.ts';
import { attachFilter, minTtlFilter } from './socket-filter.ts';

const SO_REUSEADDR = 2;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SO_BINDTODEVICE = 25;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_FREEBIND = 15;
const IP_MINTTL = 21;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_MD5SIG = 14;
const TCP_MD5SIG_EXT = 32;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;
const IPV6_FREEBIND = 78;

/** Differentiated services CS6, as RFC 4271 Appendix E wants it for BGP's IP precedence. */
const TOS_NETWORK_CONTROL = 0xc0;

export interface TcpOptions {
  readonly netns?: NetnsRef;
  readonly device?: string;
  /** Time to live, or hop limit, of what we send. Default: the system's. */
  readonly ttl?: number;
  /** Arriving packets with fewer hops left are dropped: GTSM with 255 minus the distance plus 1. */
  readonly minTtl?: number;
}

/** Binds and listens. Port 0 lets the kernel choose: see localPort(). Address 0 or 0n: every one of the family. */
export function listeningSocket(
  address: Address,
  port: number,
  options: TcpOptions & { readonly backlog?: number } = {},
): number {
  return insideNetns(options.netns, () => {
    const fd = tcpSocket(address, options);
    try {
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      bind(fd, socketAddress(address, port, scopeOf(options)));
      // The kernel cuts it to net.core.somaxconn.
      listen(fd, options.backlog ?? 4096);
      return fd;
    } catch (error) {
      close(fd);
      throw error;
    }
  });
}

export interface ConnectOptions extends TcpOptions {
  /** Address to connect from; its interface need not be up yet. */
  readonly source?: Address;
  /** TCP-MD5 key for `destination`. */
  readonly md5?: string;
}

/** A socket ready for Node's connect() to this destination. */
export function connectingSocket(destination: Address, options: ConnectOptions = {}): number {
  return insideNetns(options.netns, () => {
    const fd = tcpSocket(destination, options);
    try {
      if (options.md5) setMd5Key(fd, destination, options.md5);
      if (options.source !== undefined) {
        if (typeof options.source === 'number') setsockopt(fd, IPPROTO_IP, IP_FREEBIND, 1);
        else setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
        bind(fd, socketAddress(options.source, 0, scopeOf(options)));
      }
      return fd;
    } catch (error) {
      close(fd);
      throw error;
    }
  });
}

export interface UdpOptions extends TcpOptions {
  readonly reuseAddress?: boolean;
  /** As much as is permitted, if that is less. */
  readonly receiveBufferBytes?: number;
}

/** A bound UDP socket. Packets that arrive with less than `minTtl` are dropped by the kernel. */
export function udpSocket(address: Address, port: number, options: UdpOptions = {}): number {
  return insideNetns(options.netns, () => {
    const { minTtl, ...others } = options;
    const fd = openSocket(address, SOCK_DGRAM, others);
    try {
      if (minTtl !== undefined) attachFilter(fd, minTtlFilter(familyOf(address), minTtl));
      if (options.reuseAddress) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
      if (options.receiveBufferBytes !== undefined) enlargeReceiveBuffer(fd, options.receiveBufferBytes);
      bind(fd, socketAddress(address, port, scopeOf(options)));
      return fd;
    } catch (error) {
      close(fd);
      throw error;
    }
  });
}

/** Beyond the system's limit where we may. */
function enlargeReceiveBuffer(fd: number, bytes: number): void {
  try {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes);
  } catch {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, bytes);
  }
}

function tcpSocket(address: Address, options: TcpOptions): number {
  const fd = openSocket(address, SOCK_STREAM, options);
  try {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function openSocket(address: Address, type: number, options: TcpOptions): number {
  const isIpv4 = typeof address === 'number';
  const fd = socket(isIpv4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK, 0);
  try {
    if (!isIpv4) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (options.device) setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${options.device}\0`));
    if (isIpv4) setsockopt(fd, IPPROTO_IP, IP_TOS, TOS_NETWORK_CONTROL);
    else setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, TOS_NETWORK_CONTROL);
    setTtl(fd, isIpv4 ? 4 : 6, options);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Sets the TTL sent and the least TTL accepted, on a socket of any state; 0 takes the check away. */
export function setTtl(fd: number, family: 4 | 6, options: { readonly ttl?: number; readonly minTtl?: number }): void {
  const isIpv4 = family === 4;
  if (options.ttl !== undefined) {
    setsockopt(fd, isIpv4 ? IPPROTO_IP : IPPROTO_IPV6, isIpv4 ? IP_TTL : IPV6_UNICAST_HOPS, options.ttl);
  }
  if (options.minTtl !== undefined) {
    setsockopt(fd, isIpv4 ? IPPROTO_IP : IPPROTO_IPV6, isIpv4 ? IP_MINTTL : IPV6_MINHOPCOUNT, options.minTtl);
  }
}

/** The longest key that the kernel takes. */
export const md5KeyMaxBytes = 80;

/**
 * Sets the key for one peer address on a listening or unconnected socket; without a key, removes it. Connections that
 * the socket accepts from then on inherit it.
 */
export function setMd5Key(fd: number, peer: Address, key: string | undefined): void {
  setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, md5Signature(peer, undefined, key));
}

/** The same for every address of a prefix. */
export function setMd5KeyForPrefix(fd: number, peers: Prefix, key: string | undefined): void {
  setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, md5Signature(peers.address, peers.length, key));
}

/**
 * struct tcp_md5sig, 216 bytes:
 *
 *     sockaddr_storage(128) flags(1) prefix length(1) key length(2) ifindex(4) key(80)
 */
export function md5Signature(peer: Address, prefixLength: number | undefined, key: string | undefined): Uint8Array {
  const bytes = new Uint8Array(216);
  const view = new DataView(bytes.buffer);
  const keyBytes = Buffer.from(key ?? '');
  if (keyBytes.length > md5KeyMaxBytes) throw new RangeError(`a TCP-MD5 key has at most ${md5KeyMaxBytes} bytes`);
  // The port must be zero: keys are per address.
  bytes.set(socketAddress(peer, 0));
  if (prefixLength !== undefined) {
    view.setUint8(128, 1);
    view.setUint8(129, prefixLength);
  }
  view.setUint16(130, keyBytes.length, true);
  bytes.set(keyBytes, 136);
  return bytes;
}

/** The port that a bound socket has. */
export const localPort = (fd: number): number => parseSocketAddress(getsockname(fd))?.port ?? 0;

/** Link-local addresses mean nothing without their interface; for others the kernel ignores a scope id. */
const scopeOf = (options: TcpOptions): number => (options.device ? (interfaceIndex(options.device) ?? 0) : 0);
