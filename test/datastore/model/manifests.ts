// Manifests of every kind from specs, and the places in them, for the tests of validation.

import { checkResource, formatFault, type Kind, kinds } from '../../../datastore/model/index.ts';
import type { Type } from '../../../datastore/model/schema/types.ts';

export const apiVersion = 'projectcalico.org/v3';

export function manifest(kind: Kind, spec: unknown, metadata: Readonly<Record<string, unknown>> = {}): unknown {
  const namespace = kinds[kind].namespaced ? { namespace: 'prod' } : {};
  const name = nameFor(kind);
  return { kind, apiVersion, metadata: { name, ...namespace, ...metadata }, spec };
}

export const allKinds = Object.keys(kinds) as Kind[];

const nameFor = (kind: Kind): string => (kind === 'WorkloadEndpoint' ? 'node--1-k8s-web-eth0' : 'default');

export function faultsOf(value: unknown): readonly string[] {
  const result = checkResource(value);
  return result.kind === 'valid' ? [] : result.faults.map(formatFault);
}

export interface Leaf {
  readonly path: string;
  /** The spec with this value at the path, and nothing else. */
  readonly build: (value: unknown) => unknown;
}

/** Every scalar below a type; of lists the first entry, of maps the key `a`. */
export function leaves(type: Type, path: string): readonly Leaf[] {
  const through = (below: readonly Leaf[], wrap: (value: unknown) => unknown): readonly Leaf[] =>
    below.map((leaf) => ({ path: leaf.path, build: (value) => wrap(leaf.build(value)) }));
  switch (type.kind) {
    case 'any':
      return [];
    case 'scalar':
      return [{ path, build: (value) => value }];
    case 'list':
      return through(leaves(type.of, `${path}[0]`), (value) => [value]);
    case 'map':
      return through(leaves(type.of, `${path}.a`), (value) => ({ a: value }));
    case 'object':
      return Object.entries(type.fields).flatMap(([name, field]) =>
        through(leaves(field.type, `${path}.${name}`), (value) => ({ [name]: value })),
      );
  }
}
