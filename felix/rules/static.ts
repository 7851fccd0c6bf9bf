// The part of the table that does not depend on policies or endpoints: hooks, conntrack, dispatch, anti-spoofing, NAT.
//
//   prerouting (-300)   packets of workloads: known interface and own source address, else drop
//   forward (-11)       what workloads send: egress policy      ┐ two chains on one hook: `accept` in the first goes on
//   forward (-10)       what workloads receive: ingress policy  ┘ to the second, so allowing needs no mark
//   input (-11, -10)    what workloads send to this node: egress policy, then DefaultEndpointToHostAction
//   output (-10)        what this node sends to its workloads: allowed when the interface is known
//   postrouting (99)    natOutgoing
//
// Priorities: before iptables' and Docker's filter chains (0), so what we drop they never see; a packet that we accept
// still passes theirs, because in nftables only a drop is final. NAT before kube-proxy's and iptables' srcnat (100): the
// first chain to translate a flow decides. Only a flow's first packet reaches a NAT chain, and only that one reaches
// policy: replies and later packets end at the first rule.

import { type Chain, concat, type Rule, type SetDeclaration } from '../nft/objects.ts';
import type { RulesConfig } from './config.ts';
import type { Direction } from './names.ts';

const flowKey = (address: 'ipv4_addr' | 'ipv6_addr') =>
  [address, address, 'inet_proto', 'inet_service', 'inet_service'] as const;

export const sets = {
  /** iifname → goto a tiers chain. */
  egress: { name: 'egress-by-interface', key: ['ifname'], interval: false, value: 'verdict' },
  /** oifname → goto a tiers chain. */
  ingress: { name: 'ingress-by-interface', key: ['ifname'], interval: false, value: 'verdict' },
  workloads: { name: 'workload-interfaces', key: ['ifname'], interval: false },
  sources4: { name: 'workload-sources4', key: ['ifname', 'ipv4_addr'], interval: false },
  sources6: { name: 'workload-sources6', key: ['ifname', 'ipv6_addr'], interval: false },
  /** allowSpoofedSourcePrefixes. */
  sourcePrefixes4: { name: 'workload-source-prefixes4', key: ['ifname', 'ipv4_addr'], interval: true },
  sourcePrefixes6: { name: 'workload-source-prefixes6', key: ['ifname', 'ipv6_addr'], interval: true },
  natSources4: { name: 'nat-outgoing4', key: ['ipv4_addr'], interval: true },
  natSources6: { name: 'nat-outgoing6', key: ['ipv6_addr'], interval: true },
  natExclusions4: { name: 'nat-exclusions4', key: ['ipv4_addr'], interval: true },
  natExclusions6: { name: 'nat-exclusions6', key: ['ipv6_addr'], interval: true },
  /** Source, destination, protocol and ports of what the other side of a cut flow may still send. */
  revokedAnswers4: { name: 'revoked-answers4', key: flowKey('ipv4_addr'), interval: false, timeoutSec: 300 },
  revokedAnswers6: { name: 'revoked-answers6', key: flowKey('ipv6_addr'), interval: false, timeoutSec: 300 },
} as const satisfies Record<string, SetDeclaration>;

/**
 * The group (`ip link set … group`) that felix puts the links of workloads into. A link keeps it when it is renamed: without
 * it, one whose name lost the workloads' prefix would be a link of the host, past all policy. "tw" as a number.
 */
export const workloadLinkGroup = 0x7477;

export const dropCounters = {
  source: 'drop/foreign-source-or-interface',
  invalid: 'drop/conntrack-invalid',
  unknown: 'drop/unknown-interface',
  encapsulated: 'drop/encapsulated-by-a-workload',
  toHost: 'drop/workload-to-host',
  revoked: 'drop/answers-of-revoked-flows',
} as const;

export const dispatchMap = (direction: Direction): string => sets[direction].name;

// Router and neighbour discovery and multicast listener messages: RFC 4861 §4, RFC 2710 §3, RFC 3810 §5.
export const neighbourDiscovery = 'icmpv6 type { 130, 131, 132, 133, 135, 136, 143 }';
const established: Rule = { text: 'ct state established,related accept', comment: 'flows that policy let in' };

const filter = (hook: 'forward' | 'input' | 'output', priority: number) =>
  ({ type: 'filter', hook, priority }) as const;

export function staticChains(config: RulesConfig): Chain[] {
  return [
    {
      name: 'prerouting',
      base: { type: 'filter', hook: 'prerouting', priority: -300 },
      rules: fromWorkloads(config, 'goto source-check'),
    },
    { name: 'source-check', rules: sourceCheckRules() },
    {
      name: 'forward-egress',
      base: filter('forward', -11),
      rules: [established, ...fromWorkloads(config, 'goto egress')],
    },
    {
      name: 'forward-ingress',
      base: filter('forward', -10),
      rules: [established, ...toWorkloads(config, 'goto ingress')],
    },
    {
      name: 'input-egress',
      base: filter('input', -11),
      rules: [established, ...fromWorkloads(config, 'goto to-host-egress')],
    },
    {
      name: 'input-to-host',
      base: filter('input', -10),
      rules: [established, ...fromWorkloads(config, 'goto to-host')],
    },
    {
      name: 'output-ingress',
      base: filter('output', -10),
      rules: [established, ...toWorkloads(config, 'goto from-host')],
    },
    { name: 'egress', rules: dispatchRules('egress', 'iifname', config) },
    { name: 'ingress', rules: dispatchRules('ingress', 'oifname', config) },
    {
      name: 'to-host-egress',
      rules: [
        { text: `${neighbourDiscovery} accept`, comment: 'neighbour discovery' },
        { text: 'goto egress', comment: '' },
      ],
    },
    { name: 'to-host', rules: toHostRules(config) },
    {
      name: 'from-host',
      rules: [
        ...revokedRules,
        { text: `oifname @${sets.workloads.name} accept`, comment: 'a node may reach its own workloads' },
        { text: `counter name "${dropCounters.unknown}" drop`, comment: 'unknown interface' },
      ],
    },
    { name: 'postrouting', base: { type: 'nat', hook: 'postrouting', priority: 99 }, rules: natRules(config) },
  ];
}

const fromWorkloads = (config: RulesConfig, verdict: string): Rule[] => [
  ...config.interfacePrefixes.map((prefix) => ({
    text: `iifname "${prefix}*" ${verdict}`,
    comment: 'from a workload',
  })),
  { text: `iifgroup ${workloadLinkGroup} ${verdict}`, comment: 'from a workload whose interface was renamed' },
];

const toWorkloads = (config: RulesConfig, verdict: string): Rule[] => [
  ...config.interfacePrefixes.map((prefix) => ({ text: `oifname "${prefix}*" ${verdict}`, comment: 'to a workload' })),
  { text: `oifgroup ${workloadLinkGroup} ${verdict}`, comment: 'to a workload whose interface was renamed' },
];

function sourceCheckRules(): Rule[] {
  const { sources4, sources6, sourcePrefixes4, sourcePrefixes6, workloads } = sets;
  return [
    { text: `${concat('iifname', 'ip saddr')} @${sources4.name} accept`, comment: 'own address' },
    { text: `${concat('iifname', 'ip6 saddr')} @${sources6.name} accept`, comment: 'own address' },
    { text: `${concat('iifname', 'ip saddr')} @${sourcePrefixes4.name} accept`, comment: 'allowed source prefix' },
    { text: `${concat('iifname', 'ip6 saddr')} @${sourcePrefixes6.name} accept`, comment: 'allowed source prefix' },
    {
      text: `ip6 saddr { ::, fe80::/10 } ${neighbourDiscovery} iifname @${workloads.name} accept`,
      comment: 'neighbour discovery',
    },
    { text: `counter name "${dropCounters.source}" drop`, comment: 'foreign source address, or unknown interface' },
  ];
}

function dispatchRules(direction: Direction, field: 'iifname' | 'oifname', config: RulesConfig): Rule[] {
  const invalid = { text: `ct state invalid counter name "${dropCounters.invalid}" drop`, comment: 'no flow of ours' };
  return [
    ...(config.dropInvalid ? [invalid] : []),
    ...revokedRules,
    ...(direction === 'egress' ? encapsulationRules(config) : []),
    { text: `${field} vmap @${dispatchMap(direction)}`, comment: 'policies of the endpoint' },
    { text: `counter name "${dropCounters.unknown}" drop`, comment: 'unknown interface' },
  ];
}

/** A node that unpacks such packets would forward what is inside, whatever its source says. */
function encapsulationRules({ encapsulation: { ipip, vxlan, vxlanPort } }: RulesConfig): Rule[] {
  const drop = (match: string, name: string): Rule => ({
    text: `${match} counter name "${dropCounters.encapsulated}" drop`,
    comment: `${name} from a workload`,
  });
  return [
    ...(ipip ? [] : [drop('meta l4proto 4', 'IP-in-IP')]),
    ...(vxlan ? [] : [drop(`meta l4proto 17 th dport ${vxlanPort}`, 'VXLAN')]),
  ];
}

/** Answers to a flow that was cut must not begin a new one, to which what was cut would be the answer. */
export const revokedRules: readonly Rule[] = ([4, 6] as const).map(revokedRule);

function revokedRule(family: 4 | 6): Rule {
  const ip = family === 4 ? 'ip' : 'ip6';
  const flow = concat(`${ip} saddr`, `${ip} daddr`, 'meta l4proto', 'th sport', 'th dport');
  const set = sets[`revokedAnswers${family}`].name;
  return { text: `${flow} @${set} counter name "${dropCounters.revoked}" drop`, comment: 'answers of a cut flow' };
}

function toHostRules({ endpointToHostAction }: RulesConfig): Rule[] {
  const discovery = { text: `${neighbourDiscovery} accept`, comment: 'neighbour discovery' };
  if (endpointToHostAction !== 'drop') {
    return [{ text: endpointToHostAction, comment: 'DefaultEndpointToHostAction' }];
  }
  return [discovery, { text: `counter name "${dropCounters.toHost}" drop`, comment: 'DefaultEndpointToHostAction' }];
}

function natRules({ nat }: RulesConfig): Rule[] {
  const random = nat.random ? ' fully-random' : '';
  return ([4, 6] as const).flatMap((family): Rule[] => {
    const ip = family === 4 ? 'ip' : 'ip6';
    const match = `${ip} saddr @${sets[`natSources${family}`].name} ${ip} daddr != @${sets[`natExclusions${family}`].name}`;
    const fixed = family === 4 && nat.address !== undefined ? `snat ip to ${nat.address}` : undefined;
    const rule = (text: string): Rule => ({ text: `${match} ${text}${random}`, comment: 'natOutgoing' });
    const plain = rule(fixed ?? 'masquerade');
    if (!nat.ports) return [plain];
    // Only these have ports to choose; the others are translated all the same.
    const withPorts = fixed ? `${fixed}:${nat.ports}` : `masquerade to :${nat.ports}`;
    return [rule(`meta l4proto { 6, 17, 132 } ${withPorts}`), plain];
  });
}
