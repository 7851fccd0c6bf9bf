// A conflict in full: who changed the resource since it was read, and which fields.

import { isDeepStrictEqual } from 'node:util';
import { authorOf } from '../datastore/authors.ts';
import { keyOf, type Resource } from '../datastore/model/index.ts';
import { isObject } from '../datastore/model/schema/check.ts';
import { describe } from '../datastore/model/schema/scalars.ts';
import { ConflictError, type Resources } from '../datastore/resources.ts';

/** The same error with an explanation, as far as the datastore still knows. */
export async function explainConflict(
  error: ConflictError,
  ours: Resource,
  resources: Resources,
): Promise<ConflictError> {
  const { store } = resources;
  const key = keyOf(ours);
  const now = await store.get(key);
  const read = Number(ours.metadata.resourceVersion);
  if (!now || !Number.isInteger(read)) return error;
  const author = await authorOf(store, key, now.modRevision);
  const by = author ? ` by ${author.by} at ${author.at}` : '';
  // What was read is history; the datastore may have forgotten it.
  const then = await store.get(key, { revision: read }).catch(() => undefined);
  const changes = then ? changedFields(JSON.parse(then.value), JSON.parse(now.value)) : [];
  const what = changes.length > 0 ? `: ${changes.join(', ')}` : '';
  return new ConflictError(
    error.id,
    error.current,
    `was changed since revision ${read}${by}${what}; get it again and redo your change`,
  );
}

/** "spec.disabled true → false", one for each field that differs. */
export function changedFields(before: unknown, after: unknown, path = ''): readonly string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isObject(before) && isObject(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((name) => changedFields(before[name], after[name], path === '' ? name : `${path}.${name}`));
  }
  const show = (value: unknown): string => (value === undefined ? '(absent)' : describe(value));
  return [`${path} ${show(before)} → ${show(after)}`];
}
