// Addresses of interfaces: `struct ifaddrmsg` and its attributes.
//
//     ifaddrmsg: family(1) prefix length(1) flags(1) scope(1) index(4)

import {
  type Address,
  addressFromBytes,
  addressToBytes,
  type Family,
  familyOf,
  formatAddress,
} from '../../net/address.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import { AttributeCursor, type MessageWriter, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, viewOf } from './message.ts';
import type { NetlinkRequest } from './socket.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;

const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  readonly address: Address;
  readonly length: number;
  /** 0 universe, 253 link, 254 host. Default universe. */
  readonly scope?: number;
  /** IPv6: usable at once, without duplicate address detection. */
  readonly noDuplicateDetection?: boolean;
  /** IPv6: never chosen as source address by the kernel itself (RFC 4862 §5.5.4). Only when written. */
  readonly deprecated?: boolean;
  /** IPv6: duplicate address detection is not over, or found another owner. Only when read. */
  readonly unusable?: boolean;
}

export function addAddress(address: InterfaceAddress, how: 'create' | 'replace' = 'create'): NetlinkRequest {
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | (how === 'create' ? NLM_F_EXCL : NLM_F_REPLACE),
    write: (writer) => writeAddress(writer, address),
    describe: () => `add address ${formatAddress(address.address)}/${address.length}`,
  };
}

export function deleteAddress(address: InterfaceAddress): NetlinkRequest {
  return {
    type: RTM_DELADDR,
    flags: 0,
    write: (writer) => writeAddress(writer, address),
    describe: () => `delete address ${formatAddress(address.address)}/${address.length}`,
  };
}

/** All addresses, or those of one interface. */
export function dumpAddresses(interfaceIndex = 0): NetlinkRequest {
  return {
    type: RTM_GETADDR,
    flags: 0,
    write: (writer) => {
      writer.u32(0);
      writer.u32(interfaceIndex);
    },
    describe: () => 'dump addresses',
  };
}

function writeAddress(writer: MessageWriter, address: InterfaceAddress): void {
  writer.u8(familyOf(address.address) === 4 ? AF_INET : AF_INET6);
  writer.u8(address.length);
  writer.u8(address.noDuplicateDetection ? IFA_F_NODAD : 0);
  writer.u8(address.scope ?? 0);
  writer.u32(address.interfaceIndex);
  const bytes = addressToBytes(address.address);
  writer.attribute(IFA_LOCAL, bytes);
  writer.attribute(IFA_ADDRESS, bytes);
  // struct ifa_cacheinfo: preferred for no second, valid for ever.
  if (address.deprecated)
    writer.attribute(IFA_CACHEINFO, Uint8Array.of(0, 0, 0, 0, 255, 255, 255, 255, ...new Uint8Array(8)));
}

/** Reads the payload of RTM_NEWADDR or RTM_DELADDR. */
export function readAddress(payload: Uint8Array): InterfaceAddress | undefined {
  const family: Family | undefined = payload[0] === AF_INET ? 4 : payload[0] === AF_INET6 ? 6 : undefined;
  if (!family || payload.length < 8) return undefined;
  let address: Address | undefined;
  let local: Address | undefined;
  let flags = payload[2] ?? 0;
  const cursor = new AttributeCursor(payload, 8);
  while (cursor.next()) {
    switch (cursor.type) {
      case IFA_ADDRESS:
        address = addressFromBytes(payload, family, cursor.start);
        break;
      case IFA_LOCAL:
        local = addressFromBytes(payload, family, cursor.start);
        break;
      case IFA_FLAGS:
        flags = cursor.u32();
        break;
    }
  }
  // On a point-to-point link IFA_ADDRESS is the other side's.
  const own = local ?? address;
  if (own === undefined) return undefined;
  return {
    interfaceIndex: viewOf(payload).getUint32(4, true),
    address: own,
    length: payload[1] ?? 0,
    scope: payload[3] ?? 0,
    ...(flags & IFA_F_NODAD && { noDuplicateDetection: true }),
    ...(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) && { unusable: true }),
  };
}
