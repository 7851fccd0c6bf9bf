// The difference of two texts, line by line, as `diff -u` shows it.

type Change = { readonly kind: ' ' | '-' | '+'; readonly line: string };

/** The shortest way from one list of lines to the other: longest common subsequence by dynamic programming. */
function changes(before: readonly string[], after: readonly string[]): readonly Change[] {
  const width = after.length + 1;
  const common = new Uint32Array((before.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i * width + j] = before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const result: Change[] = [];
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      result.push({ kind: ' ', line: before[i] ?? '' });
      i++;
      j++;
    } else if (i < before.length && (j === after.length || at(i + 1, j) >= at(i, j + 1))) {
      result.push({ kind: '-', line: before[i++] ?? '' });
    } else {
      result.push({ kind: '+', line: after[j++] ?? '' });
    }
  }
  return result;
}

const colour = { '-': '\u001b[31m', '+': '\u001b[32m', ' ': '' } as const;
const plain = '\u001b[0m';

/** Empty when there is no difference. */
export function lineDiff(
  names: readonly [string, string],
  before: string,
  after: string,
  options: { readonly colours: boolean; readonly context?: number },
): string {
  if (before === after) return '';
  const all = changes(lines(before), lines(after));
  const { context = 3 } = options;
  const shown = all.map((_, i) =>
    all.slice(Math.max(0, i - context), i + context + 1).some(({ kind }) => kind !== ' '),
  );
  const paint = (kind: Change['kind'], text: string): string =>
    options.colours && kind !== ' ' ? `${colour[kind]}${text}${plain}` : text;
  const out = [paint('-', `--- ${names[0]}`), paint('+', `+++ ${names[1]}`)];
  for (const [i, { kind, line }] of all.entries()) {
    if (shown[i]) out.push(paint(kind, `${kind}${line}`));
    else if (i > 0 && shown[i - 1]) out.push('…');
  }
  return `${out.join('\n')}\n`;
}

const lines = (text: string): readonly string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));
