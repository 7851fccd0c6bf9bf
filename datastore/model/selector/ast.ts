// Label selectors as a tree, and their canonical text.
//
// text → tokens.ts → parse.ts → Expression → evaluate.ts (against labels), restrictions.ts (for indexes), id.ts.

export type Expression =
  | { readonly kind: 'all' }
  /** Matches like all(); in a namespaceSelector it means "what is in no namespace". */
  | { readonly kind: 'global' }
  | { readonly kind: 'has'; readonly label: string }
  | { readonly kind: Comparison; readonly label: string; readonly value: string }
  /** Values are sorted and unique. */
  | { readonly kind: 'in' | 'not-in'; readonly label: string; readonly values: readonly string[] }
  | { readonly kind: 'not'; readonly operand: Expression }
  | { readonly kind: 'and' | 'or'; readonly operands: readonly Expression[] };

export type Comparison = 'equal' | 'not-equal' | 'contains' | 'starts-with' | 'ends-with';

const operatorText: Readonly<Record<Comparison, string>> = {
  equal: ' == ',
  'not-equal': ' != ',
  contains: ' contains ',
  'starts-with': ' starts with ',
  'ends-with': ' ends with ',
};

// There are no escapes: a text holds at most one of the two quotes.
const quote = (text: string): string => (text.includes('"') ? `'${text}'` : `"${text}"`);

/** Calico's canonical text: equal texts are equal selectors, and the id is made from it. */
export function formatExpression(expression: Expression): string {
  switch (expression.kind) {
    case 'all':
      return 'all()';
    case 'global':
      return 'global()';
    case 'has':
      return `has(${expression.label})`;
    case 'in':
      return `${expression.label} in {${expression.values.map(quote).join(', ')}}`;
    case 'not-in':
      return `${expression.label} not in {${expression.values.map(quote).join(', ')}}`;
    case 'not':
      return `!${formatExpression(expression.operand)}`;
    case 'and':
      return `(${expression.operands.map(formatExpression).join(' && ')})`;
    case 'or':
      return `(${expression.operands.map(formatExpression).join(' || ')})`;
    default:
      return `${expression.label}${operatorText[expression.kind]}${quote(expression.value)}`;
  }
}

/** The same expression with every label renamed: "pcns." before those of a namespaceSelector. */
export function mapLabels(expression: Expression, rename: (label: string) => string): Expression {
  switch (expression.kind) {
    case 'all':
    case 'global':
      return expression;
    case 'not':
      return { kind: 'not', operand: mapLabels(expression.operand, rename) };
    case 'and':
    case 'or':
      return { kind: expression.kind, operands: expression.operands.map((operand) => mapLabels(operand, rename)) };
    default:
      return { ...expression, label: rename(expression.label) };
  }
}

export function containsGlobal(expression: Expression): boolean {
  switch (expression.kind) {
    case 'global':
      return true;
    case 'not':
      return containsGlobal(expression.operand);
    case 'and':
    case 'or':
      return expression.operands.some(containsGlobal);
    default:
      return false;
  }
}
