// Rules as people write them → rules as the dataplane and the evaluator take them.
//
// Names become numbers, selectors become IP sets, nets and ports lose their overlaps. Input is validated. What we know of
// but cannot enforce (services, HTTP) fails closed: an Allow with such a match never matches, any other action does not
// get narrower by it.

import type { rule as ruleType } from '../../datastore/model/kinds/rule.ts';
import { type Port, parsePort, parseProtocol } from '../../datastore/model/schema/scalars-net.ts';
import type { Output } from '../../datastore/model/schema/types.ts';
import { type Selector, selectorFrom, selectorId, uniqueId } from '../../datastore/model/selector/index.ts';
import { parseAddress } from '../../net/address.ts';
import {
  comparePrefixes,
  hostPrefix,
  type Prefix,
  parseInterfaceAddress,
  prefixCovers,
  prefixOf,
} from '../../net/prefix.ts';
import type { IpSetSpec } from './ip-sets.ts';
import type { CalcEntity, CalcRule, PortRange, RuleAction } from './output.ts';
import { entitySelector, indexed, parsedSelector } from './selectors.ts';

export type RuleInput = Output<typeof ruleType>;
type EntityInput = NonNullable<RuleInput['source']>;

export interface CompiledRules {
  readonly rules: readonly CalcRule[];
  /** The IP sets that the rules refer to. */
  readonly sets: readonly IpSetSpec[];
}

export interface RuleContext {
  readonly direction: 'ingress' | 'egress';
  /** The namespace of the policy; empty for global policies and profiles. */
  readonly namespace: string;
  /**
   * The endpoints that the rules are for, where that end of a packet is always one of them. It bounds the named ports of
   * that end: without it a port name means every endpoint of the cluster.
   */
  readonly subject?: Selector;
}

const actions = { Allow: 'allow', Deny: 'deny', Pass: 'pass', Log: 'log' } as const satisfies Record<
  string,
  RuleAction
>;
const noEntity: EntityInput = {};
const everything = selectorFrom('all()');

/** A rule that denies everything: what stands in for rules that cannot be read. */
export function denyRule(origin: string): CalcRule {
  return { action: 'deny', source: anyone, destination: anyone, origin };
}

const anyone: CalcEntity = {
  prefixes: [],
  notPrefixes: [],
  ipSets: [],
  notIpSets: [],
  ports: [],
  namedPortSets: [],
  notPorts: [],
  notNamedPortSets: [],
};

/** Compiles one rule; undefined when it can never match. */
export function compileRule(
  rule: RuleInput,
  origin: string,
  context: RuleContext,
  sets: Map<string, IpSetSpec>,
): CalcRule | undefined {
  if (!isReadable(rule)) return denyRule(origin);
  const unenforceable = isUnenforceable(rule);
  if (unenforceable && rule.action === 'Allow') return undefined;
  const protocol = rule.protocol === undefined ? undefined : parseProtocol(rule.protocol);
  const notProtocol = rule.notProtocol === undefined ? undefined : parseProtocol(rule.notProtocol);
  const subjectSide = context.direction === 'ingress' ? 'destination' : 'source';
  const entity = (side: 'source' | 'destination'): CalcEntity =>
    compileEntity(rule[side] ?? noEntity, {
      namespace: context.namespace,
      protocol,
      subject: side === subjectSide ? context.subject : undefined,
      sets,
    });
  const icmp = icmpMatch(rule.icmp);
  const notIcmp = icmpMatch(rule.notICMP);
  return {
    action: unenforceable && rule.action === 'Pass' ? 'deny' : actions[rule.action],
    ...(rule.ipVersion && { family: rule.ipVersion }),
    ...(protocol !== undefined && { protocol }),
    ...(notProtocol !== undefined && { notProtocol }),
    ...(icmp && { icmp }),
    ...(notIcmp && { notIcmp }),
    source: entity('source'),
    destination: entity('destination'),
    origin,
  };
}

/** Has matches that are known, and that nothing here enforces. */
export const isUnenforceable = ({ http, source, destination }: RuleInput): boolean =>
  (http ?? source?.services ?? destination?.services) !== undefined;

/**
 * Validation has read all of this before. Should it ever accept what is not understood here, leaving that out would make
 * a rule match more than it says.
 */
function isReadable(rule: RuleInput): boolean {
  const protocols = [rule.protocol, rule.notProtocol].filter((protocol) => protocol !== undefined);
  const entities = [rule.source, rule.destination].filter((entity) => entity !== undefined);
  return (
    protocols.every((protocol) => parseProtocol(protocol) !== undefined) &&
    entities.every(
      ({ nets = [], notNets = [], ports = [], notPorts = [] }) =>
        [...nets, ...notNets].every((net) => readNetwork(net) !== undefined) &&
        [...ports, ...notPorts].every((port) => parsePort(port) !== undefined),
    )
  );
}

function icmpMatch(match: RuleInput['icmp']): CalcRule['icmp'] {
  if (match?.type === undefined) return undefined;
  return { type: match.type, ...(match.code !== undefined && { code: match.code }) };
}

interface EntityContext {
  readonly namespace: string;
  readonly protocol: number | undefined;
  readonly subject: Selector | undefined;
  readonly sets: Map<string, IpSetSpec>;
}

function compileEntity(entity: EntityInput, context: EntityContext): CalcEntity {
  const selector = entitySelector(entity, context.namespace);
  const bearers = selector ?? context.subject ?? everything;
  const ports = splitPorts(entity.ports);
  const notPorts = splitPorts(entity.notPorts);
  const named = (names: readonly string[]): string[] =>
    names.map((name) => addSet(context.sets, namedPortSet(bearers, name, context.protocol ?? 0)));
  return {
    prefixes: outermost(entity.nets),
    notPrefixes: outermost(entity.notNets),
    ipSets: selector ? [addSet(context.sets, selectorSet(selector))] : [],
    notIpSets: entity.notSelector ? [addSet(context.sets, selectorSet(parsedSelector(entity.notSelector)))] : [],
    ports: ports.ranges,
    namedPortSets: named(ports.names),
    notPorts: notPorts.ranges,
    notNamedPortSets: named(notPorts.names),
  };
}

function addSet(sets: Map<string, IpSetSpec>, spec: IpSetSpec): string {
  sets.set(spec.id, spec);
  return spec.id;
}

const selectorSet = (selector: Selector): IpSetSpec => ({ id: selectorId(selector), selector: indexed(selector) });

function namedPortSet(selector: Selector, name: string, protocol: number): IpSetSpec {
  const id = uniqueId('n', `${selector.text},${protocol},${name}`);
  return { id, selector: indexed(selector), port: { name, protocol } };
}

function splitPorts(ports: readonly Port[] | undefined): { ranges: readonly PortRange[]; names: readonly string[] } {
  const ranges: PortRange[] = [];
  const names = new Set<string>();
  for (const port of ports ?? []) {
    const parsed = parsePort(port);
    if (parsed?.kind === 'range') ranges.push({ first: parsed.first, last: parsed.last });
    else if (parsed) names.add(parsed.name);
  }
  return { ranges: mergeRanges(ranges), names: [...names] };
}

/** Sorted, with overlapping and adjacent ranges joined. */
export function mergeRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const previous = merged.at(-1);
    if (previous && first <= previous.last + 1) previous.last = Math.max(previous.last, last);
    else merged.push({ first, last });
  }
  return merged;
}

/** A network or an address; host bits are masked away. */
export function readNetwork(text: string): Prefix | undefined {
  const network = parseInterfaceAddress(text);
  if (network) return prefixOf(network.address, network.length);
  const address = parseAddress(text);
  return address === undefined ? undefined : hostPrefix(address);
}

/** Sorted, without those that another one covers. */
export function outermost(nets: readonly string[] | undefined): readonly Prefix[] {
  if (!nets || nets.length === 0) return [];
  const prefixes: Prefix[] = [];
  for (const net of nets) {
    const prefix = readNetwork(net);
    if (prefix) prefixes.push(prefix);
  }
  // In this order a prefix comes right after those that cover it.
  prefixes.sort(comparePrefixes);
  const kept: Prefix[] = [];
  for (const prefix of prefixes) {
    const previous = kept.at(-1);
    if (!previous || !prefixCovers(previous, prefix)) kept.push(prefix);
  }
  return kept;
}
