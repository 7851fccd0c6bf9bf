// Classic BPF programs on sockets: the kernel drops what they refuse before anybody is woken up.

import koffi from 'koffi';
import { SOL_SOCKET, setsockopt } from './libc.ts';
import { RTM_DELROUTE, RTM_NEWROUTE } from './netlink/route.ts';

const SO_ATTACH_FILTER = 26;

const LOAD_WORD_ABSOLUTE = 0x20;
const LOAD_HALF_ABSOLUTE = 0x28;
const LOAD_BYTE_ABSOLUTE = 0x30;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_AT_LEAST = 0x35;
const RETURN = 0x06;

/** SKF_NET_OFF: offsets from here on count from the IP header, although a UDP socket's packet begins behind it. */
const fromIpHeader = 0xfff00000;

interface Instruction {
  readonly code: number;
  /** Instructions to skip. */
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly k: number;
}

const keep: Instruction = { code: RETURN, k: 0xffffffff };
const drop: Instruction = { code: RETURN, k: 0 };

/** Loads are big-endian while netlink's numbers are in host order, which is little-endian. */
const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >> 8);
const swap32 = (value: number): number => (swap16(value & 0xffff) * 0x10000 + swap16(value >>> 16)) >>> 0;

/** Whose changes to routes are dropped: of these protocols; with `portId`, only those that this netlink socket made. */
export interface IgnoredRoutes {
  readonly protocols: readonly number[];
  readonly portId?: number;
}

/**
 * For a netlink socket: keeps all but RTM_NEWROUTE and RTM_DELROUTE of one of the protocols.
 *
 *     offset 4: nlmsg_type, 12: nlmsg_pid (who asked for the change), 21: rtm_protocol (header 16 + 5). The kernel
 *     multicasts one message a datagram.
 */
export function routeFilter({ protocols, portId }: IgnoredRoutes): Uint8Array {
  // After the comparisons: keep, what is ignored.
  const comparisons = protocols.map((protocol, i) => ({
    code: JUMP_IF_EQUAL,
    ifTrue: protocols.length - i,
    k: protocol,
  }));
  const ignored: readonly Instruction[] =
    portId === undefined
      ? [drop]
      : [{ code: LOAD_WORD_ABSOLUTE, k: 12 }, { code: JUMP_IF_EQUAL, ifTrue: 1, k: swap32(portId) }, keep, drop];
  return encodeProgram([
    { code: LOAD_HALF_ABSOLUTE, k: 4 },
    { code: JUMP_IF_EQUAL, ifTrue: 2, k: swap16(RTM_NEWROUTE) },
    { code: JUMP_IF_EQUAL, ifTrue: 1, k: swap16(RTM_DELROUTE) },
    keep,
    { code: LOAD_BYTE_ABSOLUTE, k: 21 },
    ...comparisons,
    keep,
    ...ignored,
  ]);
}

/** For a UDP socket, where IP_MINTTL does nothing: keeps packets that arrive with at least this TTL, or hop limit. */
export const minTtlFilter = (family: 4 | 6, minTtl: number): Uint8Array =>
  encodeProgram([
    { code: LOAD_BYTE_ABSOLUTE, k: fromIpHeader + (family === 4 ? 8 : 7) },
    { code: JUMP_IF_AT_LEAST, ifFalse: 1, k: minTtl },
    keep,
    drop,
  ]);

/** struct sock_filter: code(2) jt(1) jf(1) k(4). */
function encodeProgram(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, instruction] of program.entries()) {
    view.setUint16(i * 8, instruction.code, true);
    view.setUint8(i * 8 + 2, instruction.ifTrue ?? 0);
    view.setUint8(i * 8 + 3, instruction.ifFalse ?? 0);
    view.setUint32(i * 8 + 4, instruction.k, true);
  }
  return bytes;
}

/** Puts an encoded program on a socket, in place of the one before. */
export function attachFilter(fd: number, filter: Uint8Array): void {
  // struct sock_fprog: length(2) padding(6) pointer(8). The kernel copies the program during the call.
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length / 8, true);
  view.setBigUint64(8, BigInt(koffi.address(filter)), true);
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program);
}
