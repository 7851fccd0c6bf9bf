// Resources that are there without being stored: Calico's profile that allows everything, listed as calicoctl lists it.

import { isDeepStrictEqual } from 'node:util';
import { apiVersion, builtInProfile, isOfKind, type Kind, type Resource, type ResourceOf } from './model/index.ts';

const profile: ResourceOf<'Profile'> = {
  kind: 'Profile',
  apiVersion,
  metadata: { name: builtInProfile.name },
  spec: builtInProfile.rules,
};

const ofKind = <K extends Kind>(kind: K, resource: Resource): ResourceOf<K> | undefined =>
  isOfKind(kind, resource) ? resource : undefined;

export const builtIn = <K extends Kind>(kind: K, name: string): ResourceOf<K> | undefined =>
  name === profile.metadata.name ? ofKind(kind, profile) : undefined;

/** Whether somebody hands in what is there anyway, as when what `get` showed is applied. */
export const isAsBuiltIn = (draft: { readonly metadata: object; readonly spec?: unknown }, own: Resource): boolean =>
  isDeepStrictEqual([draft.metadata, draft.spec], [own.metadata, own.spec]);

interface Page<K extends Kind> {
  readonly resources: readonly ResourceOf<K>[];
}

/** The pages of a list with what is built in at its place, in order of names. */
export async function* withBuiltIn<K extends Kind, P extends Page<K>>(
  kind: K,
  pages: AsyncIterable<P>,
): AsyncGenerator<P> {
  let own = ofKind(kind, profile);
  let last: P | undefined;
  for await (const page of pages) {
    const name = own?.metadata.name ?? '';
    const next = own ? page.resources.findIndex(({ metadata }) => metadata.name > name) : -1;
    const here = own && next >= 0 ? [...page.resources.slice(0, next), own, ...page.resources.slice(next)] : undefined;
    if (here) own = undefined;
    if (last) yield last;
    last = here ? { ...page, resources: here } : page;
  }
  if (last) yield own ? { ...last, resources: [...last.resources, own] } : last;
}
