// What a resource that is not valid counts as. Invalid is missing, and missing must never open anything:
//
//   policy            A rule that cannot be read denies everything at its place: rules before it keep working. With an
//                     unreadable selector the policy denies in its whole scope (the namespace, or everywhere), with an
//                     unreadable order it denies before all others of its tier, with an unreadable tier before all tiers.
//                     Unreadable in any other way it denies in both directions.
//   staged policy     Missing: it is never enforced.
//   profile           As a policy: a rule by itself, or else all of it denies.
//   labels            As they are, whatever their form: a label that is missing could take an endpoint out of a policy.
//                     Where a profile's labels are no labels at all, its endpoints are cut off (unreadableLabelsPolicy).
//   network set       The networks that can be read.
//   tier              Missing: a built-in tier is as built in; policies of any other deny (tiers.ts).
//   workload endpoint Missing: the interface is unknown to the dataplane, and unknown interfaces are dropped.
//   host endpoint     Its interface and addresses as far as they can be read, its profile one that denies.
//   all others        Missing.
//
// What cannot be closed: a rule that denies by selector does not meet a peer whose labels or addresses cannot be read.
// Nobody knows that it is meant.
//
// This works on the JSON as it came: faulty parts are replaced, and the result is validated again. Labels are kept aside.

import { type Fault, type Kind, type Resource, type ResourceId, selectorOf } from '../../datastore/model/index.ts';
import type { PolicyRules } from './active-rules.ts';
import { indexed } from './selectors.ts';
import type { PlacedPolicy } from './tiers.ts';

type Json = Readonly<Record<string, unknown>>;

/** A tier of this name cannot exist: names of tiers are DNS labels. */
export const NO_TIER = '?';
/** Given to endpoints by a profile whose own labels cannot be read. Nobody else can: names of labels have no "?". */
const UNREADABLE_LABEL = '?';
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

const envelope = (id: ResourceId, spec: Json): Json => ({
  kind: id.kind,
  apiVersion: 'projectcalico.org/v3',
  metadata: { name: id.name, ...(id.namespace && { namespace: id.namespace }) },
  spec,
});

function policyThatDenies(id: ResourceId): Json {
  const deny = { tier: NO_TIER, order: FIRST, types: ['Ingress', 'Egress'], ingress: denyAll, egress: denyAll };
  // It may have been about forwarded packets too.
  return envelope(id, { ...deny, ...(id.kind === 'GlobalNetworkPolicy' && { applyOnForward: true }) });
}

function repairedPolicy(id: ResourceId, given: unknown, faults: readonly Fault[]): Json {
  const spec = withoutFaultyRules(objectAt(given, 'spec'), faults);
  for (const { path } of faults) {
    // Metadata decides nothing here: the key gives the name, and a policy's own labels mean nothing.
    if (/^(metadata\b|spec\.((in|e)gress\[|performanceHints\b))/.test(path)) continue;
    if (!path.startsWith('spec.')) return policyThatDenies(id);
    if (/^spec\.(selector|namespaceSelector|serviceAccountSelector)$/.test(path)) {
      delete spec[fieldOf(path)];
      // What it allows is meant for those whom it selects, and nobody knows who they are.
      denyInItsTypes(spec);
    } else if (path === 'spec.order') {
      spec['order'] = FIRST;
      denyInItsTypes(spec);
    } else if (path === 'spec.tier') spec['tier'] = NO_TIER;
    else denyAtItsStage(id, spec, fieldOf(path));
  }
  delete spec['performanceHints'];
  return envelope(id, spec);
}

/** A policy about what host endpoints forward has to go on denying that, and as early as it did. */
function denyAtItsStage({ kind }: ResourceId, spec: Record<string, unknown>, faultyField: string): void {
  const early = ['doNotTrack', 'preDNAT'].filter((field) => spec[field] === true);
  const isStageKnown = !['doNotTrack', 'preDNAT', 'applyOnForward'].includes(faultyField) && early.length < 2;
  const isBeforeNat = isStageKnown && spec['preDNAT'] === true;
  spec['types'] = isBeforeNat ? ['Ingress'] : ['Ingress', 'Egress'];
  spec['ingress'] = denyAll;
  spec['egress'] = isBeforeNat ? [] : denyAll;
  if (!isStageKnown) for (const field of ['doNotTrack', 'preDNAT', 'applyOnForward']) delete spec[field];
  if (kind === 'GlobalNetworkPolicy' && (early.length > 0 || !isStageKnown)) spec['applyOnForward'] = true;
}

/** Rules that deny in the directions of the policy; where these follow from its rules, they stay what they were. */
function denyInItsTypes(spec: Record<string, unknown>): void {
  for (const direction of ['ingress', 'egress']) {
    const rules = spec[direction];
    const isListed = Array.isArray(spec['types']) && spec['types'].length > 0;
    if (isListed || (Array.isArray(rules) && rules.length > 0)) spec[direction] = denyAll;
  }
}

function profileThatDenies(id: ResourceId): Json {
  return envelope(id, { ingress: denyAll, egress: denyAll });
}

function repairedProfile(id: ResourceId, given: unknown, faults: readonly Fault[]): Json {
  const spec = withoutFaultyRules(objectAt(given, 'spec'), faults);
  delete spec['labelsToApply'];
  for (const { path } of faults) {
    if (/^(metadata\b|spec\.((in|e)gress\[|labelsToApply\b))/.test(path)) continue;
    spec['ingress'] = denyAll;
    spec['egress'] = denyAll;
  }
  return envelope(id, spec);
}

function repairedNetworkSet(id: ResourceId, given: unknown, faults: readonly Fault[]): Json {
  const { nets } = objectAt(given, 'spec');
  const faulty = new Set(faults.map((fault) => fault.path));
  return envelope(id, { nets: Array.isArray(nets) ? nets.filter((_, i) => !faulty.has(`spec.nets[${i}]`)) : [] });
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

/** Denies everything at endpoints of which nobody knows which policies would select them. */
export function unreadableLabelsPolicy(): { readonly place: PlacedPolicy; readonly rules: PolicyRules } {
  const selector = indexed(selectorOf({ kind: 'has', label: UNREADABLE_LABEL }));
  const where = { id: 'Profile//unreadable', tier: NO_TIER, stage: 'normal' } as const;
  return {
    place: { ...where, order: FIRST, tieKey: '', ingress: true, egress: true, selector },
    rules: { ...where, namespace: '', staged: false, ingress: [], egress: [] },
  };
}

/** The repaired resource with the labels that it came with, as text. */
export function withGivenLabels(resource: Resource, given: unknown): Resource {
  if (resource.kind === 'Profile') {
    const spec = isObject(given) ? given['spec'] : undefined;
    const labels = isObject(spec) ? (spec['labelsToApply'] ?? {}) : undefined;
    const labelsToApply = isObject(labels) ? textLabels(labels) : { [UNREADABLE_LABEL]: '' };
    return { ...resource, spec: { ...resource.spec, labelsToApply } };
  }
  const labels = textLabels(objectAt(objectAt(given, 'metadata'), 'labels'));
  return { ...resource, metadata: { ...resource.metadata, labels } };
}

function textLabels(labels: Json): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]));
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
