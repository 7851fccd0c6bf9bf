// Namespace and ServiceAccount → the Profiles through which endpoints get their labels.

import type { DraftOf } from '../datastore/model/index.ts';

const allowAll = [{ action: 'Allow' }] as const;

/** Allows both ways: what no policy isolates may talk. */
export function namespaceProfile(
  name: string,
  labels: Readonly<Record<string, string>> | undefined,
): DraftOf<'Profile'> {
  // The API server sets this label and lets nobody change it.
  const all = { ...labels, 'kubernetes.io/metadata.name': name, 'projectcalico.org/name': name };
  return {
    kind: 'Profile',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: `kns.${name}` },
    spec: { ingress: allowAll, egress: allowAll, labelsToApply: prefixed('pcns.', all) },
  };
}

/** Carries labels only. */
export function serviceAccountProfile(
  namespace: string,
  name: string,
  labels: Readonly<Record<string, string>> | undefined,
): DraftOf<'Profile'> {
  const all = { ...labels, 'projectcalico.org/name': name };
  return {
    kind: 'Profile',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: `ksa.${namespace}.${name}` },
    spec: { labelsToApply: prefixed('pcsa.', all) },
  };
}

const prefixed = (prefix: string, labels: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).map(([name, value]) => [`${prefix}${name}`, value]));
