// Host endpoints: policy for this node's own interfaces, at four stages. The chains exist only while there are any.
//
//   stage       hook (priority)                        what meets it
//   untracked   prerouting (-300), output (-300)       all packets, before connection tracking
//   pre-dnat    prerouting (-150)                      a flow's first packet, before destination NAT
//   forward     forward (-12), forward (-9)            forwarded in through the interface, out through it
//   normal      input (-9), output (-9)                to and from this node itself
//
// Between the two of `forward` lie the chains of workloads (static.ts). At each stage a map leads from the interface to an
// entry chain: failsafe ports, then the tiers. Interfaces without an endpoint of their own come to that of "*".

import { familyOfPrefix } from '../../net/prefix.ts';
import type { BaseHook, Chain, Rule, SetDeclaration } from '../nft/objects.ts';
import type { FailsafePort, RulesConfig } from './config.ts';
import { rangeSet } from './match.ts';
import type { Direction } from './names.ts';
import { mergePrefixes } from './ranges.ts';
import { dropCounters, neighbourDiscovery, revokedRules } from './static.ts';
import type { TiersEnd } from './tiers.ts';

export type HostStage = 'untracked' | 'preDnat' | 'forward' | 'normal';

export interface HostHook {
  readonly stage: HostStage;
  readonly direction: Direction;
  readonly base: BaseHook;
  readonly end: TiersEnd;
}

const hook = (stage: HostStage, direction: Direction, base: BaseHook, end: TiersEnd): HostHook => ({
  stage,
  direction,
  base,
  end,
});

export const hostHooks: readonly HostHook[] = [
  hook('untracked', 'ingress', { type: 'filter', hook: 'prerouting', priority: -300 }, 'pass-on-undecided'),
  hook('untracked', 'egress', { type: 'filter', hook: 'output', priority: -300 }, 'pass-on-undecided'),
  hook('preDnat', 'ingress', { type: 'filter', hook: 'prerouting', priority: -150 }, 'pass-on-undecided'),
  hook('forward', 'ingress', { type: 'filter', hook: 'forward', priority: -12 }, 'pass-on'),
  hook('forward', 'egress', { type: 'filter', hook: 'forward', priority: -9 }, 'pass-on'),
  hook('normal', 'ingress', { type: 'filter', hook: 'input', priority: -9 }, 'profiles'),
  hook('normal', 'egress', { type: 'filter', hook: 'output', priority: -9 }, 'profiles'),
];

/** Also the base chain's name. */
export const hookName = ({ stage, direction }: HostHook): string => `host-${stage.toLowerCase()}-${direction}`;

export const hostMap = (hostHook: HostHook): SetDeclaration => ({
  name: `${hookName(hostHook)}-by-interface`,
  key: ['ifname'],
  interval: false,
  value: 'verdict',
});

export const hostEntryName = (hostHook: HostHook, content: string): string => `${hookName(hostHook)}/${content}`;

/** The base chain of a stage. `everyInterface`: where interfaces without an endpoint of their own go, when "*" has one. */
export function hostBaseChain(hostHook: HostHook, everyInterface: string | undefined, config: RulesConfig): Chain {
  const field = hostHook.direction === 'ingress' ? 'iifname' : 'oifname';
  const rules: Rule[] = [
    ...openingRules(hostHook, config),
    { text: `${field} vmap @${hostMap(hostHook).name}`, comment: 'a host endpoint of its own' },
  ];
  if (everyInterface !== undefined) {
    const workloads = config.interfacePrefixes.map((prefix) => `${field} != "${prefix}*"`).join(' ');
    rules.push({
      text: `${field} != "lo" ${workloads} goto ${everyInterface}`,
      comment: 'host endpoint of all interfaces',
    });
  }
  return { name: hookName(hostHook), base: hostHook.base, rules };
}

function openingRules({ stage, direction }: HostHook, config: RulesConfig): Rule[] {
  const marked = `meta mark & ${config.acceptedMark} == ${config.acceptedMark}`;
  const established: Rule = { text: 'ct state established,related accept', comment: 'flows that policy let in' };
  switch (stage) {
    case 'untracked':
      return [{ text: `meta mark set meta mark & ${config.withoutAcceptedMark}`, comment: '' }];
    case 'preDnat':
      return [established];
    case 'forward':
      return [established, { text: `ct state untracked ${marked} accept`, comment: 'allowed untracked' }];
    case 'normal':
      return direction === 'ingress'
        ? [established, { text: `${marked} accept`, comment: 'allowed before NAT, or untracked' }]
        : [established, { text: `ct state untracked ${marked} accept`, comment: 'allowed untracked' }];
  }
}

/** What an endpoint's packets meet first at a stage; ends in its tiers. */
export function hostEntryRules({ stage, direction }: HostHook, tiers: string, config: RulesConfig): Rule[] {
  const { inbound, outbound } = config.failsafe;
  const go: Rule = { text: `goto ${tiers}`, comment: '' };
  switch (stage) {
    case 'untracked': {
      const [toHere, fromThere] = direction === 'ingress' ? [inbound, outbound] : [outbound, inbound];
      // Without connection tracking answers need a rule too.
      return [
        ...failsafeRules(toHere, direction, 'dport'),
        ...failsafeRules(fromThere, direction, 'sport'),
        discovery,
        go,
      ];
    }
    case 'preDnat':
      return [...failsafeRules(inbound, direction, 'dport'), discovery, go];
    case 'forward':
      return [...revokedRules, ...invalidRules(config), go];
    case 'normal':
      return [
        ...revokedRules,
        ...failsafeRules(direction === 'ingress' ? inbound : outbound, direction, 'dport'),
        discovery,
        ...invalidRules(config),
        go,
      ];
  }
}

/** At every stage: without it no failsafe port can be reached by IPv6. */
const discovery: Rule = { text: `${neighbourDiscovery} accept`, comment: 'neighbour discovery' };

const invalidRules = ({ dropInvalid }: RulesConfig): Rule[] =>
  dropInvalid
    ? [{ text: `ct state invalid counter name "${dropCounters.invalid}" drop`, comment: 'no flow of ours' }]
    : [];

/** One rule for each protocol of ports that anybody may use, one for each port that has a prefix. */
function failsafeRules(ports: readonly FailsafePort[], direction: Direction, port: 'sport' | 'dport'): Rule[] {
  const rules: Rule[] = [];
  for (const protocol of new Set(ports.map((one) => one.protocol))) {
    const open = ports.filter((one) => one.protocol === protocol && !one.prefix).map((one) => one.port);
    if (open.length === 0) continue;
    const list = [...new Set(open)].sort((a, b) => a - b).join(', ');
    rules.push({ text: `meta l4proto ${protocol} th ${port} { ${list} } accept`, comment: 'failsafe ports' });
  }
  const side = direction === 'ingress' ? 'saddr' : 'daddr';
  for (const { protocol, prefix, port: number } of ports) {
    if (!prefix) continue;
    const family = familyOfPrefix(prefix);
    const match = `${family === 4 ? 'ip' : 'ip6'} ${side} ${rangeSet(mergePrefixes([prefix], family))}`;
    rules.push({ text: `${match} meta l4proto ${protocol} th ${port} ${number} accept`, comment: 'failsafe port' });
  }
  return rules;
}
