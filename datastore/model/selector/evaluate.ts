// Whether labels match. Pure and allocation free: this runs for every endpoint that an index could not rule out.

import type { Expression } from './ast.ts';
import type { Selector } from './parse.ts';

/** Labels by name; a Map is one. */
export interface Labels {
  get(label: string): string | undefined;
}

/** Labels of a resource's metadata. */
export const labelsFrom = (record: Readonly<Record<string, string>> | undefined): Labels => ({
  get: (label) => (record && Object.hasOwn(record, label) ? record[label] : undefined),
});

export const matches = (selector: Selector, labels: Labels): boolean => evaluate(selector.expression, labels);

export function evaluate(expression: Expression, labels: Labels): boolean {
  switch (expression.kind) {
    case 'all':
    case 'global':
      return true;
    case 'has':
      return labels.get(expression.label) !== undefined;
    case 'equal':
      return labels.get(expression.label) === expression.value;
    case 'not-equal':
      // True when the label is absent.
      return labels.get(expression.label) !== expression.value;
    case 'contains':
      return labels.get(expression.label)?.includes(expression.value) ?? false;
    case 'starts-with':
      return labels.get(expression.label)?.startsWith(expression.value) ?? false;
    case 'ends-with':
      return labels.get(expression.label)?.endsWith(expression.value) ?? false;
    case 'in':
      return isOneOf(labels.get(expression.label), expression.values);
    case 'not-in':
      return !isOneOf(labels.get(expression.label), expression.values);
    case 'not':
      return !evaluate(expression.operand, labels);
    case 'and':
      for (const operand of expression.operands) if (!evaluate(operand, labels)) return false;
      return true;
    case 'or':
      for (const operand of expression.operands) if (evaluate(operand, labels)) return true;
      return false;
  }
}

const isOneOf = (value: string | undefined, values: readonly string[]): boolean =>
  value !== undefined && values.includes(value);
