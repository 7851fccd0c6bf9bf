// Declarations → words: what `twillctl explain` and the reference pages say of a field.

import type { Field, Type } from './types.ts';

/** "list of CIDR", "map of label value", "object". */
export function typeName(type: Type): string {
  switch (type.kind) {
    case 'scalar':
      return type.name;
    case 'list':
      return `list of ${typeName(type.of)}`;
    case 'map':
      return `map of ${typeName(type.of)}`;
    case 'any':
      return 'any value';
    case 'object':
      return 'object';
  }
}

/** The fields inside a type, through lists and maps; undefined when it has none. */
export function fieldsOf(type: Type): Readonly<Record<string, Field>> | undefined {
  if (type.kind === 'object') return type.fields;
  return type.kind === 'list' || type.kind === 'map' ? fieldsOf(type.of) : undefined;
}

export function defaultText(field: Field): string | undefined {
  if (field.defaultDoc) return field.defaultDoc;
  if (!field.default) return undefined;
  const value = field.default({});
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** "required", "default 26", "cannot change", "deprecated: …". */
export function traitsOf(field: Field): readonly string[] {
  const fallback = defaultText(field);
  return [
    ...(field.presence === 'required' ? ['required'] : []),
    ...(fallback === undefined ? [] : [`default ${fallback}`]),
    ...(field.immutable ? ['cannot change later'] : []),
    ...(field.deprecated ? [`deprecated: ${field.deprecated}`] : []),
    ...limits(field.type),
  ];
}

function limits(type: Type): readonly string[] {
  if (type.kind !== 'list') return [];
  const { minItems, maxItems } = type;
  return [
    ...(minItems === undefined ? [] : [`at least ${minItems}`]),
    ...(maxItems === undefined ? [] : [`at most ${maxItems}`]),
  ];
}
