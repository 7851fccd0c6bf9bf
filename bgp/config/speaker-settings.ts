// Resources → what this node's speaker is to do. A pure function: Speaker.configure() finds what changed.
//
//     Node, BGPConfiguration ──► identity, listeners ─┐
//     BGPPeer, mesh, BGPFilter, IPPool ──► peers      ├──► SpeakerSettings, and what was wrong on the way
//     confirmed block affinities ──► originate        ─┘
//
// A resource that is wrong or incomplete loses its own effect and takes nobody else's with it.

import { type Address, type Family, familyOf, formatIpv4, type Ipv4, widthOf } from '../../net/address.ts';
import {
  comparePrefixes,
  type Prefix,
  parseInterfaceAddress,
  parsePrefixOrAddress,
  prefixOf,
} from '../../net/prefix.ts';
import type { LogLevel } from '../../runtime/log.ts';
import type { InterfacePeering } from '../discovery.ts';
import type {
  FibSettings,
  ListenSettings,
  OriginatedRoute,
  PeerSettings,
  SpeakerSettings,
  WorkloadSettings,
} from '../settings.ts';
import { communitiesOf } from '../speaker/workload-routes.ts';
import {
  bestPathAnnotation,
  bestPathHelp,
  bmpAnnotation,
  isDraining,
  parseBestPath,
  parseStations,
} from './annotations.ts';
import { normalPriorities, parseCommunity, poolExportRules, sorted } from './filters.ts';
import { allNodeFacts, type NodeFacts } from './node-facts.ts';
import { peersOf } from './peers.ts';
import { reservedProblems } from './reserved.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';
import { peeringAddress, peeringProblems } from './workloads.ts';

export type { BgpResources, ConfigProblem } from './resources.ts';

/** The kernel's number for "routes of twill's bgp"; see ARCHITECTURE.md. */
export const bgpRouteProtocol = 81;
const mainTable = 254;
/** Of felix's routes to endpoints of this node. */
const workloadRouteProtocol = 80;
const restartTimeSec = 120;
const maxPaths = 16;

export interface SettingsResult {
  /** Undefined: this node takes no part in BGP, or cannot yet. */
  readonly settings: SpeakerSettings | undefined;
  /** Announce everything as about to go (RFC 8326). */
  readonly drain: boolean;
  /** Addresses that this node has for its workloads to peer with. */
  readonly localAddresses: readonly Address[];
  /** Peers to be found on interfaces: see discovery.ts. */
  readonly interfaces: readonly InterfacePeering[];
  /** Undefined: as the program was started. */
  readonly logLevel: LogLevel | undefined;
  readonly problems: readonly ConfigProblem[];
}

export function speakerSettings(resources: BgpResources, nodeName: string): SettingsResult {
  const logLevel = logLevelOf(resources, nodeName);
  const nodes = allNodeFacts(resources);
  const self = nodes.get(nodeName);
  if (!self || (self.address4 === undefined && self.address6 === undefined)) {
    const problems = [nodeProblem(resources, nodeName)];
    return { settings: undefined, drain: false, localAddresses: [], interfaces: [], logLevel, problems };
  }
  const common = resources.configurations.get('default')?.spec;
  const sessions = peersOf({ self, nodes, resources, poolRules: poolExportRules(resources) });
  const { peers, dynamicPeers, interfaces, staticRoutes } = sessions;
  const communities = advertisedCommunities(resources, nodeName);
  const bmp = annotated(
    resources,
    nodeName,
    bmpAnnotation,
    parseStations,
    'a list of monitoring stations; write address and port, as "10.0.0.9:1790"',
  );
  const bestPath = annotated(
    resources,
    nodeName,
    bestPathAnnotation,
    parseBestPath,
    `a list of ways to compare paths; there are ${bestPathHelp}`,
  );
  const localAddresses = peeringAddresses(resources, peers);
  const settings: SpeakerSettings = {
    routerId: routerIdOf(self),
    asn: self.asn,
    ...(self.clusterId === undefined ? {} : { clusterId: self.clusterId }),
    listen: listenersOf(self, common?.bindMode === 'NodeIP', interfaces.length > 0, localAddresses),
    peers,
    dynamicPeers,
    originate: originated(resources.blocks, communities),
    workloads: { inside: poolPrefixes(resources), communities },
    fib: fibOf(resources),
    ...(staticRoutes.length === 0 ? {} : { staticRoutes }),
    maxPaths,
    ...(bestPath.value === undefined ? {} : { bestPath: bestPath.value }),
    gracefulRestart: { restartTimeSec },
    ...(bmp.value === undefined ? {} : { bmp: bmp.value }),
  };
  const drain = isDraining(resources.nodes.get(nodeName));
  return {
    settings,
    drain,
    localAddresses,
    interfaces,
    logLevel,
    problems: [
      ...sessions.problems,
      ...bmp.problems,
      ...bestPath.problems,
      ...peeringProblems(resources),
      ...reservedProblems(resources),
    ],
  };
}

const logLevels = {
  Trace: 'trace',
  Debug: 'debug',
  Info: 'info',
  Warning: 'warn',
  Error: 'error',
  Fatal: 'fatal',
} as const;

/** The node's own before the common one. */
function logLevelOf({ configurations }: BgpResources, nodeName: string): LogLevel | undefined {
  const [own, common] = [`node.${nodeName}`, 'default'].map((name) => configurations.get(name)?.spec.logSeverityScreen);
  const severity = own ?? common;
  return severity && logLevels[severity];
}

interface Annotated<T> {
  readonly value: T | undefined;
  readonly problems: readonly ConfigProblem[];
}

/** What an annotation of BGPConfiguration says; a node's own replaces the common one. */
function annotated<T>(
  { configurations }: BgpResources,
  nodeName: string,
  annotation: string,
  parse: (text: string) => T | undefined,
  expected: string,
): Annotated<T> {
  for (const name of [`node.${nodeName}`, 'default']) {
    const text = configurations.get(name)?.metadata.annotations?.[annotation];
    if (text === undefined) continue;
    const value = parse(text);
    if (value !== undefined) return { value, problems: [] };
    const field = `metadata.annotations.${annotation}`;
    return {
      value,
      problems: [{ resource: `BGPConfiguration/${name}`, field, problem: `"${text}" is not ${expected}` }],
    };
  }
  return { value: undefined, problems: [] };
}

function fibOf(resources: BgpResources): FibSettings {
  const normal = normalPriorities(resources);
  const except = prefixesOfOthers(resources);
  return {
    table: mainTable,
    protocol: bgpRouteProtocol,
    priority: normal['ipv4-unicast'],
    priority6: normal['ipv6-unicast'],
    ...(except.length === 0 ? {} : { except }),
    only: [],
    workloadProtocol: workloadRouteProtocol,
  };
}

/** Pools whose routes somebody else programs: what programClusterRoutes leaves out. */
function prefixesOfOthers({ configurations, pools }: BgpResources): Prefix[] {
  const programs = configurations.get('default')?.spec.programClusterRoutes ?? 'Enabled';
  return sorted(pools).flatMap(([, { spec }]) => {
    const ipip = spec.ipipMode !== 'Never';
    const plain = !ipip && spec.vxlanMode === 'Never';
    const ours =
      programs === 'Enabled' ||
      (programs === 'EnabledIPIPOnly' && ipip) ||
      (programs === 'EnabledNoEncapOnly' && plain);
    const prefix = parsePrefixOrAddress(spec.cidr);
    return ours || !prefix ? [] : [prefix];
  });
}

function nodeProblem(resources: BgpResources, nodeName: string): ConfigProblem {
  const resource = `Node/${nodeName}`;
  const node = resources.nodes.get(nodeName);
  if (!node) return { resource, field: '', problem: 'does not exist: this node takes no part in BGP' };
  if (!node.spec.bgp) {
    const problem =
      'is missing: this node takes no part in BGP; set spec.bgp.ipv4Address, or start twill-node with --ip';
    return { resource, field: 'spec.bgp', problem };
  }
  return {
    resource,
    field: 'spec.bgp.ipv4Address',
    problem: 'is missing, and so is ipv6Address: no address to peer from',
  };
}

/** The IPv4 address; without one, a hash of the name (FNV-1a), which is stable and as good as unique in an AS. */
export function routerIdOf({ address4, name }: Pick<NodeFacts, 'address4' | 'name'>): Ipv4 {
  if (typeof address4 === 'number') return address4;
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash === 0 ? 1 : hash;
}

/** Those from which there is a session with a workload. */
function peeringAddresses(resources: BgpResources, peers: readonly PeerSettings[]): Address[] {
  const families: readonly Family[] = [4, 6];
  return families.flatMap((family) => {
    const address = peeringAddress(resources, family);
    return address !== undefined && peers.some(({ sourceAddress }) => sourceAddress === address) ? [address] : [];
  });
}

function listenersOf(
  { address4, address6, port }: NodeFacts,
  nodeAddressOnly: boolean,
  hasInterfaces: boolean,
  localAddresses: readonly Address[],
): ListenSettings[] {
  const listeners: ListenSettings[] = [];
  const has = (family: Family): boolean => localAddresses.some((address) => familyOf(address) === family);
  if (nodeAddressOnly) {
    // An interface peer has us listen on all IPv6 addresses.
    const own = localAddresses.filter((address) => familyOf(address) === 4 || !hasInterfaces);
    listeners.push(...own.map((address) => ({ address, port })));
  } else if (has(4) && address4 === undefined) listeners.push({ address: 0, port });
  else if (has(6) && address6 === undefined && !hasInterfaces) listeners.push({ address: 0n, port });
  if (address4 !== undefined) listeners.push({ address: nodeAddressOnly ? address4 : 0, port });
  // An interface peer calls from its link-local address.
  if (address6 !== undefined || hasInterfaces)
    listeners.push({ address: nodeAddressOnly && address6 !== undefined && !hasInterfaces ? address6 : 0n, port });
  return listeners;
}

/** What prefixAdvertisements add, those of the node's own configuration in place of the common ones. */
function advertisedCommunities(resources: BgpResources, nodeName: string): WorkloadSettings['communities'] {
  const common = resources.configurations.get('default')?.spec;
  const own = resources.configurations.get(`node.${nodeName}`)?.spec;
  const named = new Map(
    [...(common?.communities ?? []), ...(own?.communities ?? [])].map((one) => [one.name, one.value]),
  );
  return (own?.prefixAdvertisements ?? common?.prefixAdvertisements ?? []).flatMap((one) => {
    const prefix = networkFrom(one.cidr);
    const texts = (one.communities ?? []).flatMap((text) => (text.includes(':') ? text : (named.get(text) ?? [])));
    return prefix ? [{ prefix, communities: texts.map(parseCommunity) }] : [];
  });
}

const originated = (blocks: readonly Prefix[], communities: WorkloadSettings['communities']): OriginatedRoute[] =>
  [...blocks]
    .sort(comparePrefixes)
    .map((prefix) => ({ prefix, blackhole: !isHost(prefix), communities: communitiesOf(prefix, communities) }));

/** A block of one address has no addresses to be without a pod beside the one that has it. */
const isHost = ({ address, length }: Prefix): boolean => length === widthOf(familyOf(address));

const poolPrefixes = ({ pools }: BgpResources): Prefix[] =>
  sorted(pools).flatMap(([, { spec }]) => parsePrefixOrAddress(spec.cidr) ?? []);

/** As upstream, host bits may be set, and the length left out. */
function networkFrom(text: string): Prefix | undefined {
  const parsed = parsePrefixOrAddress(text) ?? parseInterfaceAddress(text);
  return parsed && prefixOf(parsed.address, parsed.length);
}

/** For logs: "64512, router id 10.0.0.1, 3 peers, 2 blocks". */
export const describeSettings = ({ asn, routerId, peers, originate }: SpeakerSettings): string =>
  `AS ${asn}, router id ${formatIpv4(routerId)}, ${peers.length} peers, ${originate.length} blocks`;
