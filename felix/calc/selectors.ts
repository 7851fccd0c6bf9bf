// The selectors of policies and rules, as one selector over the labels of endpoints and network sets.
//
// In a resource, a rule's source is described by up to four things: selector, namespaceSelector, service accounts and the
// namespace of the policy itself. Labels of namespaces and service accounts reach endpoints with the prefixes "pcns." and
// "pcsa.", so all of it becomes one selector.

import {
  allOf,
  evaluate,
  type Labels,
  parseSelector,
  restrictionsOf,
  type Selector,
  selectorFrom,
  selectorOf,
  withLabelPrefix,
} from '../../datastore/model/selector/index.ts';
import type { IndexedSelector } from './label-index.ts';
import type { LabelRestriction } from './selector-filing.ts';

const NAMESPACE_PREFIX = 'pcns.';
const SERVICE_ACCOUNT_PREFIX = 'pcsa.';
export const NAMESPACE_LABEL = 'projectcalico.org/namespace';
export const ORCHESTRATOR_LABEL = 'projectcalico.org/orchestrator';
export const SERVICE_ACCOUNT_LABEL = 'projectcalico.org/serviceaccount';

const inNoNamespace = selectorFrom(`!has(${NAMESPACE_LABEL})`);
const inAnyNamespace = selectorFrom(`has(${NAMESPACE_LABEL})`);
const inNamespace = (namespace: string): Selector =>
  selectorOf({ kind: 'equal', label: NAMESPACE_LABEL, value: namespace });

/** For selectors whose text was validated before. */
export function parsedSelector(text: string): Selector {
  const parsed = parseSelector(text);
  if (parsed.kind === 'error') throw new Error(`a selector that passed validation does not parse: ${text}`);
  return parsed.selector;
}

export function indexed(selector: Selector): IndexedSelector {
  const restrictions: LabelRestriction[] = [];
  for (const [name, { kind, oneOf }] of restrictionsOf(selector)) {
    // An index finds what is there; "absent" is left to evaluation.
    if (kind !== 'absent') restrictions.push(oneOf ? { name, oneOf } : { name });
  }
  const { expression } = selector;
  return { text: selector.text, restrictions, matches: (labels: Labels) => evaluate(expression, labels) };
}

/** Which namespaces are meant. `all()` is every namespace, not everything; `global()` is what has none. */
function namespaces(text: string): Selector {
  const selector = parsedSelector(text);
  if (selector.usesGlobal) return inNoNamespace;
  return selector.expression.kind === 'all' ? inAnyNamespace : withLabelPrefix(selector, NAMESPACE_PREFIX);
}

function serviceAccounts(match: { readonly names?: readonly string[]; readonly selector?: string }): Selector[] {
  const selectors: Selector[] = [];
  if (match.names && match.names.length > 0) {
    selectors.push(selectorOf({ kind: 'in', label: SERVICE_ACCOUNT_LABEL, values: [...new Set(match.names)].sort() }));
  }
  if (match.selector) selectors.push(withLabelPrefix(parsedSelector(match.selector), SERVICE_ACCOUNT_PREFIX));
  return selectors;
}

export interface PolicyScope {
  /** Of a namespaced policy; empty for global ones. */
  readonly namespace: string;
  readonly selector?: string | undefined;
  readonly namespaceSelector?: string | undefined;
  readonly serviceAccountSelector?: string | undefined;
}

/** The endpoints that a policy applies to. */
export function policySelector(scope: PolicyScope): Selector {
  const parts: Selector[] = [];
  if (scope.namespace !== '') parts.push(inNamespace(scope.namespace));
  else if (scope.namespaceSelector) parts.push(namespaces(scope.namespaceSelector));
  if (scope.serviceAccountSelector) parts.push(...serviceAccounts({ selector: scope.serviceAccountSelector }));
  if (scope.selector) parts.push(parsedSelector(scope.selector));
  return conjunction(parts);
}

export interface EntityScope {
  readonly selector?: string | undefined;
  readonly notSelector?: string | undefined;
  readonly namespaceSelector?: string | undefined;
  readonly serviceAccounts?: { readonly names?: readonly string[]; readonly selector?: string } | undefined;
}

/** What one side of a rule selects; undefined when it does not say. */
export function entitySelector(entity: EntityScope, policyNamespace: string): Selector | undefined {
  const parts: Selector[] = [];
  const accounts = entity.serviceAccounts;
  const saysWho = Boolean(entity.selector || entity.notSelector || accounts?.names?.length || accounts?.selector);
  if (entity.namespaceSelector) parts.push(namespaces(entity.namespaceSelector));
  else if (policyNamespace !== '' && saysWho) parts.push(inNamespace(policyNamespace));
  if (accounts) parts.push(...serviceAccounts(accounts));
  if (entity.selector) parts.push(parsedSelector(entity.selector));
  return parts.length === 0 ? undefined : conjunction(parts);
}

/** `all()` adds nothing to other terms, and leaving it out keeps equal selectors equal. */
function conjunction(parts: readonly Selector[]): Selector {
  const telling = parts.filter((part) => part.expression.kind !== 'all');
  return telling.length > 0 ? allOf(telling) : parsedSelector('all()');
}
