// What people call kinds on the command line: IPPool, ippool, ippools, ipp, pool …

import { declarationOf, type Kind, kinds } from '../datastore/model/index.ts';
import { nearest } from '../datastore/model/schema/nearest.ts';
import { CommandError } from './world.ts';

const kindByName: ReadonlyMap<string, Kind> = new Map(
  Object.values(kinds).flatMap(({ kind, plural, shortNames }) => {
    const names = [kind.toLowerCase(), plural, ...shortNames, ...shortNames.map((name) => `${name}s`)];
    return names.map((name) => [name, kind] as const);
  }),
);

/** The kind of a name in any case; throws with the nearest known name. */
export function resolveKind(name: string): Kind {
  const kind = kindByName.get(name.toLowerCase());
  if (kind) return kind;
  throw new CommandError(`resource type '${name}' is not supported; ${remedyFor(name)}`);
}

function remedyFor(name: string): string {
  const [kind = '', ...rest] = name.split('/');
  if (rest.length > 0 && kindByName.has(kind.toLowerCase()))
    return `write kind and name as two words: ${kind} ${rest.join('/')}`;
  const meant = nearest(name, [...kindByName.keys()]);
  const known = Object.values(kinds).map((declaration) => declaration.kind);
  return meant ? `did you mean ${meant}?` : `known are ${known.join(', ')}`;
}

/** "ippools,nodes" → both. */
export const resolveKinds = (names: string): readonly Kind[] => [
  ...new Set(names.split(',').filter(Boolean).map(resolveKind)),
];

export const namesOfKind = (kind: Kind): readonly string[] => {
  const { plural, shortNames } = declarationOf(kind);
  return [plural, ...shortNames];
};

/** The namespace that a command means for a kind, from -n and the resource's own; calicoctl's refusals. */
export function namespaceFor(kind: Kind, wanted: string | undefined, own: string | undefined): string | undefined {
  if (!declarationOf(kind).namespaced) {
    if (own !== undefined) {
      throw new CommandError(
        `namespace should not be specified for a non-namespaced resource. ${kind} is not a namespaced resource`,
      );
    }
    if (wanted !== undefined) throw new CommandError(`${kind} is not namespaced`);
    return undefined;
  }
  if (own !== undefined && wanted !== undefined && own !== wanted) {
    throw new CommandError(`resource namespace does not match client namespace. ${own} != ${wanted}`);
  }
  return own ?? wanted ?? 'default';
}
