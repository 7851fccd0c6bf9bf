// Who changed a resource last: a note beside it, written in the same transaction by those who say who they are.
//
//   /calico/resources/v3/projectcalico.org/ippools/main   →   /calico/twill/v1/authors/ippools/main   {by, at}
//
// The note speaks of the resource's present state only when both have the same mod revision: other clients of the
// datastore, and our own agents, leave no note.

import type { KvStore, Revision } from './kv.ts';

const resources = '/calico/resources/v3/projectcalico.org/';
const authors = '/calico/twill/v1/authors/';

export const authorKey = (resourceKey: string): string => authors + resourceKey.slice(resources.length);

export interface Authorship {
  readonly by: string;
  /** RFC 3339. */
  readonly at: string;
}

/** Who wrote the resource at this revision; undefined when nobody left a note then. */
export async function authorOf(
  store: KvStore,
  resourceKey: string,
  revision: Revision,
): Promise<Authorship | undefined> {
  const note = await store.get(authorKey(resourceKey));
  if (note?.modRevision !== revision) return undefined;
  const value: unknown = JSON.parse(note.value);
  if (typeof value !== 'object' || value === null || !('by' in value) || !('at' in value)) return undefined;
  return { by: String(value.by), at: String(value.at) };
}
