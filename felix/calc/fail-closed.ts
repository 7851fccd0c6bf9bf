// What a resource that is not valid counts as. Invalid is missing, and missing must never open anything:
//
//   policy, profile   A rule that cannot be read denies everything at its place: rules before it keep working. An unreadable
//                     selector selects the whole scope (the namespace, or everything); an unreadable order comes first; a
//                     policy of an unreadable tier, or one unreadable in any other way, denies in both directions.
//   staged policy     Missing: it is never enforced.
//   profile label     Missing, by itself.
//   network set       The networks that can be read, and the labels that can be read.
//   tier              Missing: a built-in tier is as built in; policies of any other deny (tiers.ts).
//   workload endpoint Missing: the interface is unknown to the dataplane, and unknown interfaces are dropped.
//   host endpoint     Its interface and addresses as far as they can be read, without labels, its profile one that denies.
//   all others        Missing.
//
// This works on the JSON as it came: faulty parts are replaced, and the result is validated again.

import type { Fault, Kind, ResourceId } from '../../datastore/model/index.ts';

type Json = Readonly<Record<string, unknown>>;

/** A tier of this name cannot exist: names of tiers are DNS labels. */
const NO_TIER = '?';
const NO_PROFILE = '?';
const FIRST = -Number.MAX_VALUE;
const denyAll = [{ action: 'Deny' }];

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const objectAt = (value: unknown, field: string): Json => {
  const inner = isObject(value) ? value[field] : undefined;
  return isObject(inner) ? inner : {};
};

/**
 * JSON of a resource that denies what the invalid one may have denied; undefined when nothing is left of it. `last` is
 * the attempt to make when the first one is not valid either.
 */
export function closedForm(id: ResourceId, given: unknown, faults: readonly Fault[], last: boolean): unknown {
  switch (id.kind) {
    case 'NetworkPolicy':
    case 'GlobalNetworkPolicy':
      return last ? policyThatDenies(id) : repairedPolicy(id, given, faults);
    case 'Profile':
      return last ? profileThatDenies(id) : repairedProfile(id, given, faults);
    case 'NetworkSet':
    case 'GlobalNetworkSet':
      return last ? undefined : repairedNetworkSet(id, given, faults);
    case 'HostEndpoint':
      return last ? undefined : repairedHostEndpoint(id, given, faults);
    default:
      return undefined;
  }
}

const envelope = (id: ResourceId, spec: Json, labels?: Json): Json => ({
  kind: id.kind,
  apiVersion: 'projectcalico.org/v3',
  metadata: { name: id.name, ...(id.namespace && { namespace: id.namespace }), ...(labels && { labels }) },
  spec,
});

function policyThatDenies(id: ResourceId): Json {
  return envelope(id, { tier: NO_TIER, order: FIRST, types: ['Ingress', 'Egress'], ingress: denyAll, egress: denyAll });
}

function repairedPolicy(id: ResourceId, given: unknown, faults: readonly Fault[]): Json {
  const spec = withoutFaultyRules(objectAt(given, 'spec'), faults);
  for (const { path } of faults) {
    // Metadata decides nothing here: the key gives the name, and a policy's own labels mean nothing.
    if (/^(metadata\b|spec\.(in|e)gress\[)/.test(path)) continue;
    if (!path.startsWith('spec.')) return policyThatDenies(id);
    if (/^spec\.(selector|namespaceSelector|serviceAccountSelector|performanceHints)\b/.test(path)) {
      delete spec[fieldOf(path)];
    } else if (path === 'spec.order') spec['order'] = FIRST;
    else if (path === 'spec.tier') spec['tier'] = NO_TIER;
    else {
      spec['types'] = ['Ingress', 'Egress'];
      spec['ingress'] = denyAll;
      spec['egress'] = denyAll;
      for (const field of ['doNotTrack', 'preDNAT', 'applyOnForward']) delete spec[field];
    }
  }
  return envelope(id, spec);
}

function profileThatDenies(id: ResourceId): Json {
  return envelope(id, { ingress: denyAll, egress: denyAll });
}

function repairedProfile(id: ResourceId, given: unknown, faults: readonly Fault[]): Json {
  const spec = withoutFaultyRules(objectAt(given, 'spec'), faults);
  for (const { path } of faults) {
    if (path.startsWith('spec.labelsToApply')) {
      spec['labelsToApply'] = withoutFaultyLabels(spec['labelsToApply'], 'spec.labelsToApply', faults);
    } else if (!/^(metadata\b|spec\.(in|e)gress\[)/.test(path)) {
      spec['ingress'] = denyAll;
      spec['egress'] = denyAll;
    }
  }
  return envelope(id, spec);
}

function repairedNetworkSet(id: ResourceId, given: unknown, faults: readonly Fault[]): Json {
  const { nets } = objectAt(given, 'spec');
  const faulty = new Set(faults.map((fault) => fault.path));
  const readable = Array.isArray(nets) ? nets.filter((_, i) => !faulty.has(`spec.nets[${i}]`)) : [];
  const { labels } = objectAt(given, 'metadata');
  return envelope(id, { nets: readable }, withoutFaultyLabels(labels, 'metadata.labels', faults));
}

/** Missing would leave the interface open. Of a profile that does not exist, felix makes one that denies. */
function repairedHostEndpoint(id: ResourceId, given: unknown, faults: readonly Fault[]): Json {
  const { node, interfaceName, expectedIPs } = objectAt(given, 'spec');
  const faulty = new Set(faults.map((fault) => fault.path));
  const addresses = Array.isArray(expectedIPs)
    ? expectedIPs.filter((_, i) => !faulty.has(`spec.expectedIPs[${i}]`))
    : [];
  const name = faulty.has('spec.interfaceName') || typeof interfaceName !== 'string' ? undefined : interfaceName;
  const isFound = name !== undefined || addresses.length > 0;
  return envelope(id, { node, interfaceName: isFound ? name : '*', expectedIPs: addresses, profiles: [NO_PROFILE] });
}

/** A copy of the spec in which each faulty rule denies everything. */
function withoutFaultyRules(spec: Json, faults: readonly Fault[]): Record<string, unknown> {
  const repaired: Record<string, unknown> = { ...spec };
  for (const direction of ['ingress', 'egress']) {
    const rules = spec[direction];
    if (!Array.isArray(rules)) continue;
    const start = `spec.${direction}[`;
    const faulty = new Set<number>();
    for (const { path } of faults)
      if (path.startsWith(start)) faulty.add(Number.parseInt(path.slice(start.length), 10));
    repaired[direction] = rules.map((rule, i) => (faulty.has(i) ? { action: 'Deny' } : rule));
  }
  return repaired;
}

function withoutFaultyLabels(labels: unknown, path: string, faults: readonly Fault[]): Json {
  const readable: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(isObject(labels) ? labels : {})) {
    const isFaulty = faults.some((fault) => fault.path === `${path}.${name}` || fault.path === `${path}[${name}]`);
    if (!isFaulty) readable[name] = value;
  }
  return readable;
}

const fieldOf = (path: string): string => /^spec\.(\w+)/.exec(path)?.[1] ?? '';

/** Kinds that the graph takes in; the rest passes by unread. */
export const kindsInGraph: ReadonlySet<Kind> = new Set<Kind>([
  'ClusterInformation',
  'FelixConfiguration',
  'GlobalNetworkPolicy',
  'GlobalNetworkSet',
  'HostEndpoint',
  'IPPool',
  'NetworkPolicy',
  'NetworkSet',
  'Node',
  'Profile',
  'StagedGlobalNetworkPolicy',
  'StagedKubernetesNetworkPolicy',
  'StagedNetworkPolicy',
  'Tier',
  'WorkloadEndpoint',
]);
