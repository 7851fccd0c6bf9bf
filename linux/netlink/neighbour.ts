// Neighbours (ARP and NDP entries, and proxies): `struct ndmsg` and its attributes.
//
//     ndmsg: family(1) pad(3) index(4) state(2) flags(1) type(1)

import {
  type Address,
  addressFromBytes,
  addressToBytes,
  type Family,
  familyOf,
  formatAddress,
} from '../../net/address.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import { formatMac, parseMac } from './link.ts';
import { AttributeCursor, type MessageWriter, NLM_F_CREATE, NLM_F_REPLACE, viewOf } from './message.ts';
import type { NetlinkRequest } from './socket.ts';

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;

const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const NTF_PROXY = 0x08;

export interface Neighbour {
  readonly interfaceIndex: number;
  readonly address: Address;
  /** Its MAC; undefined for a proxy entry: we answer for the address on this interface. */
  readonly mac?: string;
  readonly proxy?: boolean;
  readonly permanent?: boolean;
}

/** Writes a permanent entry, or a proxy entry, over whatever was there. */
export function setNeighbour(neighbour: Neighbour): NetlinkRequest {
  return {
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    write: (writer) => writeNeighbour(writer, neighbour),
    describe: () => `set neighbour ${formatAddress(neighbour.address)}`,
  };
}

export function deleteNeighbour(neighbour: Neighbour): NetlinkRequest {
  return {
    type: RTM_DELNEIGH,
    flags: 0,
    write: (writer) => writeNeighbour(writer, neighbour),
    describe: () => `delete neighbour ${formatAddress(neighbour.address)}`,
  };
}

/** Proxy entries live in a table of their own, and one dump gives one of the two. */
export function dumpNeighbours(options: { readonly proxy?: boolean } = {}): NetlinkRequest {
  return {
    type: RTM_GETNEIGH,
    flags: 0,
    write: (writer) => {
      writer.u32(0);
      writer.u32(0);
      writer.u16(0);
      writer.u8(options.proxy ? NTF_PROXY : 0);
      writer.u8(0);
    },
    describe: () => 'dump neighbours',
  };
}

function writeNeighbour(writer: MessageWriter, neighbour: Neighbour): void {
  writer.u32(familyOf(neighbour.address) === 4 ? AF_INET : AF_INET6);
  writer.u32(neighbour.interfaceIndex);
  writer.u16(NUD_PERMANENT);
  writer.u8(neighbour.proxy ? NTF_PROXY : 0);
  writer.u8(0);
  writer.attribute(NDA_DST, addressToBytes(neighbour.address));
  const mac = neighbour.mac === undefined ? undefined : parseMac(neighbour.mac);
  if (mac) writer.attribute(NDA_LLADDR, mac);
}

/** Reads the payload of RTM_NEWNEIGH or RTM_DELNEIGH. */
export function readNeighbour(payload: Uint8Array): Neighbour | undefined {
  const family: Family | undefined = payload[0] === AF_INET ? 4 : payload[0] === AF_INET6 ? 6 : undefined;
  if (!family || payload.length < 12) return undefined;
  const view = viewOf(payload);
  let address: Address | undefined;
  let mac: string | undefined;
  const cursor = new AttributeCursor(payload, 12);
  while (cursor.next()) {
    if (cursor.type === NDA_DST) address = addressFromBytes(payload, family, cursor.start);
    else if (cursor.type === NDA_LLADDR) mac = formatMac(cursor.value());
  }
  if (address === undefined) return undefined;
  return {
    interfaceIndex: view.getUint32(4, true),
    address,
    ...(mac && { mac }),
    ...((payload[10] ?? 0) & NTF_PROXY && { proxy: true }),
    ...(view.getUint16(8, true) & NUD_PERMANENT && { permanent: true }),
  };
}
