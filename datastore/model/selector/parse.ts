// Tokens → Expression, by recursive descent: "||" binds loosest, then "&&", then "!".

import { type Comparison, containsGlobal, type Expression, formatExpression, mapLabels } from './ast.ts';
import { type Comparator, type SelectorFault, type Token, tokenize } from './tokens.ts';

export interface Selector {
  readonly expression: Expression;
  /** Canonical: the key under which equal selectors meet. */
  readonly text: string;
  /** Whether global() occurs. */
  readonly usesGlobal: boolean;
}

export type ParseResult = { readonly kind: 'selector'; readonly selector: Selector } | SelectorFault;

/** Parses a selector; the empty text matches everything, as all() does. */
export function parseSelector(text: string): ParseResult {
  const tokens = tokenize(text);
  if (!Array.isArray(tokens)) return tokens;
  if (tokens[0]?.kind === 'end') return { kind: 'selector', selector: selectorOf({ kind: 'all' }) };
  const parser = new Parser(tokens);
  const expression = parser.disjunction();
  if (parser.error) return parser.error;
  return { kind: 'selector', selector: selectorOf(expression) };
}

/** For text that is known to be right, such as one written in a program; throws when it is not. */
export function selectorFrom(text: string): Selector {
  const parsed = parseSelector(text);
  if (parsed.kind === 'error') throw new Error(`selector ${text}: ${parsed.problem}`);
  return parsed.selector;
}

export const selectorOf = (expression: Expression): Selector => ({
  expression,
  text: formatExpression(expression),
  usesGlobal: containsGlobal(expression),
});

/** Matches what all of the given selectors match. */
export function allOf(selectors: readonly Selector[]): Selector {
  const [only, ...others] = selectors;
  if (only === undefined) return selectorOf({ kind: 'all' });
  return others.length === 0
    ? only
    : selectorOf({ kind: 'and', operands: selectors.map((selector) => selector.expression) });
}

/** The selector with a prefix before every label: "pcns." turns a namespaceSelector into one for endpoints. */
export const withLabelPrefix = (selector: Selector, prefix: string): Selector =>
  selectorOf(mapLabels(selector.expression, (label) => prefix + label));

const comparisons: Readonly<Record<Comparator, Comparison>> = {
  '==': 'equal',
  '!=': 'not-equal',
  contains: 'contains',
  'starts with': 'starts-with',
  'ends with': 'ends-with',
};

const isComparator = (kind: string): kind is Comparator => Object.hasOwn(comparisons, kind);

const nothing: Expression = { kind: 'all' };

class Parser {
  /** The first error met; whatever is returned after it has no meaning. */
  error: SelectorFault | undefined;
  private readonly tokens: readonly Token[];
  private at = 0;
  private depth = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  disjunction(): Expression {
    const expression = this.chain('||', 'or', () => this.chain('&&', 'and', () => this.operation()));
    if (this.depth === 0 && !this.error && this.peek().kind !== 'end') {
      this.fail('something is left over at the end', 'join terms with && or ||');
    }
    return expression;
  }

  private chain(operator: '&&' | '||', kind: 'and' | 'or', next: () => Expression): Expression {
    const operands = [next()];
    while (!this.error && this.peek().kind === operator) {
      this.at++;
      operands.push(next());
    }
    return operands.length === 1 ? (operands[0] ?? nothing) : { kind, operands };
  }

  private operation(): Expression {
    let negated = false;
    while (this.peek().kind === '!') {
      negated = !negated;
      this.at++;
    }
    const expression = this.term();
    return negated ? { kind: 'not', operand: expression } : expression;
  }

  private term(): Expression {
    const token = this.next();
    switch (token.kind) {
      case 'all()':
        return { kind: 'all' };
      case 'global()':
        return { kind: 'global' };
      case 'has':
        return { kind: 'has', label: token.text };
      case 'label':
        return this.comparison(token.text);
      case '(':
        return this.parenthesised();
      default:
        return this.fail('a term is missing', 'write a term such as app == "web", has(app) or all()', token);
    }
  }

  private parenthesised(): Expression {
    // Bounds recursion: nesting in people's selectors is 2 or 3 deep.
    if (++this.depth > 200) return this.fail('is nested too deeply', 'use at most 200 levels of parentheses');
    const inner = this.disjunction();
    this.depth--;
    if (this.error) return inner;
    const close = this.next();
    return close.kind === ')' ? inner : this.fail('")" is missing', 'close the parenthesis', close);
  }

  private comparison(label: string): Expression {
    const operator = this.next();
    if (operator.kind === 'in' || operator.kind === 'not in') {
      return { kind: operator.kind === 'in' ? 'in' : 'not-in', label, values: this.values() };
    }
    if (!isComparator(operator.kind)) {
      const remedy = 'use ==, !=, in, not in, contains, starts with or ends with; or has(label)';
      return this.fail('an operator is expected after a label', remedy, operator);
    }
    const value = this.next();
    if (value.kind !== 'string')
      return this.fail('a value in quotes is expected', `write ${label} ${operator.kind} "value"`, value);
    return { kind: comparisons[operator.kind], label, value: value.text };
  }

  private values(): readonly string[] {
    const values = new Set<string>();
    const open = this.next();
    if (open.kind !== '{') this.fail('"{" is expected', 'write the values as {"a", "b"}', open);
    while (!this.error) {
      const token = this.next();
      if (token.kind === '}') break;
      if (token.kind === 'string') {
        values.add(token.text);
        const kind = this.peek().kind;
        if (kind === ',') this.at++;
        else if (kind !== '}') this.fail('"," or "}" is expected', 'write the values as {"a", "b"}');
      } else this.fail('a value in quotes is expected', 'write the values as {"a", "b"}', token);
    }
    return [...values].sort(compareBytes);
  }

  private peek(): Token {
    return this.tokens[this.at] ?? { kind: 'end', position: 0 };
  }

  private next(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.at++;
    return token;
  }

  private fail(problem: string, remedy: string, token: Token = this.peek()): Expression {
    this.error ??= { kind: 'error', problem, remedy, position: token.position };
    return nothing;
  }
}

// Go sorts by bytes; UTF-16 order differs from it beyond U+D7FF.
const compareBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
