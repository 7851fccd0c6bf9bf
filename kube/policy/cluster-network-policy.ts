// ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2) → GlobalNetworkPolicy.
//
// Tier Admin is passed before Kubernetes' NetworkPolicies, Baseline after them; both pass what no rule decides. Priority
// becomes order. A direction without rules is left out: it has no effect, not even isolation.
//
// Peers that cannot be told from resources (nodes, domain names) fail closed: an Accept never matches them, a Deny or a Pass
// denies everything of its rule.

import type { DraftOf, Fault, PolicyRule, Port } from '../../datastore/model/index.ts';
import { kinds } from '../../datastore/model/index.ts';
import { check, isObject } from '../../datastore/model/schema/check.ts';
import { choice, integer, text } from '../../datastore/model/schema/scalars.ts';
import { network, portNumber } from '../../datastore/model/schema/scalars-net.ts';
import { any, list, type Output, object, optional, required } from '../../datastore/model/schema/types.ts';
import { type Direction, makeRules, networksByFamily, type Peer, type PortGroup } from './rules.ts';
import { type LabelSelector, namespaceSelector, podSelector } from './selectors.ts';

const labelSelector = kinds.StagedKubernetesNetworkPolicy.spec.fields.podSelector.type;
const pods = object({
  namespaceSelector: required(labelSelector, 'Namespaces.'),
  podSelector: required(labelSelector, 'Pods in them.'),
});
const subject = object(
  {
    namespaces: optional(labelSelector, 'All pods of these namespaces.'),
    pods: optional(pods, 'These pods.'),
  },
  (value, report) => {
    if (Boolean(value.namespaces) === Boolean(value.pods))
      report('', 'needs one of namespaces and pods', 'give exactly one');
  },
);
const peer = object({
  namespaces: optional(labelSelector, 'All pods of these namespaces.'),
  pods: optional(pods, 'These pods.'),
  networks: optional(list(network, { minItems: 1 }), 'Addresses, those of pods included; egress only.'),
  nodes: optional(any, 'Nodes; not supported.'),
  domainNames: optional(any, 'Domain names; not supported.'),
});
const ports = object({
  destinationPort: optional(
    object({
      number: optional(portNumber, 'One port.'),
      range: optional(object({ start: required(portNumber, 'First.'), end: required(portNumber, 'Last.') }), 'Ports.'),
    }),
    'Ports; all when absent.',
  ),
});
const protocol = object({
  tcp: optional(ports, 'TCP.'),
  udp: optional(ports, 'UDP.'),
  sctp: optional(ports, 'SCTP.'),
  destinationNamedPort: optional(text(), 'A port by its name.'),
});
const rule = object({
  name: optional(text(), 'For people.'),
  action: required(choice('Accept', 'Deny', 'Pass'), 'What happens to what matches.'),
  from: optional(list(peer, { minItems: 1 }), 'Sources of an ingress rule.'),
  to: optional(list(peer, { minItems: 1 }), 'Destinations of an egress rule.'),
  protocols: optional(list(protocol), 'Protocols and ports; all when absent.'),
});
const clusterNetworkPolicySpec = object({
  tier: required(choice('Admin', 'Baseline'), 'Before or after NetworkPolicies.'),
  priority: required(integer(0, 1000), 'Order in the tier, ascending.'),
  subject: required(subject, 'Pods that the policy is for.'),
  ingress: optional(list(rule, { maxItems: 25 }), 'Rules for what comes in.'),
  egress: optional(list(rule, { maxItems: 25 }), 'Rules for what goes out.'),
});

type Spec = Output<typeof clusterNetworkPolicySpec>;
type Rule = Output<typeof rule>;
type GivenPeer = Output<typeof peer>;

const tiers = { Admin: 'kube-admin', Baseline: 'kube-baseline' } as const;
const actions = { Accept: 'Allow', Deny: 'Deny', Pass: 'Pass' } as const;

export type ClusterNetworkPolicyResult =
  | {
      readonly kind: 'converted';
      /** Undefined: the policy has no rules, and no effect. */
      readonly policy: DraftOf<'GlobalNetworkPolicy'> | undefined;
      /** Peers that fail closed. */
      readonly unsupported: readonly string[];
    }
  | { readonly kind: 'invalid'; readonly faults: readonly Fault[] };

export function convertClusterNetworkPolicy(given: unknown): ClusterNetworkPolicyResult {
  const faults: Fault[] = [];
  const { metadata, spec: givenSpec } = isObject(given) ? given : {};
  const name = isObject(metadata) ? metadata['name'] : undefined;
  const checked = check(clusterNetworkPolicySpec, givenSpec ?? {}, 'spec', 'store', faults);
  if (typeof name !== 'string') {
    faults.push({ path: 'metadata.name', value: name, problem: 'is missing', remedy: 'give the policy a name' });
  }
  if (faults.length > 0) return { kind: 'invalid', faults };
  // What was just checked against the declaration that the type was made from.
  const spec = checked as Spec;
  const unsupported: string[] = [];
  const types = [
    ...(spec.ingress?.length ? (['Ingress'] as const) : []),
    ...(spec.egress?.length ? (['Egress'] as const) : []),
  ];
  if (types.length === 0) return { kind: 'converted', policy: undefined, unsupported };
  const policy: DraftOf<'GlobalNetworkPolicy'> = {
    kind: 'GlobalNetworkPolicy',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: `kcnp.${spec.tier.toLowerCase()}.${name}` },
    spec: {
      tier: tiers[spec.tier],
      order: spec.priority,
      ...selectPods(spec.subject.pods, spec.subject.namespaces),
      types,
      ingress: convertRules('ingress', spec.ingress, unsupported),
      egress: convertRules('egress', spec.egress, unsupported),
    },
  };
  return { kind: 'converted', policy, unsupported };
}

function selectPods(
  selected: { readonly namespaceSelector: LabelSelector; readonly podSelector: LabelSelector } | undefined,
  namespaces: LabelSelector | undefined,
): { readonly selector: string; readonly namespaceSelector: string } {
  return {
    selector: podSelector(selected?.podSelector),
    namespaceSelector: namespaceSelector(selected?.namespaceSelector ?? namespaces ?? {}),
  };
}

function convertRules(
  direction: Direction,
  rules: readonly Rule[] | undefined,
  unsupported: string[],
): readonly PolicyRule[] {
  return (rules ?? []).flatMap((given, i) => {
    const origin = `spec.${direction}[${i}]`;
    const field = direction === 'ingress' ? 'from' : 'to';
    const peers = peersOf(given[field] ?? [], field);
    const missed = peers.filter((one) => one === undefined).length;
    if (missed > 0) unsupported.push(`${origin}.${field}`);
    if (missed > 0 && given.action !== 'Accept') {
      return makeRules('Deny', direction, [{ entity: {}, from: field }], portGroups(given), origin);
    }
    const known = peers.filter((one) => one !== undefined);
    return makeRules(actions[given.action], direction, known, portGroups(given), origin);
  });
}

function peersOf(peers: readonly GivenPeer[], field: string): readonly (Peer | undefined)[] {
  return peers.flatMap((given, i): readonly (Peer | undefined)[] => {
    const from = `${field}[${i}]`;
    if (given.networks) return networksByFamily(given.networks).map((nets) => ({ from, entity: { nets } }));
    if (given.pods || given.namespaces) return [{ from, entity: selectPods(given.pods, given.namespaces) }];
    return [undefined];
  });
}

function portGroups({ protocols }: Rule): readonly PortGroup[] {
  if (!protocols || protocols.length === 0) return [{ ports: [] }];
  return protocols.flatMap((given): readonly PortGroup[] => {
    const named = given.destinationNamedPort;
    // A name without a protocol is that port of any protocol that has ports.
    if (named !== undefined) return ['TCP', 'UDP', 'SCTP'].map((protocol) => ({ protocol, ports: [named] }));
    return (['tcp', 'udp', 'sctp'] as const).flatMap((name): readonly PortGroup[] => {
      const of = given[name];
      return of ? [{ protocol: name.toUpperCase(), ports: portList(of.destinationPort) }] : [];
    });
  });
}

function portList(
  port: { readonly number?: number; readonly range?: { readonly start: number; readonly end: number } } | undefined,
): readonly Port[] {
  if (port?.number !== undefined) return [port.number];
  return port?.range ? [`${port.range.start}:${port.range.end}`] : [];
}
