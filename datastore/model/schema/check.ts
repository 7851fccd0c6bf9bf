// Walks a value along its declaration: collects every fault, fills in defaults, puts scalars into stored form.
//
// The origin of the value decides how strict: in what people write, unknown fields are faults; in what programs hand over
// or the store holds, unknown fields are those of a newer version and stay where they are.

import { nearest } from './nearest.ts';
import { describe } from './scalars.ts';
import { type Field, type Fields, Refused, type Type } from './types.ts';

export interface Fault {
  /** "spec.ingress[2].source.nets[0]". */
  readonly path: string;
  readonly value: unknown;
  /** What is wrong, to be read after the path: "is missing". */
  readonly problem: string;
  /** What would be right. */
  readonly remedy: string;
}

export type Origin = 'person' | 'program' | 'store';

export const formatFault = (fault: Fault): string => `${fault.path}: ${fault.problem}; ${fault.remedy}`;

/** The value in stored form with defaults in place; meaningless when faults were added. */
export function check(type: Type, value: unknown, path: string, origin: Origin, faults: Fault[]): unknown {
  return new Checker(origin, faults).value(type, value, path);
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const join = (path: string, field: string): string => (path === '' ? field : `${path}.${field}`);

/** "app" → ".app", "a/b" → "[a/b]": keys of maps may contain dots. */
const joinKey = (path: string, key: string): string => (/^[\w-]+$/.test(key) ? join(path, key) : `${path}[${key}]`);

class Checker {
  private readonly origin: Origin;
  private readonly faults: Fault[];

  constructor(origin: Origin, faults: Fault[]) {
    this.origin = origin;
    this.faults = faults;
  }

  value(type: Type, value: unknown, path: string): unknown {
    switch (type.kind) {
      case 'any':
        return value;
      case 'scalar': {
        const read = type.read(value);
        if (read instanceof Refused) {
          this.faults.push({ path, value, problem: read.problem, remedy: read.remedy });
          return value;
        }
        return read;
      }
      case 'list':
        return this.list(type, value, path);
      case 'map':
        return this.map(type, value, path);
      case 'object':
        return this.object(type, value, path);
    }
  }

  private list(type: Extract<Type, { kind: 'list' }>, value: unknown, path: string): unknown {
    if (!Array.isArray(value)) {
      return this.fault(path, value, `${describe(value)} is not a list`, 'write its entries as a list');
    }
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = type;
    if (value.length < minItems) this.fault(path, value, `has ${value.length} entries`, `give at least ${minItems}`);
    if (value.length > maxItems) this.fault(path, value, `has ${value.length} entries`, `give at most ${maxItems}`);
    return value.map((entry, i) => this.value(type.of, entry, `${path}[${i}]`));
  }

  private map(type: Extract<Type, { kind: 'map' }>, value: unknown, path: string): unknown {
    if (!isObject(value)) {
      return this.fault(path, value, `${describe(value)} is not a map`, 'write it as names with values');
    }
    const result: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(value)) {
      const at = joinKey(path, key);
      this.value(type.keys, key, at);
      // Go reads null as the empty value.
      result[key] = this.value(type.of, entry ?? '', at);
    }
    return result;
  }

  private object(type: Extract<Type, { kind: 'object' }>, value: unknown, path: string): unknown {
    if (!isObject(value)) {
      return this.fault(path, value, `${describe(value)} is not an object`, 'write its fields as name: value');
    }
    const before = this.faults.length;
    const result: Record<string, unknown> = {};
    for (const name in type.fields) {
      const field = type.fields[name];
      if (field) this.field(field, name, value[name], result, join(path, name));
    }
    for (const name in type.fields) {
      const field = type.fields[name];
      if (field?.default && result[name] === undefined) result[name] = field.default(result);
    }
    for (const name in value) {
      if (Object.hasOwn(type.fields, name)) continue;
      if (this.origin !== 'person') result[name] = value[name];
      else this.unknownField(type.fields, name, value[name], join(path, name));
    }
    if (this.faults.length === before) this.rules(type, result, path);
    return result;
  }

  private field(field: Field, name: string, value: unknown, result: Record<string, unknown>, path: string): void {
    // Go omits empty fields and reads null as empty: so an empty text, and an empty list where there is a default, is a
    // field that is not given.
    const empty =
      value === '' ? field.presence !== 'required' : Array.isArray(value) && value.length === 0 && field.default;
    const given = value !== undefined && value !== null && !empty;
    if (given) result[name] = this.value(field.type, value, path);
    else if (field.presence === 'required') {
      const what = field.type.kind === 'scalar' ? field.type.name : `a ${field.type.kind}`;
      this.fault(path, value, 'is missing', `give ${what}: ${field.doc}`);
    }
  }

  private rules(type: Extract<Type, { kind: 'object' }>, result: Record<string, unknown>, path: string): void {
    for (const rule of type.rules) {
      // The declaration made the type of its rules from the same fields that were just checked.
      rule(result as never, (below, problem, remedy) => {
        const at = below === '' ? path : join(path, below);
        this.fault(at, lookUp(result, below), problem, remedy);
      });
    }
  }

  private unknownField(fields: Fields, name: string, value: unknown, path: string): void {
    const known = Object.keys(fields);
    const meant = nearest(name, known);
    const list = known.length > 12 ? `${known.slice(0, 12).join(', ')} …` : known.join(', ');
    this.fault(path, value, 'is not a known field', meant ? `did you mean ${meant}?` : `known here: ${list}`);
  }

  private fault(path: string, value: unknown, problem: string, remedy: string): undefined {
    this.faults.push({ path, value, problem, remedy });
    return undefined;
  }
}

/** The value at a path such as "ingress[0].source.nets"; undefined when there is none. */
export function lookUp(value: unknown, path: string): unknown {
  let at = value;
  for (const [part] of path.matchAll(/[^.[\]]+/g)) {
    if (Array.isArray(at)) at = at[Number(part)];
    else if (isObject(at)) at = at[part];
    else return undefined;
  }
  return at;
}
