// Raw packets for probes: ICMP, UDP, UDP-Lite, TCP and SCTP, with the checksums that connection tracking looks at.

import { spawnSync } from 'node:child_process';
import { hasCode } from '../../../linux/errors.ts';
import { AF_INET, AF_INET6, close, SOCK_RAW, sendTo, socket } from '../../../linux/libc.ts';
import { insideNetns, netnsPath } from '../../../linux/netns.ts';
import { socketAddress } from '../../../linux/sockaddr.ts';
import { type Address, addressToBytes, parseAddress } from '../../../net/address.ts';

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;
export const SCTP = 132;
export const UDPLITE = 136;

export interface Probe {
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  readonly icmpId?: number;
}

/** Sends the packet from the namespace, through a raw socket. */
export function send(netns: string, from: string, to: string, probe: Probe): void {
  const payload = payloadOf(from, to, probe);
  const target = to.includes(':') ? `IP6-SENDTO:[${to}]:${probe.protocol}` : `IP4-SENDTO:${to}:${probe.protocol}`;
  const result = spawnSync('ip', ['netns', 'exec', netns, 'socat', '-u', '-', target], { input: payload });
  if (result.status !== 0) throw new Error(String(result.stderr));
}

/** Sends many packets from one namespace, each in microseconds. */
export class RawSender {
  readonly #netns: string;
  readonly #sockets = new Map<string, number>();

  constructor(netns: string) {
    this.#netns = netnsPath(netns);
  }

  send(from: string, to: string, probe: Probe): void {
    const domain = to.includes(':') ? AF_INET6 : AF_INET;
    const key = `${domain}/${probe.protocol}`;
    let fd = this.#sockets.get(key);
    if (fd === undefined) {
      fd = insideNetns(this.#netns, () => socket(domain, SOCK_RAW, probe.protocol));
      this.#sockets.set(key, fd);
    }
    try {
      sendTo(fd, payloadOf(from, to, probe), socketAddress(addressOf(to), 0));
    } catch (error) {
      // What is dropped on its way out, the sender is told.
      if (!hasCode(error, 'EPERM')) throw error;
    }
  }

  close(): void {
    for (const fd of this.#sockets.values()) close(fd);
    this.#sockets.clear();
  }
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`not an address: ${text}`);
  return address;
}

function payloadOf(from: string, to: string, probe: Probe): Buffer {
  const { protocol, icmpType = 0, icmpCode = 0, icmpId = 0x1234 } = probe;
  switch (protocol) {
    case ICMP:
    case ICMPV6: {
      const message = Buffer.from([
        icmpType,
        icmpCode,
        0,
        0,
        icmpId >> 8,
        icmpId & 255,
        0,
        1,
        ...Buffer.from('twill probe'),
      ]);
      message.writeUInt16BE(
        checksum(message, protocol === ICMPV6 ? pseudoHeader(from, to, protocol, message.length) : []),
        2,
      );
      return message;
    }
    case SCTP:
      return sctpInit(probe);
    case TCP:
      return tcpSyn(from, to, probe);
    default:
      return datagram(from, to, probe);
  }
}

function datagram(from: string, to: string, { protocol, sourcePort = 5000, destinationPort = 0 }: Probe): Buffer {
  const message = Buffer.alloc(8 + 5, 'twill');
  message.writeUInt16BE(sourcePort, 0);
  message.writeUInt16BE(destinationPort, 2);
  // UDP: the length. UDP-Lite (RFC 3828 §3.1): how much the checksum covers, here the header.
  message.writeUInt16BE(protocol === UDP ? message.length : 8, 4);
  message.writeUInt16BE(0, 6);
  const covered = protocol === UDP ? message : message.subarray(0, 8);
  message.writeUInt16BE(checksum(covered, pseudoHeader(from, to, protocol, message.length)), 6);
  return message;
}

function tcpSyn(from: string, to: string, { sourcePort = 5000, destinationPort = 0 }: Probe): Buffer {
  const message = Buffer.alloc(20);
  message.writeUInt16BE(sourcePort, 0);
  message.writeUInt16BE(destinationPort, 2);
  message.writeUInt32BE(0x1000, 4);
  message[12] = 0x50;
  message[13] = 0x02;
  message.writeUInt16BE(1000, 14);
  message.writeUInt16BE(checksum(message, pseudoHeader(from, to, TCP, message.length)), 16);
  return message;
}

/** RFC 9260 §3.3.2: common header and an INIT chunk. */
function sctpInit({ sourcePort = 5000, destinationPort = 0 }: Probe): Buffer {
  const message = Buffer.alloc(12 + 20);
  message.writeUInt16BE(sourcePort, 0);
  message.writeUInt16BE(destinationPort, 2);
  message[12] = 1;
  message.writeUInt16BE(20, 14);
  message.writeUInt32BE(0x12345678, 16);
  message.writeUInt32BE(65_536, 20);
  message.writeUInt16BE(1, 24);
  message.writeUInt16BE(1, 26);
  message.writeUInt32LE(crc32c(message), 8);
  return message;
}

function pseudoHeader(from: string, to: string, protocol: number, length: number): number[] {
  const bytes = [from, to].flatMap((text) => [...addressToBytes(addressOf(text))]);
  return [...bytes, 0, protocol, length >> 8, length & 255];
}

/** RFC 1071. */
function checksum(message: Uint8Array, before: readonly number[]): number {
  const bytes = [...before, ...message];
  if (bytes.length % 2 === 1) bytes.push(0);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
