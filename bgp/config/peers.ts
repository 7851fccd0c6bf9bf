// BGPPeers and the node-to-node mesh → the sessions of one node.
//
//     wanted sessions: node's own BGPPeers, selected, global, then the mesh ──► one session per peer address, first wins
//
// In the mesh and between nodes both ends dial, and the FSM's collision detection keeps one connection. Calico lets only
// the higher address dial; then a restarted node of lower address waits for the others' retry timers before it has routes.

import { type BGPPeer, parsePeerIp } from '../../datastore/model/index.ts';
import { type Address, type Family, familyOf, formatAddress, parseAddress } from '../../net/address.ts';
import { hostPrefix } from '../../net/prefix.ts';
import type { InterfacePeering } from '../discovery.ts';
import type { DynamicPeerSettings, PeerSettings, StaticRoute } from '../settings.ts';
import { interfaceAnnotation } from './annotations.ts';
import { sorted } from './filters.ts';
import { addressOfFamily, defaultPort, type NodeFacts, nodeSelector } from './node-facts.ts';
import { listenRangeAnnotation, listenRanges } from './peer-annotations.ts';
import { nameOf, type PeerOrigin, type PeersContext, peerSettings, sessionName, type Wanted } from './peer-settings.ts';
import type { ConfigProblem } from './resources.ts';
import { peeringAddress, selectedWorkloads } from './workloads.ts';

/** Of two sessions with one address the more particular one is made. */
const precedence: Readonly<Record<PeerOrigin, number>> = { 'local-workload': 0, node: 1, global: 2, mesh: 3 };

export interface PeersResult {
  readonly peers: readonly PeerSettings[];
  readonly dynamicPeers: readonly DynamicPeerSettings[];
  readonly interfaces: readonly InterfacePeering[];
  /** To peers that a gateway must be named for. */
  readonly staticRoutes: readonly StaticRoute[];
  readonly problems: readonly ConfigProblem[];
}

export function peersOf(context: PeersContext): PeersResult {
  const problems: ConfigProblem[] = [];
  const byAddress = new Map<Address, Wanted>();
  const wanted = [...sorted(context.resources.peers)].flatMap(([, peer]) => wantedOf(peer, context, problems));
  for (const one of [...wanted, ...meshOf(context)].sort((a, b) => precedence[a.origin] - precedence[b.origin])) {
    const first = byAddress.get(one.address);
    if (!first) byAddress.set(one.address, one);
    // A mesh node that a BGPPeer selects too is no mistake: the BGPPeer says how to talk to it.
    else if (one.resource && first.resource !== one.resource) problems.push(duplicate(one.resource, first));
  }
  const pairs = pairsOf([...byAddress.values()]);
  const peers: PeerSettings[] = [];
  for (const one of byAddress.values()) {
    const peer = peerSettings(one, context, problems);
    if (peer) peers.push({ ...peer, ...sharing(one, pairs.get(one), context.self) });
  }
  peers.sort((a, b) => (a.name < b.name ? -1 : 1));
  const interfaces = interfacesOf(context, problems);
  const dynamicPeers = rangesOf(context, problems);
  const staticRoutes = [...byAddress.values()].flatMap((one) => routeTo(one, problems));
  return { peers, dynamicPeers, interfaces, staticRoutes, problems: distinct(problems) };
}

/** reachableBy: a route to the peer alone, by this gateway. */
function routeTo({ address, resource }: Wanted, problems: ConfigProblem[]): StaticRoute[] {
  const text = resource?.spec.reachableBy;
  if (!resource || !text) return [];
  const gateway = parseAddress(text);
  if (gateway !== undefined && gateway !== address && familyOf(gateway) === familyOf(address)) {
    return [{ origin: `${nameOf(resource)} reachableBy`, prefix: hostPrefix(address), gateway }];
  }
  const problem = `"${text}" is not the address of a gateway to ${formatAddress(address)}; write one of the same family`;
  problems.push({ resource: nameOf(resource), field: 'spec.reachableBy', problem });
  return [];
}

/** Each session with the other one to the same node, of the other family and wanted by the same resource. */
function pairsOf(all: readonly Wanted[]): ReadonlyMap<Wanted, Wanted> {
  const first = new Map<string, Wanted>();
  const pairs = new Map<Wanted, Wanted>();
  for (const one of all) {
    if (one.node === undefined) continue;
    const key = `${one.node} ${one.resource?.metadata.name ?? ''}`;
    const other = first.get(key);
    if (!other) first.set(key, one);
    else pairs.set(one, other).set(other, one);
  }
  return pairs;
}

/**
 * One session carries both families between nodes that have both: that over IPv4. The other one is for a node that does not
 * take part in that, as Calico's: see speaker/fallbacks.ts.
 */
function sharing(one: Wanted, other: Wanted | undefined, self: NodeFacts) {
  if (!other || typeof self.address6 !== 'bigint') return {};
  if (familyOf(one.address) === 6) return { fallbackFor: sessionName(other) };
  return { families: ['ipv4-unicast', 'ipv6-unicast'] as const, ownIpv6Address: self.address6 };
}

const duplicate = (resource: BGPPeer, first: Wanted): ConfigProblem => ({
  resource: nameOf(resource),
  field: 'spec',
  problem: `the session with ${formatAddress(first.address)} is made by ${first.resource ? nameOf(first.resource) : 'the mesh'}`,
});

/** One BGPPeer that selects a hundred peers says what is wrong with it once. */
function distinct(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const seen = new Map(problems.map((one) => [`${one.resource} ${one.field} ${one.problem}`, one]));
  return [...seen.values()];
}

function meshOf({ self, nodes, resources }: PeersContext): Wanted[] {
  const enabled = resources.configurations.get('default')?.spec.nodeToNodeMeshEnabled ?? true;
  // Reflectors replace the mesh: they are reached by BGPPeers.
  if (!enabled || self.clusterId !== undefined) return [];
  return [...nodes.values()].flatMap((node) =>
    node.clusterId === undefined ? sessionsWith(node, self, 'mesh', undefined) : [],
  );
}

/** BGPPeers that name an interface: what the sessions with whoever is found there will be like. */
function interfacesOf(context: PeersContext, problems: ConfigProblem[]): InterfacePeering[] {
  return sorted(context.resources.peers).flatMap(([, resource]) => {
    const pattern = resource.metadata.annotations?.[interfaceAnnotation];
    if (pattern === undefined || !hasNoPeer(resource) || !concerns(resource, context.self)) return [];
    const template = peerSettings(unknownPeer(resource, 0n), context, problems);
    if (!template) return [];
    const { sourceAddress: _, ...rest } = template;
    const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
    return [{ pattern, template: { ...rest, name: `interface:${resource.metadata.name}`, families } }];
  });
}

/** BGPPeers that name ranges of addresses: what the sessions with whoever calls from there will be like. */
function rangesOf(context: PeersContext, problems: ConfigProblem[]): DynamicPeerSettings[] {
  return sorted(context.resources.peers).flatMap(([, resource]) => {
    if (!hasNoPeer(resource) || !concerns(resource, context.self)) return [];
    return (listenRanges(resource, problems) ?? []).flatMap((range) => {
      const template = peerSettings(unknownPeer(resource, range.address), context, problems);
      if (!template) return [];
      const { address: _a, passive: _p, sourceAddress: _s, asn, ...rest } = template;
      const name = `range:${resource.metadata.name}`;
      return [{ ...rest, name, range, ...(asn === 0 ? {} : { asn }) }];
    });
  });
}

const hasNoPeer = ({ spec }: BGPPeer): boolean => !spec.peerIP && !spec.peerSelector && !spec.localWorkloadSelector;

const unknownPeer = (resource: BGPPeer, address: Address): Wanted => ({
  origin: 'node',
  address,
  port: defaultPort,
  asn: resource.spec.asNumber ?? 0,
  clusterId: undefined,
  resource,
});

function concerns({ spec }: BGPPeer, self: NodeFacts): boolean {
  if (spec.node) return spec.node === self.name;
  return spec.nodeSelector ? (nodeSelector(spec.nodeSelector)?.(self) ?? false) : true;
}

/** A session for each family that both nodes have an address of. */
function sessionsWith(node: NodeFacts, self: NodeFacts, origin: PeerOrigin, resource: BGPPeer | undefined): Wanted[] {
  if (node.name === self.name) return [];
  const families: readonly Family[] = [4, 6];
  return families.flatMap((family) => {
    const address = addressOfFamily(node, family);
    if (address === undefined || addressOfFamily(self, family) === undefined) return [];
    // Two Node resources with one address are one machine, or a mistake; either way nobody to talk to.
    if (address === addressOfFamily(self, family)) return [];
    return [{ origin, address, port: node.port, asn: node.asn, clusterId: node.clusterId, node: node.name, resource }];
  });
}

function wantedOf(peer: BGPPeer, context: PeersContext, problems: ConfigProblem[]): Wanted[] {
  const { spec } = peer;
  const { self, nodes } = context;
  const report = (field: string, problem: string): Wanted[] => {
    problems.push({ resource: nameOf(peer), field, problem });
    return [];
  };
  const origin: PeerOrigin = spec.node || spec.nodeSelector ? 'node' : 'global';
  const localSelector = spec.nodeSelector ? nodeSelector(spec.nodeSelector) : undefined;
  if (spec.nodeSelector && !localSelector) return report('spec.nodeSelector', 'is not a selector');
  const isLocal = (facts: NodeFacts): boolean =>
    spec.node ? facts.name === spec.node : localSelector ? localSelector(facts) : true;
  if (spec.localWorkloadSelector)
    return isLocal(self) ? workloads(peer, spec.localWorkloadSelector, context, report) : [];
  if (spec.peerSelector) return selected(peer, spec.peerSelector, isLocal, origin, context, report);
  if (!isLocal(self)) return [];
  return external(peer, origin, self, nodes, report);
}

function workloads(
  resource: BGPPeer,
  selectorText: string,
  { self, resources }: PeersContext,
  report: ReportProblem,
): Wanted[] {
  return selectedWorkloads(selectorText, resources).flatMap(({ address, workload }): Wanted[] => {
    const family = familyOf(address);
    const source = peeringAddress(resources, family) ?? addressOfFamily(self, family);
    if (source === undefined) {
      const field = `localWorkloadPeeringIPV${family}`;
      return report(
        'spec.localWorkloadSelector',
        `${workload} has an IPv${family} address, and there is none here to peer from: set ${field} in BGPConfiguration/default`,
      );
    }
    const asn = resource.spec.asNumber ?? 0;
    return [{ origin: 'local-workload', address, port: defaultPort, asn, clusterId: undefined, source, resource }];
  });
}

type ReportProblem = (field: string, problem: string) => Wanted[];

function selected(
  peer: BGPPeer,
  selectorText: string,
  isLocal: (facts: NodeFacts) => boolean,
  origin: PeerOrigin,
  { self, nodes }: PeersContext,
  report: ReportProblem,
): Wanted[] {
  const isRemote = nodeSelector(selectorText);
  if (!isRemote) return report('spec.peerSelector', 'is not a selector');
  // Unless told otherwise, whoever is selected as a peer peers back: nobody has to write the reverse BGPPeer.
  const forth = isLocal(self);
  const back = peer.spec.reversePeering !== 'Manual' && isRemote(self);
  return [...nodes.values()].flatMap((node) =>
    (forth && isRemote(node)) || (back && isLocal(node)) ? sessionsWith(node, self, origin, peer) : [],
  );
}

function external(
  peer: BGPPeer,
  origin: PeerOrigin,
  self: NodeFacts,
  nodes: ReadonlyMap<string, NodeFacts>,
  report: ReportProblem,
): Wanted[] {
  const { peerIP, asNumber } = peer.spec;
  const { annotations = {} } = peer.metadata;
  if (peerIP === undefined && (annotations[interfaceAnnotation] || annotations[listenRangeAnnotation])) return [];
  if (peerIP === undefined)
    return report('spec.peerIP', 'is missing, and so is peerSelector: there is nobody to peer with');
  const parsed = parsePeerIp(peerIP);
  const address = parseAddress(parsed?.address ?? '');
  if (address === undefined) return report('spec.peerIP', `"${peerIP}" is not an address`);
  const own = addressOfFamily(self, familyOf(address));
  if (own === address) return [];
  if (own === undefined) {
    return report('spec.peerIP', `is IPv${familyOf(address)}, and Node/${self.name} has no such address in spec.bgp`);
  }
  const node = [...nodes.values()].find((facts) => addressOfFamily(facts, familyOf(address)) === address);
  const asn = asNumber ?? node?.asn;
  if (asn === undefined) return report('spec.asNumber', 'is missing, and peerIP is not the address of a Node');
  return [
    { origin, address, port: parsed?.port ?? node?.port ?? 179, asn, clusterId: node?.clusterId, resource: peer },
  ];
}
