// Valid resources → what the nodes of the graph take.

import type {
  GlobalNetworkPolicy,
  GlobalNetworkSet,
  HostEndpoint,
  NetworkPolicy,
  NetworkSet,
  Node,
  Profile,
  StagedGlobalNetworkPolicy,
  StagedKubernetesNetworkPolicy,
  StagedNetworkPolicy,
  Tier,
  WorkloadEndpoint,
} from '../../datastore/model/kinds.ts';
import { type Protocol, parseProtocol } from '../../datastore/model/schema/scalars-net.ts';
import { convertNetworkPolicySpec } from '../../kube/policy/network-policy.ts';
import { type Address, parseAddress } from '../../net/address.ts';
import { type Prefix, parseInterfaceAddress } from '../../net/prefix.ts';
import type { PolicyRules, ProfileRules } from './active-rules.ts';
import { readNetwork } from './compile.ts';
import type { HostEndpointDetails, WorkloadDetails } from './endpoint-kinds.ts';
import type { NamedPort, SourceInput, SourceShape } from './ip-sets.ts';
import type { LabelSet } from './label-index.ts';
import type { LocalEndpoint } from './local-endpoints.ts';
import type { CalcHost } from './output.ts';
import { indexed, NAMESPACE_LABEL, ORCHESTRATOR_LABEL, policySelector, SERVICE_ACCOUNT_LABEL } from './selectors.ts';
import type { PlacedPolicy, PolicyStage, TierInput } from './tiers.ts';

export type AnyPolicy =
  | NetworkPolicy
  | GlobalNetworkPolicy
  | StagedNetworkPolicy
  | StagedGlobalNetworkPolicy
  | StagedKubernetesNetworkPolicy;

export interface PolicyInput {
  readonly place: PlacedPolicy;
  readonly rules: PolicyRules;
}

export function policyId(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** Undefined for staged policies that would not be set. */
export function policyInput(policy: AnyPolicy): PolicyInput | undefined {
  const { kind, metadata } = policy;
  if ('stagedAction' in policy.spec && policy.spec.stagedAction !== 'Set') return undefined;
  const spec = policy.kind === 'StagedKubernetesNetworkPolicy' ? convertNetworkPolicySpec(policy.spec) : policy.spec;
  const stage = stageOf(policy);
  const namespace = metadata.namespace ?? '';
  const id = policyId(kind, namespace, metadata.name);
  const types = spec.types.length > 0 ? spec.types : defaultTypes(spec);
  const selector = policySelector({
    namespace,
    selector: spec.selector,
    namespaceSelector: namespaceSelectorOf(policy),
    serviceAccountSelector: spec.serviceAccountSelector,
  });
  return {
    place: {
      id,
      tier: spec.tier,
      order: spec.order ?? Number.POSITIVE_INFINITY,
      tieKey: `${metadata.name}/${namespace}/${kind}`,
      ingress: types.includes('Ingress'),
      egress: types.includes('Egress'),
      stage,
      selector: indexed(selector),
    },
    rules: {
      id,
      tier: spec.tier,
      namespace,
      staged: kind.startsWith('Staged'),
      stage,
      ...(stage === 'normal' && { subject: selector }),
      ingress: types.includes('Ingress') ? (spec.ingress ?? []) : [],
      egress: types.includes('Egress') ? (spec.egress ?? []) : [],
    },
  };
}

function stageOf({ kind, spec }: AnyPolicy): PolicyStage {
  if (kind !== 'GlobalNetworkPolicy' && kind !== 'StagedGlobalNetworkPolicy') return 'normal';
  const { doNotTrack, preDNAT, applyOnForward }: GlobalFlags = spec;
  if (doNotTrack) return 'untracked';
  if (preDNAT) return 'pre-dnat';
  return applyOnForward ? 'forward' : 'normal';
}

function namespaceSelectorOf(policy: AnyPolicy): string | undefined {
  const isGlobal = policy.kind === 'GlobalNetworkPolicy' || policy.kind === 'StagedGlobalNetworkPolicy';
  return isGlobal ? policy.spec.namespaceSelector : undefined;
}

interface GlobalFlags {
  readonly doNotTrack?: boolean;
  readonly preDNAT?: boolean;
  readonly applyOnForward?: boolean;
}

/** An empty list of types counts as none given. */
function defaultTypes(spec: {
  readonly ingress?: readonly unknown[];
  readonly egress?: readonly unknown[];
}): readonly ('Ingress' | 'Egress')[] {
  if (!spec.egress?.length) return ['Ingress'];
  return spec.ingress?.length ? ['Ingress', 'Egress'] : ['Egress'];
}

export function tierInput(tier: Tier): TierInput {
  return {
    order: tier.spec.order ?? Number.POSITIVE_INFINITY,
    defaultAction: tier.spec.defaultAction === 'Pass' ? 'pass' : 'deny',
  };
}

export interface ProfileInput {
  readonly rules: ProfileRules;
  readonly labels: ReadonlyMap<string, string>;
}

export function profileInput(profile: Profile): ProfileInput {
  const { ingress = [], egress = [], labelsToApply = {} } = profile.spec;
  return { rules: { ingress, egress }, labels: new Map(Object.entries(labelsToApply)) };
}

/**
 * Labels of a workload. Those that say where it belongs come from the resource's place and not from its labels: a pod
 * does not choose its namespace.
 */
function workloadLabels({ metadata, spec }: WorkloadInput): LabelSet {
  return {
    given: metadata.labels ?? {},
    system: {
      [NAMESPACE_LABEL]: metadata.namespace ?? '',
      ...(spec.orchestrator && { [ORCHESTRATOR_LABEL]: spec.orchestrator }),
      ...(spec.serviceAccountName && { [SERVICE_ACCOUNT_LABEL]: spec.serviceAccountName }),
    },
  };
}

/** Of a workload what makes its shape. */
export interface WorkloadInput {
  readonly metadata: Pick<WorkloadEndpoint['metadata'], 'namespace' | 'labels'>;
  readonly spec: Pick<WorkloadEndpoint['spec'], 'orchestrator' | 'serviceAccountName' | 'profiles' | 'ports'>;
}

export const workloadShape = (workload: WorkloadInput): SourceShape => ({
  labels: workloadLabels(workload),
  parents: workload.spec.profiles ?? [],
  ports: namedPorts(workload.spec.ports),
});

export const workloadSource = (workload: WorkloadEndpoint): SourceInput => ({
  shape: workloadShape(workload),
  prefixes: networkTexts(workload.spec.ipNetworks),
});

/** Undefined for an endpoint without an interface: nothing on the node can be done for it. */
export function localWorkload(
  workload: WorkloadEndpoint,
  revision: number,
): LocalEndpoint<WorkloadDetails> | undefined {
  const { metadata, spec } = workload;
  if (!spec.interfaceName) return undefined;
  const id = `${metadata.namespace ?? ''}/${metadata.name}`;
  const profiles = spec.profiles ?? [];
  return {
    id,
    labels: workloadLabels(workload),
    profiles,
    details: {
      id,
      interfaceName: spec.interfaceName,
      addresses: networkTexts(spec.ipNetworks),
      ...(spec.mac && { mac: spec.mac }),
      profiles,
      allowedSourcePrefixes: networkTexts(spec.allowSpoofedSourcePrefixes),
      revision,
    },
  };
}

export function hostEndpointSource({ metadata, spec }: HostEndpoint): SourceInput {
  const labels = { given: metadata.labels ?? {} };
  return {
    shape: { labels, parents: spec.profiles ?? [], ports: namedPorts(spec.ports) },
    prefixes: networkTexts(spec.expectedIPs),
  };
}

export function localHostEndpoint(endpoint: HostEndpoint, revision: number): LocalEndpoint<HostEndpointDetails> {
  const { metadata, spec } = endpoint;
  const profiles = spec.profiles ?? [];
  return {
    id: metadata.name,
    labels: { given: metadata.labels ?? {} },
    profiles,
    details: {
      id: metadata.name,
      ...(spec.interfaceName && { interfaceName: spec.interfaceName }),
      expectedAddresses: networkTexts(spec.expectedIPs).map((prefix) => prefix.address),
      profiles,
      revision,
    },
  };
}

export function networkSetSource(set: NetworkSet | GlobalNetworkSet): SourceInput {
  const { metadata, spec } = set;
  const prefixes = networkTexts(spec.nets);
  const given = metadata.labels ?? {};
  const { namespace } = metadata;
  if (!namespace) return { shape: { labels: { given }, parents: [], ports: [] }, prefixes };
  const labels = { given, system: { [NAMESPACE_LABEL]: namespace } };
  // A network set inherits the labels of its namespace, as the pods in it do.
  return { shape: { labels, parents: [`kns.${namespace}`], ports: [] }, prefixes };
}

export function hostInput(node: Node): CalcHost {
  const { bgp, addresses } = node.spec;
  const found = new Set<Address>();
  for (const text of [bgp?.ipv4Address, bgp?.ipv6Address, ...(addresses ?? []).map((entry) => entry.address)]) {
    const address = text === undefined ? undefined : (parseInterfaceAddress(text)?.address ?? parseAddress(text));
    if (address !== undefined) found.add(address);
  }
  return { node: node.metadata.name, addresses: [...found] };
}

/** Networks or addresses; host bits are masked away. */
export const networkTexts = (texts: readonly string[] | undefined): readonly Prefix[] =>
  (texts ?? []).flatMap((text) => readNetwork(text) ?? []);

function namedPorts(
  ports: readonly { readonly name?: string; readonly protocol: Protocol; readonly port: number }[] | undefined,
): readonly NamedPort[] {
  const named: NamedPort[] = [];
  for (const { name, protocol, port } of ports ?? []) {
    const number = parseProtocol(protocol);
    if (name && number !== undefined) named.push({ name, protocol: number, port });
  }
  return named;
}
