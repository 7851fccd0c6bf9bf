// Objects of Kubernetes as they stand in manifests → the resources that stand for them here.

import type { DraftOf, Fault, Kind } from '../datastore/model/index.ts';
import { isObject } from '../datastore/model/schema/check.ts';
import { namespaceProfile, serviceAccountProfile } from './namespace.ts';
import { convertClusterNetworkPolicy } from './policy/cluster-network-policy.ts';
import { convertNetworkPolicy } from './policy/network-policy.ts';

export type ManifestResult =
  | { readonly kind: 'converted'; readonly resources: readonly DraftOf<Kind>[] }
  | { readonly kind: 'invalid'; readonly faults: readonly Fault[] };

/** Undefined for what is not one of the kinds of Kubernetes that policy is about. */
export function convertManifest(given: unknown): ManifestResult | undefined {
  if (!isObject(given) || typeof given['apiVersion'] !== 'string') return undefined;
  const group = given['apiVersion'].includes('/') ? (given['apiVersion'].split('/')[0] ?? '') : '';
  switch (`${group}/${String(given['kind'])}`) {
    case 'networking.k8s.io/NetworkPolicy': {
      const result = convertNetworkPolicy(given);
      return result.kind === 'invalid' ? result : { kind: 'converted', resources: [result.policy] };
    }
    case 'policy.networking.k8s.io/ClusterNetworkPolicy': {
      const result = convertClusterNetworkPolicy(given);
      return result.kind === 'invalid'
        ? result
        : { kind: 'converted', resources: result.policy ? [result.policy] : [] };
    }
    case '/Namespace':
      return withName(given, (name, labels) => namespaceProfile(name, labels));
    case '/ServiceAccount':
      return withName(given, (name, labels, namespace) => serviceAccountProfile(namespace, name, labels));
    default:
      return undefined;
  }
}

function withName(
  given: Readonly<Record<string, unknown>>,
  convert: (name: string, labels: Readonly<Record<string, string>>, namespace: string) => DraftOf<'Profile'>,
): ManifestResult {
  const metadata = isObject(given['metadata']) ? given['metadata'] : {};
  const { name, namespace = 'default', labels } = metadata;
  if (typeof name !== 'string' || typeof namespace !== 'string') {
    const fault = { path: 'metadata.name', value: name, problem: 'is missing', remedy: 'give the object a name' };
    return { kind: 'invalid', faults: [fault] };
  }
  const texts = Object.entries(isObject(labels) ? labels : {}).map(([label, value]) => [label, String(value)] as const);
  return { kind: 'converted', resources: [convert(name, Object.fromEntries(texts), namespace)] };
}
