// JSON texts that hold several values, one after the other or with YAML's `---` between, as `jq` and people write them.
//
// One pass finds where each value ends, and names that occur twice in an object: JSON.parse would silently keep the last.

import { placeIn } from './text-place.ts';

export type JsonValues =
  | { readonly kind: 'values'; readonly values: readonly unknown[] }
  | { readonly kind: 'problem'; readonly problem: string };

export function readJsonValues(text: string): JsonValues {
  const values: unknown[] = [];
  let at = 0;
  for (;;) {
    at = skipBetween(text, at);
    if (at === text.length) return { kind: 'values', values };
    const scanned = scan(text, at);
    if (scanned.duplicate !== undefined) {
      const problem = `the name ${scanned.duplicate.name} occurs twice in an object, at ${placeIn(text, scanned.duplicate.at)}`;
      return { kind: 'problem', problem };
    }
    try {
      values.push(JSON.parse(text.slice(at, scanned.end)));
    } catch (error) {
      return { kind: 'problem', problem: withPlace(error, text, at) };
    }
    at = scanned.end;
  }
}

/** After blanks, and lines that separate documents. */
function skipBetween(text: string, from: number): number {
  const between = /(?:\s|---(?=\s|$))*/y;
  between.lastIndex = from;
  between.test(text);
  return between.lastIndex;
}

interface Scanned {
  readonly end: number;
  readonly duplicate?: { readonly name: string; readonly at: number };
}

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/gs;

/** Up to the bracket that closes the first one, or the end of the text. */
function scan(text: string, from: number): Scanned {
  // The names seen in each open object; undefined for lists.
  const open: (Set<string> | undefined)[] = [];
  let last: { readonly text: string; readonly at: number } | undefined;
  token.lastIndex = from;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const [found] = match;
    if (found === '{') open.push(new Set());
    else if (found === '[') open.push(undefined);
    else if (found === ':' && last?.text.startsWith('"')) {
      const names = open.at(-1);
      if (names?.has(last.text)) return { end: text.length, duplicate: { name: last.text, at: last.at } };
      names?.add(last.text);
    } else if (found === '}' || found === ']') {
      open.pop();
      if (open.length === 0) return { end: token.lastIndex };
    }
    last = { text: found, at: match.index };
  }
  return { end: text.length };
}

/** "… at position 37" with the line and column that people look for. */
function withPlace(error: unknown, text: string, from: number): string {
  const message = error instanceof Error ? error.message : String(error);
  const [, position] = /at position (\d+)/.exec(message) ?? [];
  // Later versions of Node say it themselves.
  return position === undefined || message.includes('line')
    ? message
    : `${message} (${placeIn(text, from + Number(position))})`;
}
