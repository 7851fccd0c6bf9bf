// NetworkPolicy (networking.k8s.io/v1) → NetworkPolicy.
//
// Kubernetes' policies only allow. A pod that some policy selects for a direction is isolated in it, which the end of tier
// "default" does; a pod that none selects leaves the tier and is allowed by the profile of its namespace.

import {
  type DraftOf,
  type Fault,
  kinds,
  type PolicyRule,
  type Port,
  type ResourceOf,
} from '../../datastore/model/index.ts';
import { check, isObject } from '../../datastore/model/schema/check.ts';
import { type Direction, makeRules, networksByFamily, type Peer, type PortGroup } from './rules.ts';
import { namespaceSelector, podSelector } from './selectors.ts';

/** The spec of a NetworkPolicy v1; a StagedKubernetesNetworkPolicy has the same fields. */
export type NetworkPolicySpec = Omit<ResourceOf<'StagedKubernetesNetworkPolicy'>['spec'], 'stagedAction'>;
type Ports = NonNullable<NonNullable<NetworkPolicySpec['ingress']>[number]['ports']>;
type Peers = NonNullable<NonNullable<NetworkPolicySpec['ingress']>[number]['from']>;

/** Where Kubernetes' policies stand in tier "default". */
export const KUBERNETES_ORDER = 1000;

export type NetworkPolicyResult =
  | { readonly kind: 'converted'; readonly policy: DraftOf<'NetworkPolicy'> }
  | { readonly kind: 'invalid'; readonly faults: readonly Fault[] };

/** Converts a whole object as the API server hands it out, or as it stands in a manifest. */
export function convertNetworkPolicy(given: unknown): NetworkPolicyResult {
  const faults: Fault[] = [];
  const fault = (path: string, problem: string, remedy: string): void => {
    faults.push({ path, value: undefined, problem, remedy });
  };
  const metadata = isObject(given) && isObject(given['metadata']) ? given['metadata'] : {};
  const { name, namespace = 'default' } = metadata;
  if (typeof name !== 'string') fault('metadata.name', 'is missing', 'give the policy a name');
  const spec = isObject(given) ? given['spec'] : undefined;
  const checked = check(kinds.StagedKubernetesNetworkPolicy.spec, spec ?? {}, 'spec', 'store', faults);
  if (!isObject(spec)) fault('spec', 'is missing', 'give at least podSelector: {}');
  if (faults.length > 0 || typeof name !== 'string' || typeof namespace !== 'string')
    return { kind: 'invalid', faults };
  return {
    kind: 'converted',
    policy: {
      kind: 'NetworkPolicy',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: `knp.default.${name}`, namespace },
      // What was just checked against the declaration that the type was made from.
      spec: convertNetworkPolicySpec(checked as NetworkPolicySpec),
    },
  };
}

export function convertNetworkPolicySpec(spec: NetworkPolicySpec): ResourceOf<'NetworkPolicy'>['spec'] {
  const types = typesOf(spec);
  return {
    tier: 'default',
    order: KUBERNETES_ORDER,
    selector: podSelector(spec.podSelector),
    types,
    ingress: types.includes('Ingress') ? convertRules('ingress', spec) : [],
    egress: types.includes('Egress') ? convertRules('egress', spec) : [],
  };
}

/** Ingress always, Egress when it has rules; but what is listed wins. */
function typesOf({ policyTypes, egress }: NetworkPolicySpec): readonly ('Ingress' | 'Egress')[] {
  if (policyTypes && policyTypes.length > 0) return policyTypes;
  return egress && egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

function convertRules(direction: Direction, spec: NetworkPolicySpec): readonly PolicyRule[] {
  const rules: readonly { readonly ports?: Ports; readonly from?: Peers; readonly to?: Peers }[] =
    spec[direction] ?? [];
  return rules.flatMap((rule, i) => {
    const field = direction === 'ingress' ? 'from' : 'to';
    return makeRules(
      'Allow',
      direction,
      peersOf(rule[field], field),
      portGroups(rule.ports),
      `spec.${direction}[${i}]`,
    );
  });
}

/** No peers mean anyone, outside hosts too. */
function peersOf(peers: Peers | undefined, field: string): readonly Peer[] {
  if (!peers || peers.length === 0) return [{ entity: {}, from: '' }];
  return peers.map((peer, i) => {
    const from = `${field}[${i}]`;
    if (peer.ipBlock) {
      const { cidr, except = [] } = peer.ipBlock;
      const [notNets] = networksByFamily(except);
      return { from, entity: { nets: networksByFamily([cidr]).flat(), ...(notNets && { notNets }) } };
    }
    return {
      from,
      entity: {
        selector: podSelector(peer.podSelector),
        // Without it the rule means the namespace of the policy.
        ...(peer.namespaceSelector && { namespaceSelector: namespaceSelector(peer.namespaceSelector) }),
      },
    };
  });
}

/** No ports mean all protocols and ports; an entry without a port means all ports of its protocol, TCP by default. */
function portGroups(ports: Ports | undefined): readonly PortGroup[] {
  if (!ports || ports.length === 0) return [{ ports: [] }];
  const byProtocol = new Map<string | number, Port[] | 'all'>();
  for (const { protocol = 'TCP', port, endPort } of ports) {
    const before = byProtocol.get(protocol) ?? [];
    if (port === undefined || before === 'all') byProtocol.set(protocol, 'all');
    else byProtocol.set(protocol, [...before, endPort === undefined ? port : `${port}:${endPort}`]);
  }
  return [...byProtocol].map(([protocol, list]) => ({ protocol, ports: list === 'all' ? [] : list }));
}
