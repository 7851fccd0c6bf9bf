// Options of a program: one table, from which parsing, --help and the reference come.
//
// Precedence: flag, environment, file (JSON, its keys are the table's), default. A bad value names where it came from.

import { readFileSync } from 'node:fs';

export interface OptionSpec<T> {
  /** Without the dashes: "run-dir". */
  readonly flag: string;
  readonly environment?: string;
  readonly default: T;
  /** Printed as <value> in --help; absent for switches. */
  readonly value?: string;
  /** One sentence. */
  readonly help: string;
  /** Throws an Error whose message says what would be right. */
  readonly parse: (text: string) => T;
}

export type OptionTable = Readonly<Record<string, OptionSpec<unknown>>>;
export type OptionValues<T extends OptionTable> = {
  readonly [K in keyof T]: T[K] extends OptionSpec<infer V> ? V : never;
};

export type OptionsResult<T extends OptionTable> =
  | { readonly kind: 'values'; readonly values: OptionValues<T>; readonly rest: readonly string[] }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'problem'; readonly message: string };

export interface OptionSources {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Contents of --config's file; absent: read from disk. */
  readonly readFile?: (path: string) => string;
}

type Shape<T> = Omit<OptionSpec<T>, 'parse'>;

export const text = (spec: Shape<string>): OptionSpec<string> => ({ ...spec, parse: (value) => value });

export const optionalText = (spec: Omit<Shape<string | undefined>, 'default'>): OptionSpec<string | undefined> => ({
  ...spec,
  default: undefined,
  parse: (value) => value,
});

export const integer = (spec: Shape<number> & { readonly min: number; readonly max: number }): OptionSpec<number> => ({
  ...spec,
  parse: (value) => {
    const number = Number(value);
    if (!/^-?\d+$/.test(value) || number < spec.min || number > spec.max) {
      throw new Error(`"${value}" is not a whole number from ${spec.min} to ${spec.max}`);
    }
    return number;
  },
});

export const optionalInteger = (
  spec: Omit<Shape<number>, 'default'> & { readonly min: number; readonly max: number },
): OptionSpec<number | undefined> => ({ ...integer({ ...spec, default: spec.min }), default: undefined });

export const choice = <const C extends readonly string[]>(
  spec: Shape<C[number]> & { readonly choices: C },
): OptionSpec<C[number]> => ({
  ...spec,
  parse: (value) => {
    const found = spec.choices.find((candidate) => candidate === value.toLowerCase());
    if (found === undefined) throw new Error(`"${value}" is none of ${spec.choices.join(', ')}`);
    return found;
  },
});

export const flag = (spec: Omit<Shape<boolean>, 'value'>): OptionSpec<boolean> => ({
  ...spec,
  parse: (value) => {
    if (/^(true|1|yes|on|enabled)$/i.test(value)) return true;
    if (/^(false|0|no|off|disabled)$/i.test(value)) return false;
    throw new Error(`"${value}" is neither true nor false`);
  },
});

/** Reads a program's options. Never throws: whatever is wrong comes back as a `problem` to print. */
export function parseOptions<T extends OptionTable>(table: T, sources: OptionSources): OptionsResult<T> {
  const given = readFlags(table, sources.argv);
  if (given.kind !== 'flags') return given;
  try {
    const file = readConfigFile(given.config, sources.readFile ?? ((path) => readFileSync(path, 'utf8')));
    for (const key of Object.keys(file)) {
      if (!(key in table)) throw new Error(`${given.config}: no option is named "${key}"`);
    }
    const values: Record<string, unknown> = {};
    for (const [key, spec] of Object.entries(table))
      values[key] = resolve(key, spec, given.flags, sources.environment, file);
    return { kind: 'values', values: values as OptionValues<T>, rest: given.rest };
  } catch (error) {
    return { kind: 'problem', message: error instanceof Error ? error.message : String(error) };
  }
}

type Flags =
  | {
      readonly kind: 'flags';
      readonly flags: ReadonlyMap<string, string>;
      readonly config: string | undefined;
      readonly rest: readonly string[];
    }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'problem'; readonly message: string };

function readFlags(table: OptionTable, argv: readonly string[]): Flags {
  const known = new Map(Object.values(table).map((spec) => [spec.flag, spec]));
  const flags = new Map<string, string>();
  const rest: string[] = [];
  let config: string | undefined;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--help' || word === '-h') return { kind: 'help' };
    if (word === '--version') return { kind: 'version' };
    if (!word.startsWith('--')) {
      rest.push(word);
      continue;
    }
    const equals = word.indexOf('=');
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const spec = known.get(name);
    if (!spec && name !== 'config')
      return { kind: 'problem', message: `--${name} is not an option here; --help lists them` };
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    if (value === undefined && spec?.value === undefined && name !== 'config') value = 'true';
    value ??= argv[++i];
    if (value === undefined) return { kind: 'problem', message: `--${name} needs a value` };
    if (name === 'config') config = value;
    else flags.set(name, value);
  }
  return { kind: 'flags', flags, config, rest };
}

function readConfigFile(
  path: string | undefined,
  readFile: (path: string) => string,
): Readonly<Record<string, unknown>> {
  if (path === undefined) return {};
  const parsed: unknown = JSON.parse(readFile(path));
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new Error(`${path}: a JSON object is needed`);
  return { ...parsed };
}

function resolve(
  key: string,
  spec: OptionSpec<unknown>,
  flags: ReadonlyMap<string, string>,
  environment: OptionSources['environment'],
  file: Readonly<Record<string, unknown>>,
): unknown {
  const fromEnvironment = spec.environment === undefined ? undefined : environment[spec.environment];
  const [source, raw] = flags.has(spec.flag)
    ? [`--${spec.flag}`, flags.get(spec.flag)]
    : fromEnvironment !== undefined && fromEnvironment !== ''
      ? [spec.environment, fromEnvironment]
      : [`"${key}" in the configuration file`, file[key] === undefined ? undefined : String(file[key])];
  if (raw === undefined) return spec.default;
  try {
    return spec.parse(raw);
  } catch (error) {
    throw new Error(`${source}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * The text of --help: usage lines given by the program, then one aligned line per option with default and environment.
 * `configHelp`: for programs whose --config is something else than a file of options.
 */
export function helpText(
  usage: string,
  table: OptionTable,
  configHelp = 'JSON file with the same options, written in camelCase.',
): string {
  const rows = Object.values(table).map((spec) => {
    const left = `--${spec.flag}${spec.value === undefined ? '' : ` <${spec.value}>`}`;
    const facts = [
      spec.default === undefined || spec.default === '' || spec.default === false || typeof spec.default === 'object'
        ? ''
        : `default ${String(spec.default)}`,
      spec.environment ? `$${spec.environment}` : '',
    ].filter((fact) => fact !== '');
    return [left, `${spec.help}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`] as const;
  });
  rows.push(['--config <file>', configHelp], ['--help', 'This text.']);
  const width = Math.max(...rows.map(([left]) => left.length));
  return `${usage.trimEnd()}\n\nOptions:\n${rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n')}\n`;
}
