// What the peers of a node must know of it: addresses, AS, port, cluster id, labels.

import { labelsFrom, matches, type Node, parseSelector } from '../../datastore/model/index.ts';
import { type Address, type Family, type Ipv4, parseIpv4 } from '../../net/address.ts';
import { type Prefix, parseInterfaceAddress, prefixOf } from '../../net/prefix.ts';
import type { BgpResources } from './resources.ts';

export const defaultAsn = 64512;
export const defaultPort = 179;

export interface NodeFacts {
  readonly name: string;
  readonly address4: Address | undefined;
  readonly address6: Address | undefined;
  /** The node's own networks: whoever is inside is one hop away. */
  readonly networks: readonly Prefix[];
  readonly asn: number;
  readonly port: number;
  /** Set on route reflectors. */
  readonly clusterId: Ipv4 | undefined;
  readonly labels: Readonly<Record<string, string>> | undefined;
}

/** Undefined for nodes that take no part in BGP. */
export function nodeFacts(node: Node, resources: BgpResources): NodeFacts | undefined {
  const { name, labels } = node.metadata;
  const { bgp } = node.spec;
  if (!bgp) return undefined;
  const common = resources.configurations.get('default')?.spec;
  const own = resources.configurations.get(`node.${name}`)?.spec;
  return {
    name,
    address4: hostAddress(bgp.ipv4Address),
    address6: hostAddress(bgp.ipv6Address),
    networks: [bgp.ipv4Address, bgp.ipv6Address].flatMap(networkOf),
    asn: bgp.asNumber ?? common?.asNumber ?? defaultAsn,
    port: own?.listenPort ?? common?.listenPort ?? defaultPort,
    clusterId: bgp.routeReflectorClusterID === undefined ? undefined : parseIpv4(bgp.routeReflectorClusterID),
    labels,
  };
}

/** The node's address of the family, with or without its subnet's length in the resource. */
function hostAddress(text: string | undefined): Address | undefined {
  if (text === undefined) return undefined;
  return parseInterfaceAddress(text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`)?.address;
}

function networkOf(text: string | undefined): Prefix[] {
  const parsed = parseInterfaceAddress(text ?? '');
  return parsed ? [prefixOf(parsed.address, parsed.length)] : [];
}

export const addressOfFamily = (facts: NodeFacts, family: Family): Address | undefined =>
  family === 4 ? facts.address4 : facts.address6;

/** The facts of all nodes that take part, by name. */
export function allNodeFacts(resources: BgpResources): ReadonlyMap<string, NodeFacts> {
  const all = new Map<string, NodeFacts>();
  for (const [name, node] of resources.nodes) {
    const facts = nodeFacts(node, resources);
    if (facts) all.set(name, facts);
  }
  return all;
}

/** A test for nodes; undefined when the selector cannot be read. */
export function nodeSelector(text: string): ((facts: NodeFacts) => boolean) | undefined {
  const parsed = parseSelector(text);
  if (parsed.kind !== 'selector') return undefined;
  const { selector } = parsed;
  return (facts) => matches(selector, labelsFrom(facts.labels));
}
