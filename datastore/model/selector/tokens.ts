// Selector text → tokens.

export type Token =
  | { readonly kind: 'label' | 'string' | 'has'; readonly text: string; readonly position: number }
  | { readonly kind: Symbol; readonly position: number };

type Symbol =
  | Comparator
  | '('
  | ')'
  | '{'
  | '}'
  | ','
  | '!'
  | '&&'
  | '||'
  | 'in'
  | 'not in'
  | 'all()'
  | 'global()'
  | 'end';

export type Comparator = '==' | '!=' | 'contains' | 'starts with' | 'ends with';

export interface SelectorFault {
  readonly kind: 'error';
  readonly problem: string;
  readonly remedy: string;
  /** Index of the character at fault. */
  readonly position: number;
}

const label = /[a-zA-Z0-9_./-]{1,512}/y;
const symbols = /==|!=|&&|\|\||[(){},!]/y;
// Only directly after a label: elsewhere these words are labels.
const wordOperator = /contains|starts[ \t]*with|ends[ \t]*with|not[ \t]*in|in/y;
const call = /(has|all|global)\([ \t]*([a-zA-Z0-9_./-]*)[ \t]*(\))?/y;

const matchAt = (pattern: RegExp, text: string, position: number): RegExpExecArray | null => {
  pattern.lastIndex = position;
  return pattern.exec(text);
};

export function tokenize(text: string): Token[] | SelectorFault {
  const tokens: Token[] = [];
  let position = 0;
  for (;;) {
    while (text[position] === ' ' || text[position] === '\t') position++;
    if (position >= text.length) {
      tokens.push({ kind: 'end', position });
      return tokens;
    }
    const token = nextToken(text, position, tokens.at(-1)?.kind === 'label');
    if (token.kind === 'error') return token;
    tokens.push(token.token);
    position = token.next;
  }
}

type Next = { readonly kind: 'token'; readonly token: Token; readonly next: number } | SelectorFault;

function nextToken(text: string, position: number, afterLabel: boolean): Next {
  const first = text[position] ?? '';
  if (first === '"' || first === "'") {
    const end = text.indexOf(first, position + 1);
    if (end < 0) return fault('the text in quotes does not end', `close it with ${first}`, position);
    return { kind: 'token', token: { kind: 'string', text: text.slice(position + 1, end), position }, next: end + 1 };
  }
  const symbol = matchAt(symbols, text, position)?.[0];
  if (symbol) return { kind: 'token', token: { kind: symbol as Symbol, position }, next: position + symbol.length };
  if ('=&|\r\n'.includes(first)) return unexpected(first, position);
  if (afterLabel) return operatorWord(text, position);
  const called = matchAt(call, text, position);
  if (called) return callToken(called, position);
  const name = matchAt(label, text, position)?.[0];
  if (name) return { kind: 'token', token: { kind: 'label', text: name, position }, next: position + name.length };
  return unexpected(first, position);
}

function operatorWord(text: string, position: number): Next {
  const word = matchAt(wordOperator, text, position)?.[0];
  if (!word) {
    return fault(
      'an operator is expected after a label',
      'use ==, !=, in, not in, contains, starts with or ends with',
      position,
    );
  }
  const kind = word.startsWith('starts')
    ? 'starts with'
    : word.startsWith('ends')
      ? 'ends with'
      : word.startsWith('not')
        ? 'not in'
        : (word as 'contains' | 'in');
  return { kind: 'token', token: { kind, position }, next: position + word.length };
}

function callToken([all, name, argument, close]: RegExpExecArray, position: number): Next {
  const next = position + all.length;
  if (!close) return fault(`${name}( is not closed`, 'add ")"', next);
  if (name === 'has') {
    if (!argument) return fault('has() names no label', 'write has(label)', position);
    return { kind: 'token', token: { kind: 'has', text: argument, position }, next };
  }
  if (argument) return fault(`${name}() takes no argument`, `write ${name}()`, position);
  return { kind: 'token', token: { kind: name === 'all' ? 'all()' : 'global()', position }, next };
}

function unexpected(character: string, position: number): SelectorFault {
  if (character === '=') return fault('"=" alone is no operator', 'write ==', position);
  if (character === '&') return fault('"&" alone is no operator', 'write &&', position);
  if (character === '|') return fault('"|" alone is no operator', 'write ||', position);
  if (character === '\n' || character === '\r') {
    return fault('a line break', 'write it on one line; in YAML, ">-" folds lines into one', position);
  }
  return fault(
    `"${character}" is not expected`,
    'labels are letters, digits, "_", ".", "/" and "-"; put values in quotes',
    position,
  );
}

const fault = (problem: string, remedy: string, position: number): SelectorFault => ({
  kind: 'error',
  problem,
  remedy,
  position,
});
