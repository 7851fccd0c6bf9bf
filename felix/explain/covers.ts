// Whether one rule matches every packet that another one matches. Sound, not complete: "no" can also mean "not plainly".

import { isDeepStrictEqual } from 'node:util';
import { type Prefix, prefixCovers, prefixesOverlap } from '../../net/prefix.ts';
import type { CalcEntity, CalcRule, PortRange } from '../calc/output.ts';

export function ruleCovers(outer: CalcRule, inner: CalcRule): boolean {
  return (
    (outer.family === undefined || outer.family === inner.family) &&
    (outer.protocol === undefined || outer.protocol === inner.protocol) &&
    (outer.notProtocol === undefined || excludesProtocol(inner, outer.notProtocol)) &&
    (outer.icmp === undefined || icmpCovers(outer.icmp, inner.icmp)) &&
    (outer.notIcmp === undefined || isDeepStrictEqual(outer.notIcmp, inner.notIcmp)) &&
    entityCovers(outer.source, inner.source) &&
    entityCovers(outer.destination, inner.destination)
  );
}

const excludesProtocol = (rule: CalcRule, protocol: number): boolean =>
  rule.notProtocol === protocol || (rule.protocol !== undefined && rule.protocol !== protocol);

const icmpCovers = (outer: NonNullable<CalcRule['icmp']>, inner: CalcRule['icmp']): boolean =>
  inner?.type === outer.type && (outer.code === undefined || outer.code === inner.code);

function entityCovers(outer: CalcEntity, inner: CalcEntity): boolean {
  const includes = (list: readonly string[]) => (id: string) => list.includes(id);
  return (
    prefixesCover(outer.prefixes, inner.prefixes) &&
    outer.notPrefixes.every((prefix) => excludesPrefix(inner, prefix)) &&
    outer.ipSets.every(includes(inner.ipSets)) &&
    outer.notIpSets.every(includes(inner.notIpSets)) &&
    portsCover(outer, inner) &&
    outer.notPorts.every((range) => excludesPorts(inner, range)) &&
    outer.notNamedPortSets.every(includes(inner.notNamedPortSets))
  );
}

function prefixesCover(outer: readonly Prefix[], inner: readonly Prefix[]): boolean {
  if (outer.length === 0) return true;
  return inner.length > 0 && inner.every((prefix) => outer.some((wider) => prefixCovers(wider, prefix)));
}

function excludesPrefix({ prefixes, notPrefixes }: CalcEntity, excluded: Prefix): boolean {
  if (notPrefixes.some((prefix) => prefixCovers(prefix, excluded))) return true;
  return prefixes.length > 0 && !prefixes.some((prefix) => prefixesOverlap(prefix, excluded));
}

function portsCover(outer: CalcEntity, inner: CalcEntity): boolean {
  if (outer.ports.length + outer.namedPortSets.length === 0) return true;
  if (inner.ports.length + inner.namedPortSets.length === 0) return false;
  return (
    inner.ports.every((range) => outer.ports.some((wider) => rangeCovers(wider, range))) &&
    inner.namedPortSets.every((id) => outer.namedPortSets.includes(id))
  );
}

function excludesPorts({ ports, namedPortSets, notPorts }: CalcEntity, excluded: PortRange): boolean {
  if (notPorts.some((range) => rangeCovers(range, excluded))) return true;
  const isNumeric = ports.length > 0 && namedPortSets.length === 0;
  return isNumeric && !ports.some(({ first, last }) => first <= excluded.last && excluded.first <= last);
}

const rangeCovers = (outer: PortRange, inner: PortRange): boolean =>
  outer.first <= inner.first && inner.last <= outer.last;

/** Whether a rule matches every packet. */
export function matchesEverything(rule: CalcRule): boolean {
  const { family, protocol, notProtocol, icmp, notIcmp, source, destination } = rule;
  const isFree = (value: unknown): boolean => value === undefined;
  return [family, protocol, notProtocol, icmp, notIcmp].every(isFree) && isAnyone(source) && isAnyone(destination);
}

/** Whether an entity says nothing about the packet. */
export const isAnyone = (entity: CalcEntity): boolean =>
  Object.values(entity).every((list: readonly unknown[]) => list.length === 0);
