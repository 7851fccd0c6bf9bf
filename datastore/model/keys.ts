// Keys of resources ↔ kind, namespace, name. The layout is Calico's; IPAM's keys are in ipam.ts.
//
//   /calico/resources/v3/projectcalico.org/<plural>/[<namespace>/]<name>

import { type Kind, kinds } from './kinds.ts';

export const rootPrefix = '/calico/';
const resourcesPrefix = '/calico/resources/v3/projectcalico.org/';

const kindByPlural: ReadonlyMap<string, Kind> = new Map(
  Object.values(kinds).map((declaration) => [declaration.plural, declaration.kind]),
);

export interface ResourceId {
  readonly kind: Kind;
  /** For namespaced kinds only. */
  readonly namespace?: string;
  readonly name: string;
}

export function resourceKey(id: ResourceId): string {
  const { plural, namespaced } = kinds[id.kind];
  return namespaced
    ? `${resourcesPrefix}${plural}/${id.namespace ?? 'default'}/${id.name}`
    : `${resourcesPrefix}${plural}/${id.name}`;
}

/** What the keys of all resources of a kind (and namespace) begin with. */
export function resourcePrefix(kind: Kind, namespace?: string): string {
  const { plural, namespaced } = kinds[kind];
  return namespaced && namespace !== undefined
    ? `${resourcesPrefix}${plural}/${namespace}/`
    : `${resourcesPrefix}${plural}/`;
}

/** Undefined for keys that are not resources of a kind we know. */
export function parseResourceKey(key: string): ResourceId | undefined {
  if (!key.startsWith(resourcesPrefix)) return undefined;
  const [plural = '', first, second, ...rest] = key.slice(resourcesPrefix.length).split('/');
  const kind = kindByPlural.get(plural);
  if (!kind || !first || rest.length > 0) return undefined;
  if (!kinds[kind].namespaced) return second === undefined ? { kind, name: first } : undefined;
  return second ? { kind, namespace: first, name: second } : undefined;
}
