// Plain values as YAML, without the library where it is not needed: a document takes a fiftieth of the time, and that is what
// lists of hundreds of thousands of resources are made of. The text is the library's to the letter (the test compares them):
// maps and lists are laid out here, and a text that is more than a plain word is shown to the library once and remembered.

import type { stringify as Stringify } from 'yaml';

/** Quoted so that readers of YAML 1.1 see the same; fields in alphabetical order, as calicoctl has them. */
const options = { version: '1.1', sortMapEntries: true, lineWidth: 0, aliasDuplicateObjects: false } as const;

/** Begins with a letter, which no number does, and has nothing with a meaning of its own. */
const plainWord = /^[A-Za-z][-A-Za-z0-9_./]*$/;
/** What every resource has another one of, and no reader takes for a number or a time: addresses, uids, container ids. */
const plainDigits =
  /^(?:\d{1,3}(?:\.\d{1,3}){3}(?:\/\d{1,3})?|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9a-f]*[acdf])[0-9a-f]{12,64})$/;
/** And what readers do take for such: revisions, times. */
const quotedDigits = /^(?:\d+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/;
/** Words that YAML 1.1 reads as something else. */
const notAText = /^(?:y|n|yes|no|on|off|true|false|null|nan|inf)$/i;
const ordinaryName = /^[A-Za-z0-9][^\n]{0,200}$/;
const MAX_REMEMBERED = 10_000;
const STEP = '  ';

export class YamlWriter {
  readonly #stringify: typeof Stringify;
  readonly #remembered = new Map<string, string>();

  constructor(stringify: typeof Stringify) {
    this.#stringify = stringify;
  }

  /** One document, with its line end. */
  document(value: unknown): string {
    return needsLibrary(value) ? this.#stringify(value, options) : `${this.#node(value, '')}\n`;
  }

  /** The same as an item of a list that is indented by two. */
  item(value: unknown): string {
    if (!needsLibrary(value)) return `  - ${this.#node(value, '    ')}\n`;
    const text = this.document(value).trimEnd();
    return `  - ${text.replaceAll(/\n(?=.)/g, '\n    ')}\n`;
  }

  /** Without indentation before its first line, and without the end of its last. */
  #node(value: unknown, indent: string): string {
    if (Array.isArray(value)) {
      if (value.length === 0) return '[]';
      return value.map((item: unknown) => `- ${this.#node(item, indent + STEP)}`).join(`\n${indent}`);
    }
    if (isMap(value)) {
      const names = Object.keys(value).filter((name) => value[name] !== undefined);
      if (names.length === 0) return '{}';
      return names
        .sort()
        .map((name) => `${this.#text(name)}:${this.#below(value[name], indent)}`)
        .join(`\n${indent}`);
    }
    return typeof value === 'string' ? this.#text(value) : this.#other(value);
  }

  /** What follows a name and its colon. */
  #below(value: unknown, indent: string): string {
    const isNested = Array.isArray(value) ? value.length > 0 : isMap(value) && Object.values(value).some(isThere);
    if (!isNested) return ` ${this.#node(value, indent)}`;
    return `\n${indent}${STEP}${this.#node(value, indent + STEP)}`;
  }

  #text(text: string): string {
    if (plainWord.test(text) && !notAText.test(text)) return text;
    if (plainDigits.test(text)) return text;
    if (quotedDigits.test(text)) return `"${text}"`;
    const known = this.#remembered.get(text);
    if (known !== undefined) return known;
    // As the value of a map: alone, some texts would look like the start of a document.
    const written = this.#stringify({ a: text }, options).slice('a: '.length, -1);
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(text, written);
    return written;
  }

  #other(value: unknown): string {
    return Number.isSafeInteger(value) || typeof value === 'boolean' || value === null || value === undefined
      ? String(value ?? null)
      : this.#stringify(value, options).trimEnd();
  }
}

const isThere = (value: unknown): boolean => value !== undefined;

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Texts of several lines, and names that are more than a word, depend on where they are: the library lays them out. */
function needsLibrary(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\n');
  if (Array.isArray(value)) return value.some(needsLibrary);
  if (!isMap(value)) return false;
  return Object.entries(value).some(([name, entry]) => !ordinaryName.test(name) || needsLibrary(entry));
}
