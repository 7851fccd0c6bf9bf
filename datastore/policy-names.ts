// Policies that were written before Calico 3.32 are stored under another name than people call them: in the tier `default`
// the key and the stored name are `default.NAME`, and an annotation has the name itself. (Policies of other tiers are called
// TIER.NAME by people, too, and stay.) Pure: which entries are to be written under which key. Unknown fields stay.

import type { KvEntry } from './kv.ts';
import { encodeExactJson, parseExactJson, parseResourceKey, type ResourceId, resourceKey } from './model/index.ts';
import { isObject } from './model/schema/check.ts';

export const renamedKinds = [
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
] as const;

export interface Renaming {
  readonly from: ResourceId;
  readonly to: ResourceId;
  readonly key: string;
  readonly value: string;
}

const PREFIX = 'default.';
const annotation = 'projectcalico.org/metadata';

/** Undefined when the policy has its own name already, or is none that can be read. */
export function renamingOf(entry: Pick<KvEntry, 'key' | 'value'>): Renaming | undefined {
  const from = parseResourceKey(entry.key);
  const given = parseOrUndefined(entry.value);
  if (!from?.name.startsWith(PREFIX) || !isObject(given) || !isObject(given['metadata'])) return undefined;
  const { metadata, spec } = given;
  const tier = isObject(spec) ? spec['tier'] : undefined;
  if (tier !== undefined && tier !== 'default' && tier !== '') return undefined;
  const annotations = isObject(metadata['annotations']) ? metadata['annotations'] : undefined;
  // Without the annotation it is from a time when every name got the prefix.
  const name = nameIn(annotations?.[annotation]) ?? from.name.slice(PREFIX.length);
  if (name === from.name || name === '') return undefined;
  const to = { ...from, name };
  const note = annotations && { annotations: { ...annotations, [annotation]: JSON.stringify({ name }) } };
  const value = encodeExactJson({ ...given, metadata: { ...metadata, name, ...note } });
  return { from, to, key: resourceKey(to), value };
}

/** True when both say the same, but for who they are and when they were made. */
export function samePolicy(one: string, other: string): boolean {
  const [a, b] = [parseOrUndefined(one), parseOrUndefined(other)];
  if (!isObject(a) || !isObject(b)) return false;
  return encodeExactJson(sorted(a['spec'])) === encodeExactJson(sorted(b['spec']));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => [name, sorted(field)]),
  );
}

function nameIn(text: unknown): string | undefined {
  const note = typeof text === 'string' ? parseOrUndefined(text) : undefined;
  return isObject(note) && typeof note['name'] === 'string' ? note['name'] : undefined;
}

function parseOrUndefined(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}
