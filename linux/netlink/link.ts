// Links: `struct ifinfomsg` and its attributes.
//
//     ifinfomsg: family(1) pad(1) device type(2) index(4) flags(4) change mask(4)

import { AF_INET } from '../libc.ts';
import { AttributeCursor, type MessageWriter, NLM_F_CREATE, NLM_F_EXCL, viewOf } from './message.ts';
import type { NetlinkRequest } from './socket.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INET_CONF = 1;
const VETH_INFO_PEER = 1;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_LOWER_UP = 0x10000;

/** Longest interface name: IFNAMSIZ less the zero. */
export const linkNameMaxLength = 15;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Administratively up. */
  readonly up: boolean;
  /** The lower layer has carrier. */
  readonly carrier: boolean;
  readonly loopback: boolean;
  readonly mtu: number;
  /** "ee:ee:ee:ee:ee:ee"; empty when the device has none. */
  readonly mac: string;
  /** "veth", "vxlan", "bridge" …; undefined for physical devices and lo. */
  readonly kind?: string;
  readonly master?: number;
  /** Index of the other end or the lower device, in the namespace `peerNetnsId`, or in this one without it. */
  readonly peerIndex?: number;
  readonly peerNetnsId?: number;
  readonly alias?: string;
  /** A number that anybody may give, and that stays when the link is renamed; 0 by default. */
  readonly group: number;
}

/** One end of a new veth pair. */
export interface VethEnd {
  readonly name: string;
  /** "02:42:0a:00:00:02"; default: random. */
  readonly mac?: string;
  /** Where it goes: a descriptor of a namespace. Default: the namespace of the socket. */
  readonly netnsFd?: number;
}

export interface VethPair {
  readonly end: VethEnd;
  readonly peer: VethEnd;
  readonly mtu?: number;
  /** Set `end` up at once. The peer can not be: the kernel makes it first, when it has no other end yet (ENOTCONN). */
  readonly up?: boolean;
}

/** The kernel makes both ends, in their namespaces and with their addresses, or nothing. */
export function createVeth(pair: VethPair): NetlinkRequest {
  const writeEnd = (writer: MessageWriter, end: VethEnd): void => {
    writer.attributeString(IFLA_IFNAME, end.name);
    if (pair.mtu !== undefined) writer.attributeU32(IFLA_MTU, pair.mtu);
    if (end.mac !== undefined) writer.attribute(IFLA_ADDRESS, macToBytes(end.mac));
    if (end.netnsFd !== undefined) writer.attributeU32(IFLA_NET_NS_FD, end.netnsFd);
  };
  const flags = pair.up ? IFF_UP : 0;
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (writer) => {
      writeHeader(writer, 0, flags, flags);
      writeEnd(writer, pair.end);
      writer.nest(IFLA_LINKINFO, () => {
        writer.attributeString(IFLA_INFO_KIND, 'veth');
        writer.nest(IFLA_INFO_DATA, () => {
          writer.nest(VETH_INFO_PEER, () => {
            writeHeader(writer, 0, 0, 0);
            writeEnd(writer, pair.peer);
          });
        });
      });
    },
    describe: () => `create veth ${pair.end.name}`,
  };
}

/** A device of a kind that needs no data: "dummy", "bridge", "ifb". */
export function createLink(kind: string, name: string, options: { readonly mtu?: number } = {}): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (writer) => {
      writeHeader(writer, 0, 0, 0);
      writer.attributeString(IFLA_IFNAME, name);
      if (options.mtu !== undefined) writer.attributeU32(IFLA_MTU, options.mtu);
      writer.nest(IFLA_LINKINFO, () => writer.attributeString(IFLA_INFO_KIND, kind));
    },
    describe: () => `create ${kind} ${name}`,
  };
}

export interface LinkChange {
  readonly up?: boolean;
  /** Only while the link is down, on older kernels. */
  readonly name?: string;
  readonly mtu?: number;
  readonly mac?: string;
  /** Index of the bridge or VRF to join; 0 leaves it. */
  readonly master?: number;
  /** Descriptor of the namespace to move to. */
  readonly netnsFd?: number;
  readonly alias?: string;
  readonly group?: number;
  /** IPv4 settings of the device, by their number in the kernel's table: see `ipv4Setting`. */
  readonly ipv4Settings?: ReadonlyMap<number, number>;
}

/** Numbers in IFLA_INET_CONF (linux/ip.h, IPV4_DEVCONF_*): the same switches as in /proc/sys/net/ipv4/conf/<device>. */
export const ipv4Setting = { forwarding: 1, proxyArp: 3, rpFilter: 8, routeLocalnet: 26 } as const;

/** Changes a link, found by index or by name. */
export function changeLink(link: number | string, change: LinkChange): NetlinkRequest {
  return {
    type: RTM_NEWLINK,
    flags: 0,
    write: (writer) => {
      const mask = change.up === undefined ? 0 : IFF_UP;
      writeHeader(writer, typeof link === 'number' ? link : 0, change.up ? IFF_UP : 0, mask);
      // With an index the name attribute is the new name; without one it says which link.
      if (typeof link === 'string') writer.attributeString(IFLA_IFNAME, link);
      else if (change.name !== undefined) writer.attributeString(IFLA_IFNAME, change.name);
      if (change.mtu !== undefined) writer.attributeU32(IFLA_MTU, change.mtu);
      if (change.mac !== undefined) writer.attribute(IFLA_ADDRESS, macToBytes(change.mac));
      if (change.master !== undefined) writer.attributeU32(IFLA_MASTER, change.master);
      if (change.netnsFd !== undefined) writer.attributeU32(IFLA_NET_NS_FD, change.netnsFd);
      if (change.alias !== undefined) writer.attribute(IFLA_IFALIAS, Buffer.from(change.alias));
      if (change.group !== undefined) writer.attributeU32(IFLA_GROUP, change.group);
      if (change.ipv4Settings) writeIpv4Settings(writer, change.ipv4Settings);
    },
    describe: () => `change link ${link}`,
  };
}

function writeIpv4Settings(writer: MessageWriter, settings: ReadonlyMap<number, number>): void {
  writer.nest(IFLA_AF_SPEC, () =>
    writer.nest(AF_INET, () =>
      writer.nest(IFLA_INET_CONF, () => {
        for (const [number, value] of settings) writer.attributeU32(number, value);
      }),
    ),
  );
}

/** Deletes a link, found by index or by name. Deleting one end of a veth pair deletes the other. */
export function deleteLink(link: number | string): NetlinkRequest {
  return {
    type: RTM_DELLINK,
    flags: 0,
    write: (writer) => writeSelector(writer, link),
    describe: () => `delete link ${link}`,
  };
}

/** Asks for one link; the answer is one RTM_NEWLINK message. */
export function getLink(link: number | string): NetlinkRequest {
  return {
    type: RTM_GETLINK,
    flags: 0,
    write: (writer) => writeSelector(writer, link),
    describe: () => `get link ${link}`,
  };
}

export const dumpLinks: NetlinkRequest = {
  type: RTM_GETLINK,
  flags: 0,
  write: (writer) => writeHeader(writer, 0, 0, 0),
  describe: () => 'dump links',
};

function writeSelector(writer: MessageWriter, link: number | string): void {
  writeHeader(writer, typeof link === 'number' ? link : 0, 0, 0);
  if (typeof link === 'string') writer.attributeString(IFLA_IFNAME, link);
}

function writeHeader(writer: MessageWriter, index: number, flags: number, change: number): void {
  writer.u8(0);
  writer.u8(0);
  writer.u16(0);
  writer.u32(index);
  writer.u32(flags);
  writer.u32(change);
}

/** Reads the payload of RTM_NEWLINK or RTM_DELLINK; undefined for bridge ports' and other families' messages. */
export function readLink(payload: Uint8Array): Link | undefined {
  if (payload.length < 16 || payload[0] !== 0) return undefined;
  const view = viewOf(payload);
  const flags = view.getUint32(8, true);
  const link: { -readonly [K in keyof Link]: Link[K] } = {
    index: view.getUint32(4, true),
    name: '',
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    mtu: 0,
    mac: '',
    group: 0,
  };
  const cursor = new AttributeCursor(payload, 16);
  while (cursor.next()) {
    switch (cursor.type) {
      case IFLA_IFNAME:
        link.name = cursor.string();
        break;
      case IFLA_MTU:
        link.mtu = cursor.u32();
        break;
      case IFLA_ADDRESS:
        link.mac = formatMac(cursor.value());
        break;
      case IFLA_LINK:
        link.peerIndex = cursor.u32();
        break;
      case IFLA_LINK_NETNSID:
        link.peerNetnsId = cursor.u32();
        break;
      case IFLA_MASTER:
        link.master = cursor.u32();
        break;
      case IFLA_OPERSTATE:
        // IF_OPER_UP or UNKNOWN: devices such as tun never report more than that.
        link.carrier &&= cursor.u8() === 6 || cursor.u8() === 0;
        break;
      case IFLA_IFALIAS:
        link.alias = cursor.string();
        break;
      case IFLA_GROUP:
        link.group = cursor.u32();
        break;
      case IFLA_LINKINFO:
        readKind(cursor.nested(), link);
        break;
    }
  }
  return link;
}

function readKind(cursor: AttributeCursor, link: { kind?: string }): void {
  while (cursor.next()) if (cursor.type === IFLA_INFO_KIND) link.kind = cursor.string();
}

/** "02:42:0a:00:00:02" as bytes; undefined when it is not six hexadecimal pairs. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/), (pair) => Number.parseInt(pair, 16));
}

function macToBytes(text: string): Uint8Array {
  const bytes = parseMac(text);
  if (!bytes) throw new RangeError(`not a MAC address: ${text}`);
  return bytes;
}

export const formatMac = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
