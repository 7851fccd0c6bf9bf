// The small language that resources are declared in.
//
// A declaration is plain data: scalars, lists, maps and objects with documented fields. From one declaration come the
// TypeScript types (Output, Input), validation and defaults (check.ts), JSON schema and CRDs (json-schema.ts), and the
// reference pages. Adding a field to a resource is adding a line to its declaration.

/** Says why a value is not acceptable, and what would be. */
export class Refused {
  readonly problem: string;
  readonly remedy: string;

  constructor(problem: string, remedy: string) {
    this.problem = problem;
    this.remedy = remedy;
  }
}

/** JSON schema as far as we write it: structural, so that it can stand in a CRD. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

export interface ScalarType<T> {
  readonly kind: 'scalar';
  /** For people: "CIDR", "integer, 20 to 32". */
  readonly name: string;
  readonly jsonSchema: JsonSchema;
  /** For people's editors, where manifests may have more forms than the API's own objects. */
  readonly manifestSchema?: JsonSchema;
  /** The value as it is stored ("8080" becomes 8080), or why it is refused. */
  readonly read: (value: unknown) => T | Refused;
}

export interface ListType<S extends Type> {
  readonly kind: 'list';
  readonly of: S;
  readonly minItems?: number;
  readonly maxItems?: number;
}

export interface MapType<S extends Type> {
  readonly kind: 'map';
  readonly of: S;
  readonly keys: ScalarType<string>;
}

export interface ObjectType<F extends Fields> {
  readonly kind: 'object';
  readonly fields: F;
  /** What holds between fields. A rule sees only fields that are acceptable by themselves, and ends where it reads another. */
  readonly rules: readonly Rule<OutputFields<F>>[];
}

/** JSON that is stored and shown as it is. */
export interface AnyType {
  readonly kind: 'any';
}

// The unions are over widened element types: a type parameter of `never` would refuse every real declaration.
export type Type =
  | ScalarType<unknown>
  | AnyType
  | { readonly kind: 'list'; readonly of: Type; readonly minItems?: number; readonly maxItems?: number }
  | { readonly kind: 'map'; readonly of: Type; readonly keys: ScalarType<string> }
  | { readonly kind: 'object'; readonly fields: Fields; readonly rules: readonly Rule<never>[] };

export type Presence = 'required' | 'default' | 'optional';

export interface Field<S extends Type = Type, P extends Presence = Presence> {
  readonly type: S;
  readonly presence: P;
  /** One sentence for the reference. */
  readonly doc: string;
  /** With presence `default`: from the object's other fields when it depends on them. */
  readonly default?: (siblings: Readonly<Record<string, unknown>>) => unknown;
  /** The default in words, when it is not one constant. */
  readonly defaultDoc?: string;
  /** Can not change once the resource exists. */
  readonly immutable?: boolean;
  /** Says what to use instead. */
  readonly deprecated?: string;
  /** For booleans that upstream keeps by value, not by pointer: false is the same as absent, and is not stored. */
  readonly omitFalse?: boolean;
}

export type Fields = Readonly<Record<string, Field>>;

/** Reports a fault at a path below the value: `report('cidr', 'overlaps …', 'choose another')`; '' is the value itself. */
export type Report = (path: string, problem: string, remedy: string) => void;
export type Rule<T> = (value: T, report: Report) => void;

/** A value after validation: fields with a default are present. Of the bare `Type` nothing is known, and recursion ends. */
export type Output<S> = Type extends S ? unknown : OutputOf<S>;
type OutputOf<S> =
  S extends ScalarType<infer T>
    ? T
    : S extends { readonly kind: 'list'; readonly of: infer E }
      ? readonly Output<E>[]
      : S extends { readonly kind: 'map'; readonly of: infer V }
        ? Readonly<Record<string, Output<V>>>
        : S extends { readonly kind: 'object'; readonly fields: infer F }
          ? OutputFields<F>
          : unknown;

/** A value as people and programs write it: fields with a default may be left out. */
export type Input<S> = Type extends S ? unknown : InputOf<S>;
type InputOf<S> =
  S extends ScalarType<infer T>
    ? T
    : S extends { readonly kind: 'list'; readonly of: infer E }
      ? readonly Input<E>[]
      : S extends { readonly kind: 'map'; readonly of: infer V }
        ? Readonly<Record<string, Input<V>>>
        : S extends { readonly kind: 'object'; readonly fields: infer F }
          ? InputFields<F>
          : unknown;

type TypeOf<F> = F extends { readonly type: infer S } ? S : never;
type KeysWith<F, P extends Presence> = {
  [K in keyof F]: F[K] extends { readonly presence: P } ? K : never;
}[keyof F];

export type OutputFields<F> = {
  readonly [K in KeysWith<F, 'required' | 'default'>]: Output<TypeOf<F[K]>>;
} & { readonly [K in KeysWith<F, 'optional'>]?: Output<TypeOf<F[K]>> };

export type InputFields<F> = { readonly [K in KeysWith<F, 'required'>]: Input<TypeOf<F[K]>> } & {
  readonly [K in KeysWith<F, 'optional' | 'default'>]?: Input<TypeOf<F[K]>>;
};

export interface FieldOptions {
  readonly immutable?: boolean;
  readonly deprecated?: string;
  readonly omitFalse?: boolean;
}

export const required = <S extends Type>(type: S, doc: string, options: FieldOptions = {}): Field<S, 'required'> => ({
  type,
  presence: 'required',
  doc,
  ...options,
});

export const optional = <S extends Type>(type: S, doc: string, options: FieldOptions = {}): Field<S, 'optional'> => ({
  type,
  presence: 'optional',
  doc,
  ...options,
});

/** A field that is filled in when absent. A function gets the object's other fields; say in words what it computes. */
export const defaulted = <S extends Type>(
  type: S,
  value:
    | Output<S>
    | { readonly from: (siblings: Readonly<Record<string, unknown>>) => Output<S>; readonly doc: string },
  doc: string,
  options: FieldOptions = {},
): Field<S, 'default'> => ({
  type,
  presence: 'default',
  doc,
  ...(isComputed(value) ? { default: value.from, defaultDoc: value.doc } : { default: () => value }),
  ...options,
});

function isComputed(
  value: unknown,
): value is { readonly from: (siblings: Readonly<Record<string, unknown>>) => unknown; readonly doc: string } {
  return typeof value === 'object' && value !== null && 'from' in value && typeof value.from === 'function';
}

export const object = <const F extends Fields>(
  fields: F,
  ...rules: readonly Rule<OutputFields<F>>[]
): ObjectType<F> => ({
  kind: 'object',
  fields,
  rules,
});

export const list = <S extends Type>(
  of: S,
  limits: { readonly minItems?: number; readonly maxItems?: number } = {},
): ListType<S> => ({ kind: 'list', of, ...limits });

export const map = <S extends Type>(keys: ScalarType<string>, of: S): MapType<S> => ({ kind: 'map', keys, of });

export const any: AnyType = { kind: 'any' };
