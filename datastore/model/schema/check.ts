// Walks a value along its declaration: collects every fault, fills in defaults, puts scalars into stored form.
//
// The origin of the value decides how strict: in what people write, unknown fields are faults; in what programs hand over
// or the store holds, unknown fields are those of a newer version and stay where they are.

import { guarded, pathBelow, unlessFaulty } from './guard.ts';
import { nearest } from './nearest.ts';
import { describe } from './scalars.ts';
import { type Field, type Fields, Refused, type Report, type Type } from './types.ts';

export interface Fault {
  /** "spec.ingress[2].source.nets[0]". */
  readonly path: string;
  readonly value: unknown;
  /** What is wrong, to be read after the path: "is missing". */
  readonly problem: string;
  /** What would be right. */
  readonly remedy: string;
  /** The field is not known, which is no fault of its value. */
  readonly unknownField?: true;
  /** Path of the known field that was most likely meant. */
  readonly meantPath?: string;
  /** The value is acceptable by itself, but not beside another. */
  readonly betweenFields?: true;
}

export type Origin = 'person' | 'program' | 'store';

export const formatFault = (fault: Fault): string => `${fault.path}: ${fault.problem}; ${fault.remedy}`;

/** Where values are wrong by themselves, or under a wrong name: what no rule may go by. */
export const faultyPaths = (faults: readonly Fault[]): readonly string[] =>
  faults.flatMap(({ path, unknownField, meantPath, betweenFields }) => {
    if (unknownField) return meantPath === undefined ? [] : [meantPath];
    return betweenFields ? [] : [path];
  });

/** The value in stored form with defaults in place; meaningless when faults were added. */
export function check(type: Type, value: unknown, path: string, origin: Origin, faults: Fault[]): unknown {
  return new Checker(origin, faults, path).value(type, value);
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields that may have to be there although the value does not have them: few, so found once for each declaration. */
interface Expected {
  readonly required: readonly (readonly [string, Field])[];
  readonly defaulted: readonly (readonly [string, Field])[];
}
const expectedFields = new WeakMap<Fields, Expected>();

function expectedOf(fields: Fields): Expected {
  const known = expectedFields.get(fields);
  if (known) return known;
  const entries = Object.entries(fields);
  const expected = {
    required: entries.filter(([, field]) => field.presence === 'required'),
    defaulted: entries.filter(([, field]) => field.default),
  };
  expectedFields.set(fields, expected);
  return expected;
}

// 250,000 endpoints pass through here when an agent starts: no text is made for a path unless there is a fault.
class Checker {
  private readonly origin: Origin;
  private readonly faults: Fault[];
  private readonly path: (string | number)[];

  constructor(origin: Origin, faults: Fault[], path: string) {
    this.origin = origin;
    this.faults = faults;
    this.path = path === '' ? [] : [path];
  }

  value(type: Type, value: unknown): unknown {
    switch (type.kind) {
      case 'any':
        return value;
      case 'scalar': {
        const read = type.read(this.origin === 'person' ? asMeant(type, value) : value);
        if (!(read instanceof Refused)) return read;
        this.fault(value, read.problem, read.remedy);
        return value;
      }
      case 'list':
        return this.list(type, value);
      case 'map':
        return this.map(type, value);
      case 'object':
        return this.object(type, value);
    }
  }

  private list(type: Extract<Type, { kind: 'list' }>, value: unknown): unknown {
    if (!Array.isArray(value)) {
      return this.fault(value, `${describe(value)} is not a list`, 'write its entries as a list');
    }
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = type;
    if (value.length < minItems) this.fault(value, `has ${value.length} entries`, `give at least ${minItems}`);
    if (value.length > maxItems) this.fault(value, `has ${value.length} entries`, `give at most ${maxItems}`);
    return value.map((entry, i) => this.below(i, type.of, entry));
  }

  private map(type: Extract<Type, { kind: 'map' }>, value: unknown): unknown {
    if (!isObject(value)) {
      return this.fault(value, `${describe(value)} is not a map`, 'write it as names with values');
    }
    const result: Record<string, unknown> = {};
    // Go writes maps in the order of their keys; what is stored has it.
    const keys = this.origin === 'store' ? Object.keys(value) : Object.keys(value).sort();
    for (const key of keys) {
      this.below(key, type.keys, key);
      // Go reads null as the empty value.
      result[key] = this.below(key, type.of, value[key] ?? '');
    }
    return result;
  }

  private object(type: Extract<Type, { kind: 'object' }>, value: unknown): unknown {
    if (!isObject(value)) {
      return this.fault(value, `${describe(value)} is not an object`, 'write its fields as name: value');
    }
    const before = this.faults.length;
    const result = this.fields(type.fields, value);
    const { required, defaulted } = expectedOf(type.fields);
    for (const [name, field] of required) {
      if (value[name] === undefined || value[name] === null) this.missing(name, field, value[name]);
    }
    const faulty = this.faults.length > before ? [...faultyPaths(this.faults.slice(before))] : [];
    const seen = faulty.length > 0 ? guarded(result, this.pathText(), faulty) : result;
    for (const [name, field] of defaulted) {
      if (result[name] !== undefined) continue;
      result[name] = unlessFaulty(() => field.default?.(seen));
      // What would follow from a faulty field is not known either.
      if (result[name] === undefined) faulty.push(pathBelow(this.pathText(), name));
    }
    this.rules(type, result, seen);
    return result;
  }

  /** What is given, in the order of the declaration; what the store holds stays in its own order. */
  private fields(fields: Fields, value: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    if (this.origin !== 'store') {
      for (const name in fields) {
        const field = fields[name];
        if (field && isGiven(field, value[name])) result[name] = this.below(name, field.type, value[name]);
      }
    }
    for (const name in value) {
      const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (!field && this.origin === 'person') this.unknownField(fields, name, value[name]);
      else if (!field) result[name] = value[name];
      else if (this.origin === 'store' && isGiven(field, value[name])) {
        result[name] = this.below(name, field.type, value[name]);
      }
    }
    return result;
  }

  /** `seen` is the result as rules may see it: without what is faulty. */
  private rules(
    type: Extract<Type, { kind: 'object' }>,
    result: Record<string, unknown>,
    seen: Record<string, unknown>,
  ): void {
    const report: Report = (below, problem, remedy) => {
      const at = this.pathText();
      const path = below === '' || at === '' ? at + below : `${at}.${below}`;
      this.faults.push({ path, value: lookUp(result, below), problem, remedy, betweenFields: true });
    };
    for (const rule of type.rules) {
      // The declaration made the type of its rules from the same fields that were just checked.
      unlessFaulty(() => rule(seen as never, report));
    }
  }

  private missing(name: string, field: Field, value: unknown): void {
    const what = field.type.kind === 'scalar' ? field.type.name : `a ${field.type.kind}`;
    this.path.push(name);
    this.fault(value, 'is missing', `give ${what}: ${field.doc}`);
    this.path.pop();
  }

  private unknownField(fields: Fields, name: string, value: unknown): void {
    const known = Object.keys(fields);
    const meant = nearest(name, known);
    const list = known.length > 12 ? `${known.slice(0, 12).join(', ')} …` : known.join(', ');
    const at = this.pathText();
    this.faults.push({
      path: pathBelow(at, name),
      value,
      problem: 'is not a known field',
      remedy: meant ? `did you mean ${meant}?` : `known here: ${list}`,
      unknownField: true,
      ...(meant !== undefined && { meantPath: pathBelow(at, meant) }),
    });
  }

  private below(segment: string | number, type: Type, value: unknown): unknown {
    this.path.push(segment);
    const result = this.value(type, value);
    this.path.pop();
    return result;
  }

  private fault(value: unknown, problem: string, remedy: string): undefined {
    this.faults.push({ path: this.pathText(), value, problem, remedy });
    return undefined;
  }

  private pathText(): string {
    return this.path.reduce<string>(pathBelow, '');
  }
}

/** YAML reads `version: 1` as a number; where text is wanted, calicoctl takes it as text. */
function asMeant(type: Extract<Type, { kind: 'scalar' }>, value: unknown): unknown {
  const unquoted = typeof value === 'number' || typeof value === 'boolean';
  return unquoted && type.jsonSchema['type'] === 'string' ? String(value) : value;
}

/** Go omits empty fields and reads null as empty: so does an empty text, or an empty list where there is a default. */
function isGiven(field: Field, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (value === '') return field.presence === 'required';
  if (value === false && field.omitFalse) return false;
  return !(field.default && Array.isArray(value) && value.length === 0);
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
