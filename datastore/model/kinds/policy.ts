// Tier, the policies, and their staged forms.

import { forEachSound } from '../schema/guard.ts';
import { boolean, choice, float, integer, text } from '../schema/scalars.ts';
import { dnsLabel, labelKey, labelValue, selector } from '../schema/scalars-names.ts';
import { network, portMatch, protocol } from '../schema/scalars-net.ts';
import { defaulted, list, map, object, optional, type Report, type Rule, required } from '../schema/types.ts';
import { type CheckedResource, conditions, kind } from './common.ts';
import { rules } from './rule.ts';

export const builtInTiers = {
  'kube-admin': { order: 1000, defaultAction: 'Pass' },
  default: { order: 1_000_000, defaultAction: 'Deny' },
  'kube-baseline': { order: 10_000_000, defaultAction: 'Pass' },
} as const;

export const tier = kind('Tier', {
  plural: 'tiers',
  shortNames: [],
  doc: 'An ordered group of policies; tiers are passed through in ascending order.',
  name: dnsLabel,
  spec: object({
    order: optional(float, 'Position among the tiers, ascending; a tier without order comes last.'),
    defaultAction: defaulted(
      choice('Pass', 'Deny'),
      'Deny',
      'What happens to a packet that policies of this tier apply to and none of them decides.',
    ),
  }),
  status: object({ conditions: optional(conditions, 'State of the tier.') }),
  rules: [checkBuiltInTier],
  protectedNames: Object.keys(builtInTiers),
});

function checkBuiltInTier(resource: CheckedResource, report: Report): void {
  const builtIn = Object.entries(builtInTiers).find(([name]) => name === resource.metadata.name)?.[1];
  if (!builtIn) return;
  forEachSound(['order', 'defaultAction'] as const, (field) => {
    if (resource.spec[field] !== builtIn[field]) {
      report(`spec.${field}`, `is fixed in the built-in tier ${resource.metadata.name}`, `set ${builtIn[field]}`);
    }
  });
}

const types = defaulted(
  list(choice('Ingress', 'Egress'), { maxItems: 2 }),
  {
    from: (spec) => defaultTypes(spec),
    doc: 'the directions that have rules; Ingress when neither has',
  },
  'Directions that the policy applies to.',
);

function defaultTypes(spec: Readonly<Record<string, unknown>>): readonly ('Ingress' | 'Egress')[] {
  const hasRules = (field: string): boolean => {
    const value = spec[field];
    return Array.isArray(value) && value.length > 0;
  };
  if (!hasRules('egress')) return ['Ingress'];
  return hasRules('ingress') ? ['Ingress', 'Egress'] : ['Egress'];
}

const ordering = {
  tier: defaulted(text({ minLength: 1 }), 'default', 'Tier that the policy belongs to.'),
  order: optional(float, 'Position in the tier, ascending; a policy without order comes last.'),
};

const performanceHints = optional(
  list(choice('AssumeNeededOnEveryNode')),
  'AssumeNeededOnEveryNode: program the policy on nodes without matching endpoints too.',
);

const namespacedFields = {
  ingress: optional(rules, 'Rules for packets to the selected endpoints, the first that matches decides.'),
  egress: optional(rules, 'Rules for packets from the selected endpoints, the first that matches decides.'),
  selector: optional(selector(), 'Endpoints that the policy applies to; all of the namespace when absent.'),
  types,
  serviceAccountSelector: optional(selector(), 'Only endpoints whose service account has matching labels.'),
  performanceHints,
};

const globalFields = {
  ingress: optional(rules, 'Rules for packets to the selected endpoints, the first that matches decides.'),
  egress: optional(rules, 'Rules for packets from the selected endpoints, the first that matches decides.'),
  selector: optional(selector(), 'Endpoints that the policy applies to; all when absent.'),
  types,
  doNotTrack: optional(boolean, 'For host endpoints: apply before conntrack, to packets not connections.', {
    omitFalse: true,
  }),
  preDNAT: optional(boolean, 'For host endpoints: apply before destination NAT; ingress only.', { omitFalse: true }),
  applyOnForward: optional(boolean, 'For host endpoints: apply to forwarded packets too.', { omitFalse: true }),
  serviceAccountSelector: optional(selector(), 'Only endpoints whose service account has matching labels.'),
  namespaceSelector: optional(selector(), 'Only endpoints in namespaces with matching labels.'),
  performanceHints,
};

interface Entity {
  readonly services?: { readonly namespace?: string };
}
interface RuleLike {
  readonly http?: unknown;
  readonly source?: Entity;
  readonly destination?: Entity;
}
interface PolicySpec {
  readonly ingress?: readonly RuleLike[];
  readonly egress?: readonly RuleLike[];
  readonly types: readonly string[];
  readonly doNotTrack?: boolean;
  readonly preDNAT?: boolean;
  readonly applyOnForward?: boolean;
}

const policyRules: readonly Rule<PolicySpec>[] = [
  ({ types }, report) => {
    if (new Set(types).size < types.length) report('types', 'names a direction twice', 'name each once');
  },
  ({ ingress }, report) =>
    forEachSound(ingress, ({ destination }, i) => {
      if (!destination?.services) return;
      const path = `ingress[${i}].destination.services`;
      report(path, 'has no place in an ingress rule’s destination', 'use it in source');
    }),
  ({ egress }, report) =>
    forEachSound(egress, ({ source }, i) => {
      if (!source?.services) return;
      report(`egress[${i}].source.services`, 'has no place in an egress rule’s source', 'use it in destination');
    }),
  ({ egress }, report) =>
    forEachSound(egress, ({ http }, i) => {
      if (http) report(`egress[${i}].http`, 'is for ingress rules only', 'remove it');
    }),
];

const needsNamespace = (side: Entity | undefined): boolean => side?.services !== undefined && !side.services.namespace;
const noNamespace = 'is missing: a global policy has no namespace of its own';

const globalPolicyRules: readonly Rule<PolicySpec>[] = [
  ...policyRules,
  ({ doNotTrack, preDNAT }, report) => {
    if (doNotTrack && preDNAT) report('preDNAT', 'is set together with doNotTrack', 'remove one of the two');
  },
  ({ doNotTrack, preDNAT, applyOnForward }, report) => {
    if (applyOnForward || !(doNotTrack || preDNAT)) return;
    report('applyOnForward', `must be true with ${preDNAT ? 'preDNAT' : 'doNotTrack'}`, 'set applyOnForward: true');
  },
  ({ preDNAT, egress }, report) => {
    if (preDNAT && egress?.length) report('egress', 'is not possible with preDNAT', 'remove the egress rules');
  },
  ({ preDNAT, types }, report) => {
    if (preDNAT && types.includes('Egress')) report('types', 'cannot have Egress with preDNAT', 'set [Ingress]');
  },
  ({ ingress }, report) =>
    forEachSound(ingress, ({ source }, i) => {
      if (needsNamespace(source)) report(`ingress[${i}].source.services.namespace`, noNamespace, 'give it');
    }),
  ({ egress }, report) =>
    forEachSound(egress, ({ destination }, i) => {
      if (needsNamespace(destination)) report(`egress[${i}].destination.services.namespace`, noNamespace, 'give it');
    }),
];

export const networkPolicy = kind('NetworkPolicy', {
  plural: 'networkpolicies',
  shortNames: ['np', 'policy', 'pol', 'policies'],
  namespaced: true,
  doc: 'Rules for endpoints of one namespace.',
  spec: object({ ...ordering, ...namespacedFields }, ...policyRules),
});

export const globalNetworkPolicy = kind('GlobalNetworkPolicy', {
  plural: 'globalnetworkpolicies',
  shortNames: ['gnp'],
  doc: 'Rules for endpoints of every namespace and for host endpoints.',
  spec: object({ ...ordering, ...globalFields }, ...globalPolicyRules),
});

const stagedAction = defaulted(
  choice('Set', 'Delete', 'Learn', 'Ignore'),
  'Set',
  'What would be done to the enforced policy of the same name.',
);

/** A staged deletion says nothing but which policy would go. */
const deletesOnly = (rules: readonly Rule<PolicySpec>[]): readonly Rule<StagedSpec>[] => [
  ...rules.map(
    (rule): Rule<StagedSpec> =>
      (spec, report) => {
        if (spec.stagedAction !== 'Delete') rule(spec, report);
      },
  ),
  (spec, report) => {
    if (spec.stagedAction !== 'Delete') return;
    const meaningless = Object.keys({ ...ordering, ...globalFields }).filter((field) => field !== 'tier');
    forEachSound(meaningless, (field) => {
      const value = spec[field];
      const given = Array.isArray(value) ? field !== 'types' && value.length > 0 : value !== undefined;
      if (given) report(field, 'has no meaning with stagedAction Delete', 'keep only tier and stagedAction');
    });
  },
];

type StagedSpec = PolicySpec & { readonly stagedAction: string } & Readonly<Record<string, unknown>>;

export const stagedNetworkPolicy = kind('StagedNetworkPolicy', {
  plural: 'stagednetworkpolicies',
  shortNames: ['snp'],
  namespaced: true,
  doc: 'A NetworkPolicy that is evaluated and reported, not enforced.',
  spec: object({ stagedAction, ...ordering, ...namespacedFields }, ...deletesOnly(policyRules)),
});

export const stagedGlobalNetworkPolicy = kind('StagedGlobalNetworkPolicy', {
  plural: 'stagedglobalnetworkpolicies',
  shortNames: ['sgnp'],
  doc: 'A GlobalNetworkPolicy that is evaluated and reported, not enforced.',
  spec: object({ stagedAction, ...ordering, ...globalFields }, ...deletesOnly(globalPolicyRules)),
});

const kubernetesSelector = object({
  matchLabels: optional(map(labelKey, labelValue), 'Labels that must have these values.'),
  matchExpressions: optional(
    list(
      object({
        key: required(labelKey, 'The label.'),
        operator: required(choice('In', 'NotIn', 'Exists', 'DoesNotExist'), 'How it is compared.'),
        values: optional(list(text()), 'The values, for In and NotIn.'),
      }),
    ),
    'Conditions that must all hold.',
  ),
});

const kubernetesPorts = optional(
  list(
    object({
      protocol: optional(protocol, 'TCP, UDP or SCTP; TCP when absent.'),
      port: optional(portMatch, 'Number or name; every port when absent.'),
      endPort: optional(integer(1, 65535), 'Last port of a range that begins at port.'),
    }),
  ),
  'Ports; every one when absent.',
);

const kubernetesPeers = list(
  object({
    podSelector: optional(kubernetesSelector, 'Pods with matching labels.'),
    namespaceSelector: optional(kubernetesSelector, 'In namespaces with matching labels.'),
    ipBlock: optional(
      object({
        cidr: required(network, 'A range.'),
        except: optional(list(network), 'What is left out of it.'),
      }),
      'Addresses of a range.',
    ),
  }),
);

export const stagedKubernetesNetworkPolicy = kind('StagedKubernetesNetworkPolicy', {
  plural: 'stagedkubernetesnetworkpolicies',
  shortNames: ['sknp'],
  namespaced: true,
  doc: 'A Kubernetes NetworkPolicy that is evaluated and reported, not enforced.',
  spec: object({
    stagedAction,
    podSelector: optional(kubernetesSelector, 'Pods that the policy applies to.'),
    ingress: optional(
      list(object({ ports: kubernetesPorts, from: optional(kubernetesPeers, 'Sources; all when absent.') })),
      'What may come in.',
    ),
    egress: optional(
      list(object({ ports: kubernetesPorts, to: optional(kubernetesPeers, 'Destinations; all when absent.') })),
      'What may go out.',
    ),
    policyTypes: optional(list(choice('Ingress', 'Egress')), 'Directions that the policy applies to.'),
  }),
});
