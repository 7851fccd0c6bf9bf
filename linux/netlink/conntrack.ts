// Connection tracking (ctnetlink): which flows the kernel knows, and forgetting some of them.
//
//     nfgenmsg: family(1) version(1) resource id(2)       then nested attributes, numbers in them big-endian
//     CTA_TUPLE_ORIG ─┬─ CTA_TUPLE_IP:    source, destination
//                     └─ CTA_TUPLE_PROTO: number, ports or ICMP id, type, code

import {
  type Address,
  addressFromBytes,
  addressToBytes,
  type Family,
  familyOf,
  formatAddress,
} from '../../net/address.ts';
import { hasCode } from '../errors.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import type { NetnsRef } from '../netns.ts';
import { AttributeCursor, type MessageWriter, type NetlinkMessage, viewOf } from './message.ts';
import { NETLINK_NETFILTER, type NetlinkFailure, type NetlinkRequest, NetlinkSocket } from './socket.ts';

const SUBSYS_CTNETLINK = 1 << 8;
const IPCTNL_MSG_CT_GET = SUBSYS_CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE = SUBSYS_CTNETLINK | 2;

const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_TIMEOUT = 7;
const CTA_MARK = 8;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_MARK_MASK = 21;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const CTA_PROTO_ICMP_ID = 4;
const CTA_PROTO_ICMP_TYPE = 5;
const CTA_PROTO_ICMP_CODE = 6;
const CTA_PROTO_ICMPV6_ID = 7;
const CTA_PROTO_ICMPV6_TYPE = 8;
const CTA_PROTO_ICMPV6_CODE = 9;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const FILTER_IP_SRC = 1;
const FILTER_IP_DST = 2;

const IPS_SEEN_REPLY = 1 << 1;
const IPS_ASSURED = 1 << 2;
const IPS_CONFIRMED = 1 << 3;
const IPS_SRC_NAT = 1 << 4;
const IPS_DST_NAT = 1 << 5;

const IPPROTO_ICMPV6 = 58;

export interface ConntrackTuple {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  /** TCP, UDP, SCTP … */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** ICMP and ICMPv6. */
  readonly icmpId?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
}

export interface ConntrackFlow {
  /** The first packet's addresses and ports, before translation. */
  readonly original: ConntrackTuple;
  /** What answers look like: the other way round, after translation. */
  readonly reply: ConntrackTuple;
  readonly mark: number;
  readonly zone: number;
  /** Tells this flow from a later one with the same tuple. */
  readonly id: number;
  readonly seenReply: boolean;
  /** Survives when the table is full. */
  readonly assured: boolean;
  readonly confirmed: boolean;
  readonly sourceTranslated: boolean;
  readonly destinationTranslated: boolean;
  readonly timeoutSec: number;
}

/** All that is given must match. The kernel filters by mark, and by IPv4 addresses from 5.8 on. */
export interface ConntrackFilter {
  readonly family: Family;
  readonly originalSource?: Address;
  readonly originalDestination?: Address;
  readonly replySource?: Address;
  readonly replyDestination?: Address;
  readonly mark?: { readonly value: number; readonly mask: number };
}

/** The flows of one network namespace. */
export class Conntrack {
  readonly #socket: NetlinkSocket;
  readonly #dumpSocket: NetlinkSocket;
  #lastDump: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly netns?: NetnsRef } = {}) {
    this.#socket = new NetlinkSocket({ ...options, protocol: NETLINK_NETFILTER });
    this.#dumpSocket = new NetlinkSocket({ ...options, protocol: NETLINK_NETFILTER });
  }

  /** Hands over every matching flow as it is read; the event loop turns meanwhile. A flow may come twice. */
  forEach(filter: ConntrackFilter, onFlow: (flow: ConntrackFlow) => void): Promise<void> {
    const onMessage = ({ payload }: NetlinkMessage): void => {
      const flow = readFlow(payload);
      if (flow && matchesFilter(flow, filter)) onFlow(flow);
    };
    const dump = this.#lastDump.then(async () => {
      await this.#dumpSocket.dumpInThread(dumpFlows(filter), onMessage, () => {});
    });
    this.#lastDump = dump.catch(() => {});
    return dump;
  }

  async flows(filter: ConntrackFilter): Promise<ConntrackFlow[]> {
    const found: ConntrackFlow[] = [];
    await this.forEach(filter, (flow) => void found.push(flow));
    return found;
  }

  /** Forgets these very flows; those that are gone already do not count as failures. */
  delete(flows: readonly Pick<ConntrackFlow, 'original' | 'id' | 'zone'>[]): NetlinkFailure[] {
    return this.#socket.execute(flows.map(deleteFlow)).filter(({ error }) => !hasCode(error, 'ENOENT'));
  }

  close(): void {
    this.#socket.close();
    void this.#lastDump.then(() => this.#dumpSocket.close());
  }
}

export const matchesFilter = ({ original, reply, mark }: ConntrackFlow, filter: ConntrackFilter): boolean =>
  (filter.originalSource ?? original.source) === original.source &&
  (filter.originalDestination ?? original.destination) === original.destination &&
  (filter.replySource ?? reply.source) === reply.source &&
  (filter.replyDestination ?? reply.destination) === reply.destination &&
  (!filter.mark || ((mark ^ filter.mark.value) & filter.mark.mask) === 0);

export function dumpFlows(filter: ConntrackFilter): NetlinkRequest {
  return {
    type: IPCTNL_MSG_CT_GET,
    flags: 0,
    write: (writer) => {
      writeHeader(writer, filter.family);
      if (filter.mark) {
        writer.attribute(CTA_MARK, bigEndian32(filter.mark.value));
        writer.attribute(CTA_MARK_MASK, bigEndian32(filter.mark.mask));
      }
      // The kernel's comparison of IPv6 addresses is the wrong way round (seen on 6.18): it gives all but the wanted flows.
      if (filter.family === 6) return;
      const original = writeAddresses(writer, CTA_TUPLE_ORIG, filter.originalSource, filter.originalDestination);
      const reply = writeAddresses(writer, CTA_TUPLE_REPLY, filter.replySource, filter.replyDestination);
      if (!original && !reply) return;
      writer.nest(CTA_FILTER, () => {
        // In host order, unlike all other numbers here.
        writer.attributeU32(CTA_FILTER_ORIG_FLAGS, original);
        writer.attributeU32(CTA_FILTER_REPLY_FLAGS, reply);
      });
    },
    describe: () => `dump IPv${filter.family} flows`,
  };
}

/** Returns the flags that say which of them count. */
function writeAddresses(writer: MessageWriter, tuple: number, source?: Address, destination?: Address): number {
  if (source === undefined && destination === undefined) return 0;
  writer.nest(tuple, () => writeIp(writer, source, destination));
  return (source === undefined ? 0 : FILTER_IP_SRC) | (destination === undefined ? 0 : FILTER_IP_DST);
}

function writeIp(writer: MessageWriter, source?: Address, destination?: Address): void {
  writer.nest(CTA_TUPLE_IP, () => {
    for (const [address, ipv4, ipv6] of [
      [source, CTA_IP_V4_SRC, CTA_IP_V6_SRC],
      [destination, CTA_IP_V4_DST, CTA_IP_V6_DST],
    ] as const) {
      if (address !== undefined) writer.attribute(familyOf(address) === 4 ? ipv4 : ipv6, addressToBytes(address));
    }
  });
}

export function deleteFlow(flow: Pick<ConntrackFlow, 'original' | 'id' | 'zone'>): NetlinkRequest {
  const { original, id, zone } = flow;
  return {
    type: IPCTNL_MSG_CT_DELETE,
    flags: 0,
    write: (writer) => {
      writeHeader(writer, familyOf(original.source));
      writeTuple(writer, CTA_TUPLE_ORIG, original);
      if (zone !== 0) writer.attribute(CTA_ZONE, bigEndian16(zone));
      writer.attribute(CTA_ID, bigEndian32(id));
    },
    describe: () => `delete flow ${formatAddress(original.source)} → ${formatAddress(original.destination)}`,
  };
}

function writeHeader(writer: MessageWriter, family: Family): void {
  writer.u8(family === 4 ? AF_INET : AF_INET6);
  writer.u8(0);
  writer.u16(0);
}

function writeTuple(writer: MessageWriter, type: number, tuple: ConntrackTuple): void {
  const isIcmpv6 = tuple.protocol === IPPROTO_ICMPV6;
  writer.nest(type, () => {
    writeIp(writer, tuple.source, tuple.destination);
    writer.nest(CTA_TUPLE_PROTO, () => {
      writer.attributeU8(CTA_PROTO_NUM, tuple.protocol);
      if (tuple.sourcePort !== undefined) writer.attribute(CTA_PROTO_SRC_PORT, bigEndian16(tuple.sourcePort));
      if (tuple.destinationPort !== undefined) writer.attribute(CTA_PROTO_DST_PORT, bigEndian16(tuple.destinationPort));
      if (tuple.icmpId === undefined) return;
      writer.attribute(isIcmpv6 ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, bigEndian16(tuple.icmpId));
      writer.attributeU8(isIcmpv6 ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE, tuple.icmpType ?? 0);
      writer.attributeU8(isIcmpv6 ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE, tuple.icmpCode ?? 0);
    });
  });
}

/** Reads one message of a dump; undefined when it is not whole. */
export function readFlow(payload: Uint8Array): ConntrackFlow | undefined {
  const family: Family | undefined = payload[0] === AF_INET ? 4 : payload[0] === AF_INET6 ? 6 : undefined;
  if (!family) return undefined;
  let original: ConntrackTuple | undefined;
  let reply: ConntrackTuple | undefined;
  let [mark, zone, id, status, timeoutSec] = [0, 0, 0, 0, 0];
  const cursor = new AttributeCursor(payload, 4);
  while (cursor.next()) {
    switch (cursor.type) {
      case CTA_TUPLE_ORIG:
        original = readTuple(payload, family, cursor.nested());
        break;
      case CTA_TUPLE_REPLY:
        reply = readTuple(payload, family, cursor.nested());
        break;
      case CTA_STATUS:
        status = readNumber(cursor);
        break;
      case CTA_MARK:
        mark = readNumber(cursor);
        break;
      case CTA_ZONE:
        zone = readNumber(cursor);
        break;
      case CTA_ID:
        id = readNumber(cursor);
        break;
      case CTA_TIMEOUT:
        timeoutSec = readNumber(cursor);
        break;
    }
  }
  if (!original || !reply) return undefined;
  return {
    original,
    reply,
    mark,
    zone,
    id,
    seenReply: (status & IPS_SEEN_REPLY) !== 0,
    assured: (status & IPS_ASSURED) !== 0,
    confirmed: (status & IPS_CONFIRMED) !== 0,
    sourceTranslated: (status & IPS_SRC_NAT) !== 0,
    destinationTranslated: (status & IPS_DST_NAT) !== 0,
    timeoutSec,
  };
}

function readTuple(payload: Uint8Array, family: Family, cursor: AttributeCursor): ConntrackTuple | undefined {
  let source: Address | undefined;
  let destination: Address | undefined;
  let ports: Omit<ConntrackTuple, 'source' | 'destination'> | undefined;
  while (cursor.next()) {
    if (cursor.type === CTA_TUPLE_IP) {
      const ip = cursor.nested();
      while (ip.next()) {
        const address = addressFromBytes(payload, family, ip.start);
        if (ip.type === CTA_IP_V4_SRC || ip.type === CTA_IP_V6_SRC) source = address;
        else if (ip.type === CTA_IP_V4_DST || ip.type === CTA_IP_V6_DST) destination = address;
      }
    } else if (cursor.type === CTA_TUPLE_PROTO) ports = readPorts(cursor.nested());
  }
  return source === undefined || destination === undefined || !ports ? undefined : { source, destination, ...ports };
}

function readPorts(cursor: AttributeCursor): Omit<ConntrackTuple, 'source' | 'destination'> {
  const ports: { -readonly [K in keyof Omit<ConntrackTuple, 'source' | 'destination'>]: ConntrackTuple[K] } = {
    protocol: 0,
  };
  while (cursor.next()) {
    const value = readNumber(cursor);
    switch (cursor.type) {
      case CTA_PROTO_NUM:
        ports.protocol = value;
        break;
      case CTA_PROTO_SRC_PORT:
        ports.sourcePort = value;
        break;
      case CTA_PROTO_DST_PORT:
        ports.destinationPort = value;
        break;
      case CTA_PROTO_ICMP_ID:
      case CTA_PROTO_ICMPV6_ID:
        ports.icmpId = value;
        break;
      case CTA_PROTO_ICMP_TYPE:
      case CTA_PROTO_ICMPV6_TYPE:
        ports.icmpType = value;
        break;
      case CTA_PROTO_ICMP_CODE:
      case CTA_PROTO_ICMPV6_CODE:
        ports.icmpCode = value;
        break;
    }
  }
  return ports;
}

/** A big-endian number of whatever length the attribute has: 1, 2 or 4 bytes. */
function readNumber(cursor: AttributeCursor): number {
  const bytes = cursor.value();
  switch (bytes.length) {
    case 1:
      return bytes[0] ?? 0;
    case 2:
      return viewOf(bytes).getUint16(0);
    case 4:
      return viewOf(bytes).getUint32(0);
    default:
      return 0;
  }
}

const bigEndian16 = (value: number): Uint8Array => Uint8Array.of(value >>> 8, value & 255);
const bigEndian32 = (value: number): Uint8Array =>
  Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
