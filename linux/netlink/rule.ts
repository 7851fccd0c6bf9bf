// Policy routing rules: `struct fib_rule_hdr` and its attributes.
//
//     fib_rule_hdr: family(1) dst_len(1) src_len(1) tos(1) table(1) reserved(2) action(1) flags(4)

import { addressFromBytes, addressToBytes, type Family, widthOf } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import { AttributeCursor, type MessageWriter, NLM_F_CREATE, NLM_F_EXCL, viewOf } from './message.ts';
import type { NetlinkRequest } from './socket.ts';

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;

const FRA_DST = 1;
const FRA_SRC = 2;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FRA_PROTOCOL = 21;

const FR_ACT_TO_TBL = 1;
const FIB_RULE_INVERT = 2;

/** "Look into this table": the one action we need. */
export interface RoutingRule {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  /** Who made the rule; as rtm_protocol of a route. */
  readonly protocol?: number;
  readonly source?: Prefix;
  readonly destination?: Prefix;
  readonly mark?: number;
  /** Default: all bits. */
  readonly markMask?: number;
  readonly inputInterface?: string;
  readonly outputInterface?: string;
  readonly invert?: boolean;
}

export function addRule(rule: RoutingRule): NetlinkRequest {
  return {
    type: RTM_NEWRULE,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (writer) => writeRule(writer, rule),
    describe: () => `add rule ${rule.priority}`,
  };
}

export function deleteRule(rule: RoutingRule): NetlinkRequest {
  return {
    type: RTM_DELRULE,
    flags: 0,
    write: (writer) => writeRule(writer, rule),
    describe: () => `delete rule ${rule.priority}`,
  };
}

export function dumpRules(family: Family): NetlinkRequest {
  return {
    type: RTM_GETRULE,
    flags: 0,
    write: (writer) => {
      writer.u32(family === 4 ? AF_INET : AF_INET6);
      writer.u32(0);
      writer.u32(0);
    },
    describe: () => `dump IPv${family} rules`,
  };
}

function writeRule(writer: MessageWriter, rule: RoutingRule): void {
  writer.u8(rule.family === 4 ? AF_INET : AF_INET6);
  writer.u8(rule.destination?.length ?? 0);
  writer.u8(rule.source?.length ?? 0);
  writer.u8(0);
  writer.u8(rule.table < 256 ? rule.table : 0);
  writer.u16(0);
  writer.u8(FR_ACT_TO_TBL);
  writer.u32(rule.invert ? FIB_RULE_INVERT : 0);
  writer.attributeU32(FRA_PRIORITY, rule.priority);
  writer.attributeU32(FRA_TABLE, rule.table);
  if (rule.protocol !== undefined) writer.attributeU8(FRA_PROTOCOL, rule.protocol);
  if (rule.source) writer.attribute(FRA_SRC, addressToBytes(rule.source.address));
  if (rule.destination) writer.attribute(FRA_DST, addressToBytes(rule.destination.address));
  if (rule.mark !== undefined) {
    writer.attributeU32(FRA_FWMARK, rule.mark);
    writer.attributeU32(FRA_FWMASK, rule.markMask ?? 0xffffffff);
  }
  if (rule.inputInterface) writer.attributeString(FRA_IIFNAME, rule.inputInterface);
  if (rule.outputInterface) writer.attributeString(FRA_OIFNAME, rule.outputInterface);
}

/** Reads the payload of RTM_NEWRULE; undefined for rules of another action than a table look-up. */
export function readRule(payload: Uint8Array): RoutingRule | undefined {
  const family: Family | undefined = payload[0] === AF_INET ? 4 : payload[0] === AF_INET6 ? 6 : undefined;
  if (!family || payload.length < 12 || payload[7] !== FR_ACT_TO_TBL) return undefined;
  const rule: { -readonly [K in keyof RoutingRule]: RoutingRule[K] } = {
    family,
    priority: 0,
    table: payload[4] ?? 0,
  };
  const prefix = (start: number, length: number): Prefix => ({
    address: addressFromBytes(payload, family, start),
    length: Math.min(length, widthOf(family)),
  });
  if (viewOf(payload).getUint32(8, true) & FIB_RULE_INVERT) rule.invert = true;
  const cursor = new AttributeCursor(payload, 12);
  while (cursor.next()) {
    switch (cursor.type) {
      case FRA_PRIORITY:
        rule.priority = cursor.u32();
        break;
      case FRA_TABLE:
        rule.table = cursor.u32();
        break;
      case FRA_PROTOCOL:
        rule.protocol = cursor.u8();
        break;
      case FRA_SRC:
        rule.source = prefix(cursor.start, payload[2] ?? 0);
        break;
      case FRA_DST:
        rule.destination = prefix(cursor.start, payload[1] ?? 0);
        break;
      case FRA_FWMARK:
        rule.mark = cursor.u32();
        break;
      case FRA_FWMASK:
        rule.markMask = cursor.u32();
        break;
      case FRA_IIFNAME:
        rule.inputInterface = cursor.string();
        break;
      case FRA_OIFNAME:
        rule.outputInterface = cursor.string();
        break;
    }
  }
  return rule;
}
