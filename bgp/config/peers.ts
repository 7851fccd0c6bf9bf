// BGPPeers and the node-to-node mesh → the sessions of one node.
//
//     wanted sessions: node's own BGPPeers, selected, global, then the mesh ──► one session per peer address, first wins
//
// In the mesh and between nodes both ends dial, and the FSM's collision detection keeps one connection. Calico lets only
// the higher address dial; then a restarted node of lower address waits for the others' retry timers before it has routes.

import { type BGPPeer, parseDurationMs, parsePeerIp } from '../../datastore/model/index.ts';
import { type Address, type Family, familyOf, formatAddress, parseAddress } from '../../net/address.ts';
import { hostPrefix, prefixContains } from '../../net/prefix.ts';
import type { InterfacePeering } from '../discovery.ts';
import { defaultLocalAsMode, parseLocalAsMode } from '../local-as.ts';
import type { FilterRule, PeerSettings, StaticRoute } from '../settings.ts';
import { bfdAnnotation, interfaceAnnotation, localAsAnnotation, parseBfd } from './annotations.ts';
import { peerFilters, sorted } from './filters.ts';
import { addressOfFamily, type NodeFacts, nodeSelector } from './node-facts.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';

const holdTimeSec = 90;
const connectRetrySec = 5;

/** What session names begin with; calicoctl's words for them are in status.ts. */
export type PeerOrigin = 'node' | 'global' | 'mesh';

interface Wanted {
  readonly origin: PeerOrigin;
  readonly address: Address;
  readonly port: number;
  readonly asn: number;
  /** Of the peer, when it is a node of ours. */
  readonly clusterId: number | undefined;
  /** Undefined: the mesh. */
  readonly resource: BGPPeer | undefined;
}

export interface PeersContext {
  readonly self: NodeFacts;
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  readonly resources: BgpResources;
  readonly poolRules: readonly FilterRule[];
}

export interface PeersResult {
  readonly peers: readonly PeerSettings[];
  readonly interfaces: readonly InterfacePeering[];
  /** To peers that a gateway must be named for. */
  readonly staticRoutes: readonly StaticRoute[];
  readonly problems: readonly ConfigProblem[];
}

export function peersOf(context: PeersContext): PeersResult {
  const problems: ConfigProblem[] = [];
  const byAddress = new Map<Address, Wanted>();
  const wanted = [...sorted(context.resources.peers)].flatMap(([, peer]) => wantedOf(peer, context, problems));
  const order = (one: Wanted): number => (one.origin === 'node' ? 0 : one.origin === 'global' ? 1 : 2);
  for (const one of [...wanted, ...meshOf(context)].sort((a, b) => order(a) - order(b))) {
    const first = byAddress.get(one.address);
    if (!first) byAddress.set(one.address, one);
    // A mesh node that a BGPPeer selects too is no mistake: the BGPPeer says how to talk to it.
    else if (one.resource && first.resource !== one.resource) problems.push(duplicate(one.resource, first));
  }
  const peers: PeerSettings[] = [];
  for (const one of byAddress.values()) {
    const peer = peerSettings(one, context, problems);
    if (peer) peers.push(peer);
  }
  peers.sort((a, b) => (a.name < b.name ? -1 : 1));
  const staticRoutes = [...byAddress.values()].flatMap((one) => routeTo(one, problems));
  return { peers, interfaces: interfacesOf(context, problems), staticRoutes, problems: distinct(problems) };
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

const duplicate = (resource: BGPPeer, first: Wanted): ConfigProblem => ({
  resource: nameOf(resource),
  field: 'spec',
  problem: `the session with ${formatAddress(first.address)} is made by ${first.resource ? nameOf(first.resource) : 'the mesh'}`,
});

const nameOf = (peer: BGPPeer): string => `BGPPeer/${peer.metadata.name}`;

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
    const { spec } = resource;
    if (pattern === undefined || spec.peerIP || spec.peerSelector || !concerns(resource, context.self)) return [];
    const wanted: Wanted = {
      origin: 'node',
      address: 0n,
      port: 179,
      asn: spec.asNumber ?? 0,
      clusterId: undefined,
      resource,
    };
    const template = peerSettings(wanted, context, problems);
    if (!template) return [];
    const { sourceAddress: _, ...rest } = template;
    const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
    return [{ pattern, template: { ...rest, name: `interface:${resource.metadata.name}`, families } }];
  });
}

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
    return [{ origin, address, port: node.port, asn: node.asn, clusterId: node.clusterId, resource }];
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
  if (spec.localWorkloadSelector) {
    return isLocal(self)
      ? report('spec.localWorkloadSelector', 'is reserved for later: there is no peering with local workloads')
      : [];
  }
  if (spec.peerSelector) return selected(peer, spec.peerSelector, isLocal, origin, context, report);
  if (!isLocal(self)) return [];
  return external(peer, origin, self, nodes, report);
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
  if (peerIP === undefined && peer.metadata.annotations?.[interfaceAnnotation]) return [];
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

function peerSettings(wanted: Wanted, context: PeersContext, problems: ConfigProblem[]): PeerSettings | undefined {
  const { self, resources, poolRules } = context;
  const { resource, address, asn } = wanted;
  const spec = resource?.spec;
  const password = passwordOf(wanted, resources);
  if (password.kind === 'missing') {
    problems.push(password.problem);
    return undefined;
  }
  const filters = peerFilters(resource, resources, poolRules);
  problems.push(...filters.problems);
  const localAsn = spec?.localASNumber ?? self.asn;
  const internal = asn === localAsn;
  const source = addressOfFamily(self, familyOf(address));
  const keepaliveSec = seconds(spec?.keepaliveTime) ?? 0;
  const restartSec = seconds(resource ? spec?.maxRestartTime : meshRestartTime(resources));
  const ownName = resource ? `${wanted.origin}:${resource.metadata.name}` : 'mesh';
  return {
    name: `${ownName}:${formatAddress(address)}`,
    address,
    port: wanted.port,
    asn,
    ...localAsOf(resource, problems),
    passive: false,
    ...(source === undefined || spec?.sourceAddress === 'None' ? {} : { sourceAddress: source }),
    ...(password.kind === 'password' ? { password: password.text } : {}),
    ...(spec?.ttlSecurity ? { ttlSecurityHops: spec.ttlSecurity } : {}),
    families: [familyOf(address) === 4 ? 'ipv4-unicast' : 'ipv6-unicast'],
    holdTimeSec: keepaliveSec === 0 ? holdTimeSec : Math.max(3, 3 * keepaliveSec),
    keepaliveTimeSec: keepaliveSec,
    connectRetrySec,
    routeReflectorClient: internal && self.clusterId !== undefined && wanted.clusterId !== self.clusterId,
    nextHop: nextHopMode(resource, internal),
    allowedOwnAsns: spec?.numAllowedLocalASNumbers ?? 0,
    gracefulRestart: true,
    ...(restartSec === undefined ? {} : { restartTimeSec: restartSec }),
    addPathSend: false,
    addPathReceive: false,
    ...bfdOf(wanted, context, problems),
    importFilter: filters.importFilter,
    exportFilter: filters.exportFilter,
  };
}

/** Calico's resources have no field for BFD, so it is an annotation: of the BGPPeer, or of BGPConfiguration for the mesh. */
function bfdOf({ resource, address }: Wanted, { self, resources }: PeersContext, problems: ConfigProblem[]) {
  const owner = resource ?? resources.configurations.get('default');
  const text = owner?.metadata.annotations?.[bfdAnnotation];
  if (!owner || text === undefined) return {};
  const multihop = !self.networks.some((network) => prefixContains(network, address));
  const bfd = parseBfd(text, multihop);
  if (bfd) return { bfd };
  problems.push({
    resource: `${owner.kind}/${owner.metadata.name}`,
    field: `metadata.annotations.${bfdAnnotation}`,
    problem: `"${text}" is not a BFD setting; write the interval and the multiplier, as "50ms x 3"`,
  });
  return {};
}

/** Calico's localASNumber is no-prepend replace-as; other modes are an annotation. */
function localAsOf(resource: BGPPeer | undefined, problems: ConfigProblem[]) {
  const asn = resource?.spec.localASNumber;
  const text = resource?.metadata.annotations?.[localAsAnnotation];
  if (!resource || (asn === undefined && text === undefined)) return {};
  const mode = text === undefined ? defaultLocalAsMode : parseLocalAsMode(text);
  const report = (field: string, problem: string) => problems.push({ resource: nameOf(resource), field, problem });
  const field = `metadata.annotations.${localAsAnnotation}`;
  if (asn === undefined) report(field, 'has no effect without spec.localASNumber');
  else if (!mode) report(field, `"${text}" is not a mode; write "plain", or some of no-prepend, replace-as, dual-as`);
  return asn === undefined ? {} : { localAs: { asn, ...(mode ?? defaultLocalAsMode) } };
}

function nextHopMode(peer: BGPPeer | undefined, internal: boolean): PeerSettings['nextHop'] {
  switch (peer?.spec.nextHopMode) {
    case 'Self':
      return 'self';
    case 'Keep':
      return 'keep';
    default:
      // The older field counts towards eBGP peers only.
      return peer?.spec.keepOriginalNextHop && !internal ? 'keep' : 'auto';
  }
}

const meshRestartTime = (resources: BgpResources): string | undefined =>
  resources.configurations.get('default')?.spec.nodeMeshMaxRestartTime;

function seconds(duration: string | undefined): number | undefined {
  const ms = duration === undefined ? undefined : parseDurationMs(duration);
  return ms === undefined ? undefined : Math.round(ms / 1000);
}

type Password =
  | { readonly kind: 'none' }
  | { readonly kind: 'password'; readonly text: string }
  | { readonly kind: 'missing'; readonly problem: ConfigProblem };

/** A session whose password cannot be read stays down: without one it would be open to anybody. */
function passwordOf({ resource }: Wanted, resources: BgpResources): Password {
  const given = resource ? resource.spec.password : resources.configurations.get('default')?.spec.nodeMeshPassword;
  const ref = given?.secretKeyRef;
  if (!ref) return { kind: 'none' };
  const text = resources.secret(ref.name ?? '', ref.key);
  if (text !== undefined && text !== '') return { kind: 'password', text };
  const field = resource ? 'spec.password' : 'spec.nodeMeshPassword';
  const owner = resource ? nameOf(resource) : 'BGPConfiguration/default';
  const problem = `Secret ${ref.name ?? ''} has no key ${ref.key} here; the session stays down`;
  return { kind: 'missing', problem: { resource: owner, field, problem } };
}
