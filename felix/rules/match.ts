// One rule of the policy language as clauses: the rule matches when any clause does.
//
// A rule becomes several clauses where nft has no "or": the two families when addresses matter, an IP set kept in two kernel
// sets (single addresses, prefixes), numeric ports beside named ones. A clause is a box – what can become a key of a
// lookup – and the rest, matches as text.

import type { Family } from '../../net/address.ts';
import type { CalcEntity, CalcRule, IpSetId, PortRange } from '../calc/output.ts';
import { addressRangeKey, numberRangeKey } from '../nft/objects.ts';
import { ipSetName, type SetPart } from './names.ts';
import { type AddressRange, mergePorts, mergePrefixes } from './ranges.ts';

/** Which kernel sets an IP set has: those that have members. */
export type SetParts = (id: IpSetId) => ReadonlySet<SetPart>;

/** A product of intervals; a dimension that is absent matches anything. The lists are merged. */
export interface Box {
  readonly source?: readonly AddressRange[];
  readonly destination?: readonly AddressRange[];
  readonly protocol?: number;
  readonly sourcePorts?: readonly PortRange[];
  readonly destinationPorts?: readonly PortRange[];
}

export interface Clause {
  /** Given when the clause looks at addresses. */
  readonly family?: Family;
  readonly box: Box;
  readonly rest: readonly string[];
}

export const TCP = 6;
export const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;

/** No clause at all: the rule can match nothing, such as one whose selector selects nobody. */
export function clausesOf(rule: CalcRule, parts: SetParts): Clause[] {
  if (!mentionsAddresses(rule)) return clausesOfFamily(rule, rule.family, parts);
  const families: readonly Family[] = rule.family ? [rule.family] : [4, 6];
  return families.flatMap((family) => clausesOfFamily(rule, family, parts));
}

const mentionsAddresses = ({ source, destination }: CalcRule): boolean =>
  [source, destination].some(
    (side) =>
      side.prefixes.length +
        side.notPrefixes.length +
        side.ipSets.length +
        side.notIpSets.length +
        side.namedPortSets.length +
        side.notNamedPortSets.length >
      0,
  );

function clausesOfFamily(rule: CalcRule, family: Family | undefined, parts: SetParts): Clause[] {
  const source = sideOf(rule.source, 'saddr', 'sport', family, parts);
  const destination = sideOf(rule.destination, 'daddr', 'dport', family, parts);
  if (!source || !destination) return [];
  const icmp = icmpMatches(rule);
  if (!icmp) return [];
  const protocol = [...(rule.notProtocol === undefined ? [] : [`meta l4proto != ${rule.notProtocol}`]), ...icmp];
  const clauses: Clause[] = [];
  for (const from of source.alternatives) {
    for (const to of destination.alternatives) {
      clauses.push({
        ...(family && { family }),
        box: {
          ...(source.addresses && { source: source.addresses }),
          ...(destination.addresses && { destination: destination.addresses }),
          ...(rule.protocol !== undefined && { protocol: rule.protocol }),
          ...(from.ports && { sourcePorts: from.ports }),
          ...(to.ports && { destinationPorts: to.ports }),
        },
        rest: [...protocol, ...source.matches, ...from.matches, ...destination.matches, ...to.matches],
      });
    }
  }
  return clauses;
}

interface Side {
  readonly addresses?: readonly AddressRange[];
  readonly matches: readonly string[];
  /** One of them has to hold. */
  readonly alternatives: readonly Alternative[];
}

interface Alternative {
  readonly ports?: readonly PortRange[];
  readonly matches: readonly string[];
}

/** What one side of the rule asks for; undefined when no packet of the family can fulfil it. */
function sideOf(
  entity: CalcEntity,
  address: 'saddr' | 'daddr',
  port: 'sport' | 'dport',
  family: Family | undefined,
  parts: SetParts,
): Side | undefined {
  const addressField = `${family === 6 ? 'ip6' : 'ip'} ${address}`;
  const portField = `${addressField} . meta l4proto . th ${port}`;
  const prefixes = family && entity.prefixes.length > 0 ? mergePrefixes(entity.prefixes, family) : undefined;
  if (prefixes?.length === 0) return undefined;

  const matches: string[] = [];
  if (family) {
    const notPrefixes = mergePrefixes(entity.notPrefixes, family);
    if (notPrefixes.length > 0) matches.push(`${addressField} != ${rangeSet(notPrefixes)}`);
    for (const id of entity.notIpSets) {
      for (const name of setNames(id, parts, family, ['hosts', 'prefixes']))
        matches.push(`${addressField} != @${name}`);
    }
    for (const id of entity.notNamedPortSets) {
      for (const name of setNames(id, parts, family, ['ports'])) matches.push(`${portField} != @${name}`);
    }
  }
  if (entity.notPorts.length > 0) matches.push(`th ${port} != ${portSet(mergePorts(entity.notPorts))}`);

  let alternatives = portAlternatives(entity, portField, family, parts);
  for (const id of entity.ipSets) {
    const names = family ? setNames(id, parts, family, ['hosts', 'prefixes']) : [];
    alternatives = names.flatMap((name) =>
      alternatives.map((other) => ({ ...other, matches: [`${addressField} @${name}`, ...other.matches] })),
    );
  }
  return alternatives.length === 0 ? undefined : { ...(prefixes && { addresses: prefixes }), matches, alternatives };
}

function portAlternatives(
  entity: CalcEntity,
  portField: string,
  family: Family | undefined,
  parts: SetParts,
): Alternative[] {
  if (entity.ports.length === 0 && entity.namedPortSets.length === 0) return [{ matches: [] }];
  const numeric: Alternative[] = entity.ports.length > 0 ? [{ ports: mergePorts(entity.ports), matches: [] }] : [];
  const named = entity.namedPortSets.flatMap((id) => (family ? setNames(id, parts, family, ['ports']) : []));
  return [...numeric, ...named.map((name) => ({ matches: [`${portField} @${name}`] }))];
}

function setNames(
  id: IpSetId,
  parts: SetParts,
  family: Family,
  kinds: readonly ('hosts' | 'prefixes' | 'ports')[],
): string[] {
  const present = parts(id);
  return kinds
    .map((kind): SetPart => `${kind}${family}`)
    .filter((part) => present.has(part))
    .map((part) => ipSetName(id, part));
}

/** Undefined: asks for ICMP types of a protocol that has none, which nothing fulfils. */
function icmpMatches(rule: CalcRule): string[] | undefined {
  const { icmp, notIcmp } = rule;
  if (!icmp && !notIcmp) return [];
  const name = rule.protocol === ICMP ? 'icmp' : rule.protocol === ICMPV6 ? 'icmpv6' : undefined;
  if (!name) return undefined;
  const matches: string[] = [];
  if (icmp)
    matches.push(`${name} type ${icmp.type}`, ...(icmp.code === undefined ? [] : [`${name} code ${icmp.code}`]));
  if (notIcmp && notIcmp.code === undefined) matches.push(`${name} type != ${notIcmp.type}`);
  // Type and code lie side by side; nft has no "not (a and b)" but can compare the two bytes as one number.
  if (notIcmp?.code !== undefined) matches.push(`@th,0,16 != ${notIcmp.type * 256 + notIcmp.code}`);
  return matches;
}

/** The clause as matches in nft's language. */
export function clauseText(clause: Clause): string {
  const { family, box, rest } = clause;
  const ip = family === 6 ? 'ip6' : 'ip';
  const matches: string[] = [];
  const looksAtAddresses = box.source || box.destination || rest.some((match) => match.startsWith(`${ip} `));
  if (family && !looksAtAddresses) matches.push(`meta nfproto ipv${family}`);
  if (box.source) matches.push(`${ip} saddr ${rangeSet(box.source)}`);
  if (box.destination) matches.push(`${ip} daddr ${rangeSet(box.destination)}`);
  if (box.protocol !== undefined) matches.push(`meta l4proto ${box.protocol}`);
  if (box.sourcePorts) matches.push(`th sport ${portSet(box.sourcePorts)}`);
  if (box.destinationPorts) matches.push(`th dport ${portSet(box.destinationPorts)}`);
  return [...matches, ...rest].join(' ');
}

export function rangeSet(ranges: readonly AddressRange[]): string {
  return braces(ranges.map((range) => addressRangeKey(range.first, range.last)));
}

export function portSet(ranges: readonly PortRange[]): string {
  return braces(ranges.map((range) => numberRangeKey(range.first, range.last)));
}

const braces = (keys: readonly string[]): string => (keys.length === 1 ? keys.join('') : `{ ${keys.join(', ')} }`);
