// The YAML library behind one door that is opened only when YAML is read or written. (Imported dynamically by itself, a
// CommonJS package has no named exports in the bundle.)

import { isDeepStrictEqual } from 'node:util';
import { type Document, isScalar, visit, type YAMLMap } from 'yaml';
import { placeIn } from './text-place.ts';

export { parse, parseAllDocuments, stringify } from 'yaml';

/**
 * A name that occurs twice in a map with different values: one of them would be lost. The same said twice is harmless, and
 * stands in samples that people copy.
 */
export function repeatedName(document: Document.Parsed, text: string): string | undefined {
  let problem: string | undefined;
  visit(document, {
    Map: (_, map) => {
      const pair = contradiction(map);
      if (!pair) return undefined;
      problem = `${pair.name} is given twice, with different values, at ${placeIn(text, pair.at)}`;
      return visit.BREAK;
    },
  });
  return problem;
}

function contradiction(map: YAMLMap): { readonly name: string; readonly at: number } | undefined {
  const values = new Map<unknown, unknown>();
  for (const { key, value } of map.items) {
    if (!isScalar(key) || key.value === '<<') continue;
    if (values.has(key.value) && !isDeepStrictEqual(plain(values.get(key.value)), plain(value))) {
      return { name: String(key.value), at: key.range?.[0] ?? 0 };
    }
    values.set(key.value, value);
  }
  return undefined;
}

const plain = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && 'toJSON' in value && typeof value.toJSON === 'function'
    ? value.toJSON()
    : value;
