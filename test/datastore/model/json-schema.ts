// As much of a JSON schema validator as our schemas need. A keyword that it does not know is an error, so that nothing passes
// for lack of a check.

import { isObject } from '../../../datastore/model/schema/check.ts';

const annotations = new Set(['$schema', 'title', 'description', 'default', 'deprecated', 'format']);

/** What is wrong with the value, each as "path: what"; empty when the schema accepts it. */
export function schemaFaults(schema: unknown, value: unknown, path = ''): readonly string[] {
  if (!isObject(schema)) throw new Error(`${path}: not a schema: ${JSON.stringify(schema)}`);
  return Object.entries(schema).flatMap(([keyword, wanted]) => {
    if (annotations.has(keyword)) return [];
    const check = keywords[keyword];
    if (!check) throw new Error(`${path}: unknown keyword ${keyword}`);
    return check(wanted, value, path, schema);
  });
}

type Check = (wanted: unknown, value: unknown, path: string, schema: object) => readonly string[];

/** A check of values of one kind; the others are none of its business. */
const when =
  <T>(is: (value: unknown) => value is T, holds: (value: T, wanted: unknown) => boolean, what: string): Check =>
  (wanted, value, path) =>
    !is(value) || holds(value, wanted) ? [] : [`${path}: ${JSON.stringify(value)} ${what} ${JSON.stringify(wanted)}`];

const isText = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown): value is number => typeof value === 'number';
const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);
const isAnything = (value: unknown): value is unknown => value !== undefined;

const keywords: Readonly<Record<string, Check>> = {
  type: when(isAnything, (value, type) => [type].flat().some((one) => isOfType(value, one)), 'is not of type'),
  const: when(isAnything, (value, constant) => value === constant, 'is not'),
  enum: when(isAnything, (value, words) => isList(words) && words.includes(value), 'is none of'),
  pattern: when(isText, (value, pattern) => new RegExp(String(pattern)).test(value), 'does not match'),
  minLength: when(isText, (value, length) => value.length >= Number(length), 'is shorter than'),
  maxLength: when(isText, (value, length) => value.length <= Number(length), 'is longer than'),
  minimum: when(isNumber, (value, limit) => value >= Number(limit), 'is less than'),
  maximum: when(isNumber, (value, limit) => value <= Number(limit), 'is more than'),
  minItems: when(isList, (value, count) => value.length >= Number(count), 'has fewer items than'),
  maxItems: when(isList, (value, count) => value.length <= Number(count), 'has more items than'),
  required: (names, value, path) =>
    isObject(value) && isList(names)
      ? names.filter((name) => value[String(name)] === undefined).map((name) => `${path}: ${name} is missing`)
      : [],
  properties: (schemas, value, path) =>
    isObject(value) && isObject(schemas)
      ? Object.entries(schemas).flatMap(([name, schema]) =>
          value[name] === undefined ? [] : schemaFaults(schema, value[name], `${path}.${name}`),
        )
      : [],
  additionalProperties: (schema, value, path, { properties }: { properties?: unknown }) => {
    if (!isObject(value)) return [];
    const others = Object.entries(value).filter(([name]) => !isObject(properties) || !(name in properties));
    return others.flatMap(([name, one]) =>
      schema === false ? [`${path}: ${name} is unknown`] : schemaFaults(schema, one, `${path}.${name}`),
    );
  },
  items: (schema, value, path) =>
    isList(value) ? value.flatMap((item, i) => schemaFaults(schema, item, `${path}[${i}]`)) : [],
  anyOf: (schemas, value, path) => {
    const faults = isList(schemas) ? schemas.map((schema) => schemaFaults(schema, value, path)) : [];
    return faults.some((found) => found.length === 0) ? [] : faults.flat();
  },
};

function isOfType(value: unknown, type: unknown): boolean {
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'null':
      return value === null;
    default:
      return typeof value === type;
  }
}
