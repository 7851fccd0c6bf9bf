// Kubernetes' label selectors → selector expressions.

import { type ResourceOf, type Selector, selectorOf } from '../../datastore/model/index.ts';
import type { Expression } from '../../datastore/model/selector/index.ts';

/** As in Kubernetes: matchLabels and matchExpressions, all of which must hold. Empty: everything. */
export type LabelSelector = NonNullable<ResourceOf<'StagedKubernetesNetworkPolicy'>['spec']['podSelector']>;

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function convertLabelSelector(selector: LabelSelector): Selector {
  const terms: Expression[] = Object.entries(selector.matchLabels ?? {})
    .sort(([a], [b]) => compare(a, b))
    .map(([label, value]) => ({ kind: 'equal', label, value }));
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const sorted = [...new Set(values)].sort(compare);
    switch (operator) {
      case 'In':
        terms.push({ kind: 'in', label: key, values: sorted });
        break;
      case 'NotIn':
        terms.push({ kind: 'not-in', label: key, values: sorted });
        break;
      case 'Exists':
        terms.push({ kind: 'has', label: key });
        break;
      case 'DoesNotExist':
        terms.push({ kind: 'not', operand: { kind: 'has', label: key } });
        break;
    }
  }
  const [only, ...others] = terms;
  if (!only) return selectorOf({ kind: 'all' });
  return selectorOf(others.length === 0 ? only : { kind: 'and', operands: terms });
}

/** Pods that the selector selects: host endpoints and network sets are never meant by Kubernetes' policies. */
export function podSelector(selector: LabelSelector | undefined): string {
  const { expression, text } = convertLabelSelector(selector ?? {});
  const isPod = "projectcalico.org/orchestrator == 'k8s'";
  return expression.kind === 'all' ? isPod : `${isPod} && ${text}`;
}

/** `all()` in a namespaceSelector: anything that is in a namespace. */
export const namespaceSelector = (selector: LabelSelector): string => convertLabelSelector(selector).text;
