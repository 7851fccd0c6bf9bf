// A resource as Go's template sees calicoctl's structs: what is not set is there all the same, as the empty value of its type.
//
// Texts, lists, maps and booleans that Calico keeps by value are empty; what it keeps by pointer is nil, here null.

import { declarationOf, isKind } from '../../datastore/model/index.ts';
import { metadataType } from '../../datastore/model/kinds/common.ts';
import { isObject } from '../../datastore/model/schema/check.ts';
import type { Field, Type } from '../../datastore/model/schema/types.ts';

/** A resource, or a list of them, with empty values in place. */
export function asGoValue(document: unknown): unknown {
  if (!isObject(document)) return document;
  if (Array.isArray(document['items'])) return { ...document, items: document['items'].map(asGoValue) };
  const { kind, metadata, spec } = document;
  if (typeof kind !== 'string' || !isKind(kind)) return document;
  return { ...document, metadata: complete(metadataType, metadata), spec: complete(declarationOf(kind).spec, spec) };
}

function complete(type: Type, value: unknown): unknown {
  if (type.kind === 'list' && Array.isArray(value)) return value.map((entry) => complete(type.of, entry));
  if (type.kind !== 'object' || !isObject(value)) return value;
  const fields = Object.entries(type.fields).map(([name, field]) => {
    const given = value[name];
    return [name, given === undefined ? emptyOf(field) : complete(field.type, given)] as const;
  });
  return { ...value, ...Object.fromEntries(fields) };
}

function emptyOf({ type, omitFalse }: Field): unknown {
  switch (type.kind) {
    case 'list':
      return [];
    case 'map':
      return {};
    case 'scalar':
      if (omitFalse) return false;
      return type.jsonSchema['type'] === 'string' && !type.name.startsWith('duration') ? '' : null;
    case 'object':
    case 'any':
      return null;
  }
}
