// One session that is wanted → how it is to be: from its BGPPeer with its annotations, or for the mesh from BGPConfiguration.

import { type BGPPeer, parseDurationMs } from '../../datastore/model/index.ts';
import { type Address, familyOf, formatAddress } from '../../net/address.ts';
import { prefixContains } from '../../net/prefix.ts';
import { defaultLocalAsMode, parseLocalAsMode } from '../local-as.ts';
import { md5KeyProblem } from '../md5-key.ts';
import type { AddressFamily, FilterRule, PeerSettings } from '../settings.ts';
import { bfdAnnotation, familiesAnnotation, localAsAnnotation, parseBfd, parseFamilies } from './annotations.ts';
import { peerFilters } from './filters.ts';
import { addressOfFamily, type NodeFacts } from './node-facts.ts';
import { annotatedSettings } from './peer-annotations.ts';
import type { BgpResources, ConfigProblem } from './resources.ts';

const holdTimeSec = 90;
const connectRetrySec = 5;

/** What session names begin with; calicoctl's words for them are in status.ts. */
export type PeerOrigin = 'node' | 'global' | 'mesh' | 'local-workload';

/** A session that is wanted. */
export interface Wanted {
  readonly origin: PeerOrigin;
  readonly address: Address;
  readonly port: number;
  readonly asn: number;
  /** Of the peer, when it is a node of ours. */
  readonly clusterId: number | undefined;
  /** Our address; undefined: the node's. */
  readonly source?: Address;
  /** The node's name, where a session with each of its addresses is wanted. */
  readonly node?: string;
  /** Undefined: the mesh. */
  readonly resource: BGPPeer | undefined;
}

export interface PeersContext {
  readonly self: NodeFacts;
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  readonly resources: BgpResources;
  readonly poolRules: readonly FilterRule[];
}

export const sessionName = ({ origin, resource, address }: Wanted): string =>
  `${resource ? `${origin}:${resource.metadata.name}` : 'mesh'}:${formatAddress(address)}`;

export const nameOf = (peer: BGPPeer): string => `BGPPeer/${peer.metadata.name}`;

/** Undefined: it must stay down. */
export function peerSettings(
  wanted: Wanted,
  context: PeersContext,
  problems: ConfigProblem[],
): PeerSettings | undefined {
  const { self, resources, poolRules } = context;
  const { resource, address, asn } = wanted;
  const spec = resource?.spec;
  const password = passwordOf(wanted, resources);
  if (password.kind === 'unusable') {
    problems.push(password.problem);
    return undefined;
  }
  const filters = peerFilters(resource, resources, poolRules);
  problems.push(...filters.problems);
  const localAsn = spec?.localASNumber ?? self.asn;
  const internal = asn === localAsn;
  const source = wanted.source ?? addressOfFamily(self, familyOf(address));
  const keepaliveSec = seconds(spec?.keepaliveTime) ?? 0;
  const restartSec = seconds(resource ? spec?.maxRestartTime : meshRestartTime(resources));
  return {
    name: sessionName(wanted),
    address,
    port: wanted.port,
    asn,
    ...localAsOf(resource, problems),
    passive: false,
    ...(source === undefined || (spec?.sourceAddress === 'None' && !wanted.source) ? {} : { sourceAddress: source }),
    ...(password.kind === 'password' ? { password: password.text } : {}),
    ...(spec?.ttlSecurity ? { ttlSecurityHops: spec.ttlSecurity } : {}),
    ...familiesFor(wanted, self, problems),
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
    ...annotatedSettings(resource, problems),
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

/** The session's own family, unless a BGPPeer with peerIP asks for more. */
function familiesFor({ resource, address }: Wanted, self: NodeFacts, problems: ConfigProblem[]) {
  const own: AddressFamily = familyOf(address) === 4 ? 'ipv4-unicast' : 'ipv6-unicast';
  const text = resource?.metadata.annotations?.[familiesAnnotation];
  const { address4, address6 } = self;
  const addresses = {
    ...(typeof address4 === 'number' ? { ownIpv4Address: address4 } : {}),
    ...(typeof address6 === 'bigint' ? { ownIpv6Address: address6 } : {}),
  };
  if (!resource || text === undefined) return { families: [own] };
  const report = (problem: string) => {
    problems.push({ resource: nameOf(resource), field: `metadata.annotations.${familiesAnnotation}`, problem });
    return { families: [own] };
  };
  const families = parseFamilies(text);
  if (resource.spec.peerSelector) return report('has no effect with peerSelector: nodes share what both have');
  if (!families) return report(`"${text}" is not a list of families; write "ipv4", "ipv6" or "ipv4, ipv6"`);
  if (families.includes('ipv6-unicast') && address6 === undefined) {
    return report(`Node/${self.name} has no IPv6 address in spec.bgp, so there is no next hop for IPv6 routes`);
  }
  return { families, ...addresses };
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
  | { readonly kind: 'unusable'; readonly problem: ConfigProblem };

/** A session whose password cannot be used stays down: without one it would be open to anybody. */
function passwordOf({ resource }: Wanted, resources: BgpResources): Password {
  const given = resource ? resource.spec.password : resources.configurations.get('default')?.spec.nodeMeshPassword;
  const ref = given?.secretKeyRef;
  if (!ref) return { kind: 'none' };
  const { name = '', key } = ref;
  const text = resources.secret(name, key);
  const wrong = text === undefined ? undefined : md5KeyProblem(text);
  if (text !== undefined && wrong === undefined) return { kind: 'password', text };
  const field = resource ? 'spec.password' : 'spec.nodeMeshPassword';
  const owner = resource ? nameOf(resource) : 'BGPConfiguration/default';
  const what = wrong === undefined ? `Secret ${name} has no key ${key} here` : `key ${key} of Secret ${name} ${wrong}`;
  return { kind: 'unusable', problem: { resource: owner, field, problem: `${what}; the session stays down` } };
}
