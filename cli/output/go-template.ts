// Go templates, the common subset: nodes and data → text.
//
// Calico's templates name Go's fields, ours hold JSON: `.Spec.CIDR` finds `spec.cidr` whatever the case, `.ObjectMeta` is
// `metadata`, and what is in metadata is found without it, as Go promotes embedded fields. The data are a list of what was asked
// for; when that is one thing, its fields are found without `range` too, as kubectl's users write: `{{range .items}}`.

import { isObject } from '../../datastore/model/schema/check.ts';
import { type Node, type Operand, type Pipeline, parseTemplate, TemplateError } from './go-template-parse.ts';

export { TemplateError } from './go-template-parse.ts';

/** Functions beside the built-in ones; `config "asnumber"` is calicoctl's. */
export type TemplateFunctions = Readonly<Record<string, (...values: readonly unknown[]) => unknown>>;

/** Throws TemplateError. */
export function runTemplate(source: string, data: unknown, functions: TemplateFunctions = {}): string {
  const run = new TemplateRun({ ...builtIns, ...functions }, data);
  return run.text(parseTemplate(source), data);
}

class TemplateRun {
  private readonly functions: TemplateFunctions;
  private readonly data: unknown;
  private scopes: Map<string, unknown>[];

  constructor(functions: TemplateFunctions, data: unknown) {
    this.functions = functions;
    this.data = data;
    this.scopes = [new Map([['$', data]])];
  }

  text(nodes: readonly Node[], dot: unknown): string {
    return nodes.map((node) => this.node(node, dot)).join('');
  }

  private node(node: Node, dot: unknown): string {
    switch (node.kind) {
      case 'text':
        return node.text;
      case 'print': {
        const value = this.pipeline(node.pipeline, dot);
        return node.pipeline.variables.length > 0 ? '' : show(value);
      }
      case 'if':
      case 'with':
        return this.scoped(() => {
          const value = this.pipeline(node.pipeline, dot);
          if (!isTrue(value)) return this.text(node.otherwise, dot);
          return this.text(node.then, node.kind === 'with' ? value : dot);
        });
      case 'range':
        return this.range(node, dot);
    }
  }

  private range(node: Extract<Node, { kind: 'range' }>, dot: unknown): string {
    const { variables, commands } = node.pipeline;
    const items = this.pipeline({ variables: [], assigns: false, commands }, dot);
    const entries = entriesOf(items);
    if (entries.length === 0) return this.text(node.otherwise, dot);
    return entries
      .map(([key, value]) =>
        this.scoped(() => {
          const [first, second] = variables;
          if (second !== undefined) this.declare(second, value);
          if (first !== undefined) this.declare(first, second === undefined ? value : key);
          return this.text(node.then, value);
        }),
      )
      .join('');
  }

  private pipeline({ variables, assigns, commands }: Pipeline, dot: unknown): unknown {
    let value: unknown;
    commands.forEach((command, i) => {
      value = this.command(command, dot, i > 0 ? [value] : []);
    });
    const [variable] = variables;
    if (variable !== undefined) {
      if (assigns) this.assign(variable, value);
      else this.declare(variable, value);
    }
    return value;
  }

  private command(operands: readonly Operand[], dot: unknown, piped: readonly unknown[]): unknown {
    const [head, ...rest] = operands;
    if (head?.kind === 'function') {
      const call = this.functions[head.name];
      if (!call) throw new TemplateError(`function "${head.name}" is not defined`);
      return call(...rest.map((operand) => this.value(operand, dot)), ...piped);
    }
    if (!head) return piped[0];
    if (rest.length > 0 || piped.length > 0) throw new TemplateError('only functions take arguments');
    return this.value(head, dot);
  }

  private value(operand: Operand, dot: unknown): unknown {
    switch (operand.kind) {
      case 'value':
        return operand.value;
      case 'field':
        return this.follow(dot, operand.path);
      case 'variable':
        return this.follow(this.lookUp(operand.name), operand.path);
      case 'pipeline':
        return this.follow(this.pipeline(operand.pipeline, dot), operand.path);
      case 'function':
        return this.command([operand], dot, []);
    }
  }

  private follow(value: unknown, path: readonly string[]): unknown {
    const isOnlyOne = path.length > 0 && value === this.data && Array.isArray(value) && value.length === 1;
    return path.reduce<unknown>(fieldOf, isOnlyOne ? value[0] : value);
  }

  private scoped(work: () => string): string {
    this.scopes.push(new Map());
    const text = work();
    this.scopes.pop();
    return text;
  }

  private declare(name: string, value: unknown): void {
    this.scopes.at(-1)?.set(name, value);
  }

  private scopeOf(name: string): Map<string, unknown> {
    const scope = this.scopes.findLast((candidate) => candidate.has(name));
    if (!scope) throw new TemplateError(`undefined variable "${name}"`);
    return scope;
  }

  private assign(name: string, value: unknown): void {
    this.scopeOf(name).set(name, value);
  }

  private lookUp(name: string): unknown {
    return this.scopeOf(name).get(name);
  }
}

function fieldOf(value: unknown, name: string): unknown {
  if (Array.isArray(value))
    throw new TemplateError(`can't evaluate field ${name} in a list: write {{range …}} around it`);
  if (!isObject(value)) return undefined;
  if (name === 'ObjectMeta' || name === 'ListMeta') return value['metadata'];
  if (name === 'TypeMeta') return value;
  const found = findKey(value, name);
  if (found !== undefined) return value[found];
  const { metadata } = value;
  const promoted = isObject(metadata) ? findKey(metadata, name) : undefined;
  if (isObject(metadata) && promoted !== undefined) return metadata[promoted];
  // Methods that Go promotes with the fields: .GetName, .GetLabels …
  if (isObject(metadata) && /^Get[A-Z]/.test(name)) return fieldOf(metadata, name.slice('Get'.length));
  // So `{{range .}}{{range .Items}}` serves for one resource as for a list.
  return name.toLowerCase() === 'items' && isObject(metadata) ? [value] : undefined;
}

const findKey = (value: Readonly<Record<string, unknown>>, name: string): string | undefined =>
  Object.hasOwn(value, name) ? name : Object.keys(value).find((key) => key.toLowerCase() === name.toLowerCase());

function entriesOf(items: unknown): readonly (readonly [unknown, unknown])[] {
  if (Array.isArray(items)) return [...items.entries()];
  if (isObject(items)) return Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1));
  if (typeof items === 'number') return Array.from({ length: items }, (_, i) => [i, i] as const);
  if (items === undefined || items === null) return [];
  throw new TemplateError(`range can't iterate over ${show(items)}`);
}

/** Go's idea of truth: not zero, not empty. */
function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** As Go prints values by default. */
function show(value: unknown): string {
  if (value === undefined) return '<no value>';
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`;
  if (isObject(value))
    return `map[${entriesOf(value)
      .map(([key, item]) => `${String(key)}:${show(item)}`)
      .join(' ')}]`;
  return String(value);
}

const compare = (a: unknown, b: unknown): number => {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
};
const emptyAs = (value: unknown, like: unknown): unknown => value ?? (typeof like === 'string' ? '' : value);

const joined = (items: unknown, separator: unknown): string => {
  if (items === undefined || items === null) return '';
  if (isObject(items))
    return entriesOf(items)
      .map(([key, value]) => `${String(key)}=${show(value)}`)
      .join(String(separator));
  return (Array.isArray(items) ? items : [items]).map(show).join(String(separator));
};

function indexed(value: unknown, ...keys: readonly unknown[]): unknown {
  return keys.reduce<unknown>((at, key) => {
    if (Array.isArray(at)) return at[Number(key)];
    return isObject(at) ? at[String(key)] : undefined;
  }, value);
}

function formatted(format: unknown, ...values: readonly unknown[]): string {
  let next = 0;
  return String(format).replace(
    /%(-?)(0?)(\d*)(?:\.\d+)?([sdvqtxf%])/g,
    (_all, left: string, zero: string, width: string, verb: string) => {
      if (verb === '%') return '%';
      const value = values[next++];
      const text =
        verb === 'q' ? JSON.stringify(String(value)) : verb === 'x' ? Number(value).toString(16) : show(value);
      if (left) return text.padEnd(Number(width));
      return text.padStart(Number(width), zero && verb !== 's' ? '0' : ' ');
    },
  );
}

const builtIns: TemplateFunctions = {
  eq: (first, ...others) =>
    others.some((other) => emptyAs(first, other) === other || (first === undefined && other === undefined)),
  ne: (a, b) => emptyAs(a, b) !== b,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  not: (value) => !isTrue(value),
  and: (...values) => values.find((value) => !isTrue(value)) ?? (values.every(isTrue) ? values.at(-1) : undefined),
  or: (...values) => values.find(isTrue) ?? values.at(-1),
  len: (value) =>
    isObject(value) ? Object.keys(value).length : Array.isArray(value) || typeof value === 'string' ? value.length : 0,
  index: indexed,
  print: (...values) => values.map(show).join(''),
  println: (...values) => `${values.map(show).join(' ')}\n`,
  printf: formatted,
  html: (value) => show(value),
  urlquery: (value) => encodeURIComponent(show(value)),
  join: joined,
  joinAndTruncate: (items, separator, length) => {
    const text = joined(items, separator);
    const limit = Number(length);
    return limit > 0 && text.length > limit ? `${text.slice(0, limit - 3)}...` : text;
  },
};
