// The general scalars: text, numbers, choices, durations. Those of networking are in scalars-net.ts.

import { Refused, type ScalarType } from './types.ts';

export const describe = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
};

const notA = (what: string, value: unknown): Refused =>
  new Refused(`${describe(value)} is not ${what}`, `give ${what}`);

/** A scalar that is text matching a pattern. */
export function text(
  options: {
    readonly name?: string;
    readonly pattern?: RegExp;
    readonly maxLength?: number;
    readonly minLength?: number;
    readonly remedy?: string;
  } = {},
): ScalarType<string> {
  const { name = 'string', pattern, maxLength = Number.POSITIVE_INFINITY, minLength = 0 } = options;
  const remedy = options.remedy ?? (name === 'string' ? 'give text' : `give a ${name}`);
  return {
    kind: 'scalar',
    name,
    jsonSchema: {
      type: 'string',
      ...(pattern && { pattern: pattern.source }),
      ...(minLength > 0 && { minLength }),
      ...(Number.isFinite(maxLength) && { maxLength }),
    },
    read: (value) => {
      if (typeof value !== 'string') return new Refused(`${describe(value)} is not text`, remedy);
      if (value.length < minLength) return new Refused('is empty', remedy);
      if (value.length > maxLength) {
        return new Refused(`is ${value.length} characters long`, `shorten it to ${maxLength} characters`);
      }
      if (pattern && !pattern.test(value)) return new Refused(`${describe(value)} is not a valid ${name}`, remedy);
      return value;
    },
  };
}

/** Text that a function accepts or refuses; `problem` says what is wrong with it, undefined when nothing is. */
export function checkedText(
  name: string,
  problem: (value: string) => Refused | undefined,
  jsonSchema: Readonly<Record<string, unknown>> = {},
): ScalarType<string> {
  return {
    kind: 'scalar',
    name,
    jsonSchema: { type: 'string', ...jsonSchema },
    read: (value) => {
      if (typeof value !== 'string') return new Refused(`${describe(value)} is not text`, `write a ${name} in quotes`);
      return problem(value) ?? value;
    },
  };
}

export const boolean: ScalarType<boolean> = {
  kind: 'scalar',
  name: 'boolean',
  jsonSchema: { type: 'boolean' },
  read: (value) => {
    if (typeof value === 'boolean') return value;
    const meant = typeof value === 'string' ? booleanWords.get(value.toLowerCase()) : undefined;
    const remedy = meant === undefined ? 'give true or false' : `write ${meant}, without quotes`;
    return new Refused(`${describe(value)} is not true or false`, remedy);
  },
};

// What people write instead; in YAML 1.1 some of them were booleans.
const booleanWords: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'yes', 'on', 'enabled', '1'].map((word) => [word, true] as const),
  ...['false', 'no', 'off', 'disabled', '0'].map((word) => [word, false] as const),
]);

/** An integer in a range, ends included. */
export function integer(
  min: number = Number.MIN_SAFE_INTEGER,
  max: number = Number.MAX_SAFE_INTEGER,
): ScalarType<number> {
  const bounded = min !== Number.MIN_SAFE_INTEGER || max !== Number.MAX_SAFE_INTEGER;
  const limits = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
  const name = bounded ? `integer, ${limits}` : 'integer';
  return {
    kind: 'scalar',
    name,
    jsonSchema: {
      type: 'integer',
      ...(min !== Number.MIN_SAFE_INTEGER && { minimum: min }),
      ...(max !== Number.MAX_SAFE_INTEGER && { maximum: max }),
    },
    read: (value) => {
      if (typeof value !== 'number' || !Number.isInteger(value)) {
        const quoted = typeof value === 'string' && /^-?\d+$/.test(value);
        return new Refused(
          `${describe(value)} is not an integer`,
          quoted ? 'remove the quotes' : bounded ? `give an integer from ${limits}` : 'give an integer',
        );
      }
      return value < min || value > max ? new Refused(`${value} is out of range`, `give ${limits}`) : value;
    },
  };
}

export const float: ScalarType<number> = {
  kind: 'scalar',
  name: 'number',
  jsonSchema: { type: 'number' },
  read: (value) => (typeof value === 'number' && Number.isFinite(value) ? value : notA('a number', value)),
};

/** One of the given words, exactly so written. */
export function choice<const W extends readonly string[]>(...words: W): ScalarType<W[number]> {
  return {
    kind: 'scalar',
    name: words.join(' | '),
    jsonSchema: { type: 'string', enum: words },
    read: (value) => {
      for (const word of words) if (word === value) return word;
      const lower = String(value).toLowerCase();
      const meant =
        words.find((word) => word.toLowerCase() === (switchWord(lower) ?? lower)) ??
        words.find((word) => word.toLowerCase() === lower);
      return new Refused(
        `${describe(value)} is not one of its values`,
        meant ? `write ${meant}` : `give one of ${words.join(', ')}`,
      );
    },
  };
}

/** Where others have true and false, Calico has Enabled and Disabled. */
function switchWord(lower: string): string | undefined {
  const state = booleanWords.get(lower);
  return state === undefined ? undefined : state ? 'enabled' : 'disabled';
}

/** One of the given words in any case; stored as it is written here. */
export function choiceInAnyCase<const W extends readonly string[]>(...words: W): ScalarType<W[number]> {
  const exact = choice(...words);
  return {
    ...exact,
    jsonSchema: { type: 'string', pattern: `^(${words.map(inAnyCase).join('|')})$` },
    read: (value) => {
      const lower = typeof value === 'string' ? value.toLowerCase() : value;
      for (const word of words) if (word.toLowerCase() === lower) return word;
      return exact.read(value);
    },
  };
}

/** "Drop" → "[Dd][Rr][Oo][Pp]": JSON schema's regular expressions have no flags. */
const inAnyCase = (word: string): string =>
  word.replaceAll(/[a-zA-Z]/g, (letter) => `[${letter.toUpperCase()}${letter.toLowerCase()}]`);

/** A regular expression as Go has them. What only Go knows is put in JavaScript's words, to see whether it can be one. */
export const regularExpression: ScalarType<string> = checkedText('regular expression', (value) => {
  const here = value.replaceAll(/\(\?[imsU-]+(:?)\)?/g, (_, colon) => (colon ? '(?:' : '')).replaceAll('(?P<', '(?<');
  try {
    new RegExp(here);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^.*: /, '') : String(error);
    return new Refused(`${describe(value)} is not a regular expression: ${reason}`, 'write it as ^(eth|ens).*');
  }
});

/** One of the given integers. */
export function integerChoice<const N extends readonly number[]>(...numbers: N): ScalarType<N[number]> {
  return {
    kind: 'scalar',
    name: numbers.join(' | '),
    jsonSchema: { type: 'integer', enum: numbers },
    read: (value) => {
      for (const number of numbers) if (number === value) return number;
      return new Refused(`${describe(value)} is not one of its values`, `give one of ${numbers.join(', ')}`);
    },
  };
}

const durationUnitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration in Go's notation ("1m30s", "1.5h", "0"); undefined when it is not one. */
export function parseDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^[-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(digits) * (durationUnitsMs[unit ?? ''] ?? 0);
  }
  return text.startsWith('-') ? -total : total;
}

/** A duration in Go's notation, kept as text; read it with parseDurationMs. */
export function duration(minMs = 0): ScalarType<string> {
  const remedy = 'write numbers with units, such as 90s, 1m30s or 2h';
  return checkedText(
    'duration',
    (value) => {
      const ms = parseDurationMs(value);
      if (ms === undefined) {
        return new Refused(
          `${describe(value)} is not a duration`,
          /^\d+$/.test(value) ? `write ${value}s, with its unit` : remedy,
        );
      }
      if (ms < minMs) return new Refused(`${value} is too short`, `give ${minMs} ms or more`);
      return undefined;
    },
    { format: 'go-duration' },
  );
}
