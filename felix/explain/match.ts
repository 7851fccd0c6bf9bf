// Whether a rule matches a packet, and every reason why not.

import { familyOf, formatAddress } from '../../net/address.ts';
import { formatPrefix, type Prefix, prefixContains } from '../../net/prefix.ts';
import type { CalcEntity, CalcRule, IcmpMatch, IpSetId, PortRange } from '../calc/output.ts';
import { type Packet, protocolName } from './packet.ts';
import type { Picture } from './picture.ts';

/** For texts: the selector behind an IP set. */
export type DescribeIpSet = (id: IpSetId) => string | undefined;

/** Why the rule does not match: "the source is not selected by app == "web""; empty when it does. */
export function mismatches(
  rule: CalcRule,
  packet: Packet,
  picture: Picture,
  describe: DescribeIpSet,
): readonly string[] {
  const reasons: string[] = [];
  const family = familyOf(packet.source);
  if (rule.family !== undefined && rule.family !== family) reasons.push(`only for IPv${rule.family}`);
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) {
    reasons.push(`only for ${protocolName(rule.protocol)}`);
  }
  if (rule.notProtocol !== undefined && rule.notProtocol === packet.protocol) {
    reasons.push(`not for ${protocolName(rule.notProtocol)}`);
  }
  if (rule.icmp && !isIcmp(rule.icmp, packet)) reasons.push(`only for ICMP ${icmpText(rule.icmp)}`);
  if (rule.notIcmp && isIcmp(rule.notIcmp, packet)) reasons.push(`not for ICMP ${icmpText(rule.notIcmp)}`);
  for (const side of ['source', 'destination'] as const) {
    for (const reason of entityMismatches(rule[side], side, packet, picture, describe)) reasons.push(reason);
  }
  return reasons;
}

const isIcmp = (match: IcmpMatch, packet: Packet): boolean =>
  packet.icmpType === match.type && (match.code === undefined || packet.icmpCode === match.code);

const icmpText = ({ type, code }: IcmpMatch): string =>
  code === undefined ? `type ${type}` : `type ${type} code ${code}`;

function* entityMismatches(
  entity: CalcEntity,
  side: 'source' | 'destination',
  packet: Packet,
  picture: Picture,
  describe: DescribeIpSet,
): Iterable<string> {
  const address = packet[side];
  const port = side === 'source' ? packet.sourcePort : packet.destinationPort;
  const text = formatAddress(address);
  const isIn = (prefixes: readonly Prefix[]): boolean => prefixes.some((prefix) => prefixContains(prefix, address));
  const offered = (id: IpSetId): boolean =>
    port !== undefined && picture.offersPort(id, address, packet.protocol, port);
  if (entity.prefixes.length > 0 && !isIn(entity.prefixes)) {
    yield `the ${side} ${text} is not in ${list(entity.prefixes.map(formatPrefix))}`;
  }
  if (isIn(entity.notPrefixes)) yield `the ${side} ${text} is in notNets ${list(entity.notPrefixes.map(formatPrefix))}`;
  for (const id of entity.ipSets) {
    if (!picture.isMember(id, address)) yield `the ${side} ${text} is not selected by ${describe(id) ?? id}`;
  }
  for (const id of entity.notIpSets) {
    if (picture.isMember(id, address)) yield `the ${side} ${text} is selected by notSelector ${describe(id) ?? id}`;
  }
  if (entity.ports.length + entity.namedPortSets.length > 0) {
    const inRange = port !== undefined && entity.ports.some((range) => isInRange(range, port));
    if (!inRange && !entity.namedPortSets.some(offered)) {
      const wanted = [...entity.ports.map(rangeText), ...entity.namedPortSets.map((id) => describe(id) ?? id)];
      yield `the ${side} port ${port ?? '(none)'} is not ${list(wanted)}`;
    }
  }
  if (port !== undefined && entity.notPorts.some((range) => isInRange(range, port))) {
    yield `the ${side} port ${port} is in notPorts ${list(entity.notPorts.map(rangeText))}`;
  }
  for (const id of entity.notNamedPortSets) {
    if (offered(id)) yield `the ${side} port ${port} is in notPorts: ${describe(id) ?? id}`;
  }
}

const isInRange = ({ first, last }: PortRange, port: number): boolean => port >= first && port <= last;
const rangeText = ({ first, last }: PortRange): string => (first === last ? String(first) : `${first}-${last}`);

/** "a, b, c and 5 more" */
function list(items: readonly string[]): string {
  const shown = items.slice(0, 4).join(', ');
  return items.length > 4 ? `${shown} and ${items.length - 4} more` : shown;
}
