// BGPConfiguration, BGPPeer: who talks BGP to whom, and how.

import { familyOf, parseAddress } from '../../../net/address.ts';
import { forEachSound } from '../schema/guard.ts';
import { boolean, checkedText, choice, describe, duration, integer, text } from '../schema/scalars.ts';
import { selector } from '../schema/scalars-names.ts';
import { address, asNumber, cidrOrAddress, community, network, portNumber } from '../schema/scalars-net.ts';
import { list, object, optional, Refused, type Report, type Rule, required } from '../schema/types.ts';
import { type CheckedResource, kind, nodeName, secretKeyRef } from './common.ts';

const logSeverity = choice('Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal');
const cidrEntry = object({ cidr: required(cidrOrAddress(), 'The range to advertise.') });
const routePriority = integer(1, 2147483646);
const communityName = /^[a-zA-Z][a-zA-Z0-9_-]*$/;

const communityOrName = checkedText('community or name', (value) =>
  communityName.test(value) || !(community.read(value) instanceof Refused)
    ? undefined
    : new Refused(
        `${describe(value)} is neither a community nor a name`,
        'write aa:nn, aa:nn:mm, or a name of spec.communities',
      ),
);

const ignoredInterface = text({
  name: 'interface pattern',
  pattern: /^(?!\*$)[a-zA-Z0-9_.*-]{1,15}$/,
  remedy: 'use at most 15 letters, digits, "_", ".", "-" and "*", but not "*" alone',
});

export const bgpConfiguration = kind('BGPConfiguration', {
  plural: 'bgpconfigurations',
  shortNames: ['bgpconfig', 'bgpconfigs'],
  doc: 'BGP of the whole cluster (default) or of one node (node.NAME).',
  spec: object(
    {
      logSeverityScreen: optional(logSeverity, 'From which severity on to log; Info when absent.'),
      nodeToNodeMeshEnabled: optional(boolean, 'Whether every node peers with every other; true when absent.'),
      asNumber: optional(asNumber, 'AS of the nodes that have none of their own; 64512 when absent.'),
      serviceLoadBalancerIPs: optional(list(cidrEntry), 'Ranges of load-balancer addresses to advertise.'),
      serviceExternalIPs: optional(list(cidrEntry), 'Ranges of Services’ external addresses to advertise.'),
      serviceClusterIPs: optional(list(cidrEntry), 'Ranges of Services’ cluster addresses to advertise.'),
      serviceLoadBalancerAggregation: optional(
        choice('Enabled', 'Disabled'),
        'Enabled: advertise the ranges of serviceLoadBalancerIPs; Disabled: each address by itself.',
      ),
      communities: optional(
        list(
          object({
            name: required(text({ name: 'name', pattern: communityName }), 'Name for use in prefixAdvertisements.'),
            value: required(community, 'The community.'),
          }),
        ),
        'Communities with a name.',
      ),
      prefixAdvertisements: optional(
        list(
          object({
            cidr: required(network, 'Routes inside this prefix.'),
            communities: optional(list(communityOrName), 'Communities to add, or names of them.'),
          }),
        ),
        'Communities for routes by prefix.',
      ),
      listenPort: optional(portNumber, 'TCP port of the BGP speaker; 179 when absent.'),
      nodeMeshPassword: optional(secretKeyRef, 'TCP-MD5 password of the node-to-node mesh.'),
      nodeMeshMaxRestartTime: optional(duration(), 'Graceful restart time that the mesh asks for; 120s when absent.'),
      bindMode: optional(choice('None', 'NodeIP'), 'NodeIP: listen on the node’s address only.'),
      ignoredInterfaces: optional(list(ignoredInterface), 'Interfaces whose networks are not advertised.'),
      localWorkloadPeeringIPV4: optional(address(4), 'Address that local workloads peer with.'),
      localWorkloadPeeringIPV6: optional(address(6), 'IPv6 address that local workloads peer with.'),
      programClusterRoutes: optional(
        choice('Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'),
        'For which pools BGP writes the routes to other nodes’ blocks.',
      ),
      ipv4NormalRoutePriority: optional(routePriority, 'Kernel metric of learned IPv4 routes.'),
      ipv6NormalRoutePriority: optional(routePriority, 'Kernel metric of learned IPv6 routes.'),
    },
    checkCommunitiesUsed,
    checkCommunityNames,
    checkMeshOptions,
  ),
  rules: [checkDefaultOnly],
});

const defaultOnly = [
  'nodeToNodeMeshEnabled',
  'asNumber',
  'serviceLoadBalancerIPs',
  'serviceExternalIPs',
  'serviceClusterIPs',
];

function checkDefaultOnly({ metadata, spec }: CheckedResource, report: Report): void {
  if (metadata.name === 'default') return;
  forEachSound(defaultOnly, (field) => {
    const value = spec[field];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return;
    report(`spec.${field}`, 'is for the whole cluster', 'set it in the BGPConfiguration called default');
  });
}

interface ConfigurationSpec {
  readonly communities?: readonly { readonly name: string }[];
  readonly prefixAdvertisements?: readonly { readonly communities?: readonly string[] }[];
  readonly nodeToNodeMeshEnabled?: boolean;
  readonly nodeMeshPassword?: unknown;
  readonly nodeMeshMaxRestartTime?: string;
}

function checkCommunitiesUsed(spec: ConfigurationSpec, report: Report): void {
  if (spec.communities?.length && !spec.prefixAdvertisements?.length) {
    report('communities', 'are not used by any of prefixAdvertisements', 'use them there, or remove them');
  }
}

function checkCommunityNames(spec: ConfigurationSpec, report: Report): void {
  const names = new Set(spec.communities?.map((entry) => entry.name));
  forEachSound(spec.prefixAdvertisements, ({ communities }, i) => {
    forEachSound(communities, (name, j) => {
      if (!communityName.test(name) || names.has(name)) return;
      const path = `prefixAdvertisements[${i}].communities[${j}]`;
      report(path, `no community is called ${name}`, 'add it to spec.communities');
    });
  });
}

function checkMeshOptions(spec: ConfigurationSpec, report: Report): void {
  if (spec.nodeToNodeMeshEnabled !== false) return;
  forEachSound(['nodeMeshPassword', 'nodeMeshMaxRestartTime'] as const, (field) => {
    if (spec[field] !== undefined) report(field, 'has no effect without the node-to-node mesh', 'remove it');
  });
}

/** Address and port of a `peerIP`: `ip`, `ip:port` or `[ipv6]:port`. */
export function parsePeerIp(text: string): { readonly address: string; readonly port?: number } | undefined {
  const [, inBrackets, bare, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = inBrackets ?? bare ?? text;
  if (parseAddress(host) === undefined) return undefined;
  if (digits === undefined) return { address: host };
  const port = Number(digits);
  return port >= 1 && port <= 65535 ? { address: host, port } : undefined;
}

const peerIp = checkedText('address or address:port', (value) =>
  parsePeerIp(value)
    ? undefined
    : new Refused(
        `${describe(value)} is not an address with an optional port`,
        'write 10.0.0.1, 10.0.0.1:179 or [fd00::1]:179',
      ),
);

interface PeerSpec {
  readonly node?: string;
  readonly nodeSelector?: string;
  readonly peerIP?: string;
  readonly peerSelector?: string;
  readonly localWorkloadSelector?: string;
  readonly asNumber?: number;
  readonly reachableBy?: string;
  readonly keepOriginalNextHop?: boolean;
  readonly nextHopMode?: string;
}

const peerRules: readonly Rule<PeerSpec>[] = [
  ({ node, nodeSelector }, report) => {
    if (node && nodeSelector) report('node', 'is set together with nodeSelector', 'remove one of the two');
  },
  (spec, report) => {
    const ways = (['peerIP', 'peerSelector', 'localWorkloadSelector'] as const).filter((field) => spec[field]);
    for (const field of ways.slice(1)) report(field, `is set together with ${ways[0]}`, 'remove one of the two');
  },
  ({ peerSelector, asNumber }, report) => {
    if (!peerSelector || !asNumber) return;
    report('asNumber', 'is set together with peerSelector', 'remove it: the AS is that of the selected nodes');
  },
  ({ localWorkloadSelector, asNumber }, report) => {
    if (!localWorkloadSelector || asNumber) return;
    report('asNumber', 'is missing, with localWorkloadSelector', 'give the AS of the workloads');
  },
  ({ keepOriginalNextHop, nextHopMode }, report) => {
    if (!keepOriginalNextHop || !nextHopMode) return;
    report('keepOriginalNextHop', 'is set together with nextHopMode', 'remove it and keep nextHopMode');
  },
  ({ reachableBy, peerIP }, report) => {
    if (!reachableBy) return;
    const peer = peerIP ? parseAddress(parsePeerIp(peerIP)?.address ?? '') : undefined;
    const gateway = parseAddress(reachableBy);
    if (peer === undefined) report('reachableBy', 'needs peerIP', 'give peerIP, or remove reachableBy');
    else if (gateway !== undefined && familyOf(gateway) !== familyOf(peer)) {
      report('reachableBy', 'is of another address family than peerIP', `give an IPv${familyOf(peer)} address`);
    }
  },
];

export const bgpPeer = kind('BGPPeer', {
  plural: 'bgppeers',
  shortNames: ['bgpp', 'bp'],
  doc: 'A BGP session, or many: of one node, of selected nodes, or of all of them.',
  spec: object(
    {
      node: optional(nodeName, 'The node that peers; with nodeSelector absent too, every node does.'),
      nodeSelector: optional(selector(), 'The nodes that peer.'),
      peerIP: optional(peerIp, 'The peer, as address or address:port.'),
      asNumber: optional(asNumber, 'The peer’s AS.'),
      localASNumber: optional(asNumber, 'The AS that we show to this peer instead of our own.'),
      peerSelector: optional(selector(), 'The peers, as nodes.'),
      keepOriginalNextHop: optional(boolean, 'Pass routes on with their next hop unchanged.', {
        deprecated: 'use nextHopMode: Keep',
        omitFalse: true,
      }),
      nextHopMode: optional(
        choice('Auto', 'Self', 'Keep'),
        'The next hop of routes sent to an eBGP peer; Auto when absent.',
      ),
      password: optional(secretKeyRef, 'TCP-MD5 password.'),
      sourceAddress: optional(
        choice('UseNodeIP', 'None'),
        'Whether sessions start from the node’s address; UseNodeIP when absent.',
      ),
      maxRestartTime: optional(duration(), 'Graceful restart time; 120s when absent.'),
      keepaliveTime: optional(duration(), 'Time between KEEPALIVE messages; a third of the hold time when absent.'),
      numAllowedLocalASNumbers: optional(integer(0), 'How often our own AS may occur in the path of a received route.'),
      ttlSecurity: optional(integer(0, 255), 'The peer is at most this many hops away (GTSM).'),
      reachableBy: optional(address(), 'Gateway towards the peer, when it is not on a connected network.'),
      filters: optional(list(text()), 'BGPFilters to apply, in order.'),
      localWorkloadSelector: optional(selector(), 'Local workloads to peer with.'),
      reversePeering: optional(
        choice('Auto', 'Manual'),
        'Whether nodes chosen by peerSelector peer back by themselves.',
      ),
    },
    ...peerRules,
  ),
});
