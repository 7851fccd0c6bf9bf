// What a selector demands of single labels, so that an index by label and value can find its candidates.
//
// `app == "web" && has(zone)` can only match where app is one of ["web"] and zone is present. The answer is necessary,
// not sufficient: candidates still have to be evaluated. No entry for a label means nothing is known about it.

import type { Expression } from './ast.ts';
import type { Selector } from './parse.ts';

export interface LabelRestriction {
  /** `absent`: the label must not be there. With `oneOf`, one of these values; an empty list can never match. */
  readonly kind: 'present' | 'absent' | 'one-of';
  readonly oneOf?: readonly string[];
}

export type Restrictions = ReadonlyMap<string, LabelRestriction>;

export const restrictionsOf = (selector: Selector): Restrictions => restrict(selector.expression);

const none: Restrictions = new Map();
const never: LabelRestriction = { kind: 'one-of', oneOf: [] };

function restrict(expression: Expression): Restrictions {
  switch (expression.kind) {
    case 'has':
    case 'contains':
    case 'starts-with':
    case 'ends-with':
      return new Map([[expression.label, { kind: 'present' }]]);
    case 'equal':
      return new Map([[expression.label, { kind: 'one-of', oneOf: [expression.value] }]]);
    case 'in':
      return new Map([[expression.label, { kind: 'one-of', oneOf: expression.values }]]);
    case 'not':
      return expression.operand.kind === 'has' ? new Map([[expression.operand.label, { kind: 'absent' }]]) : none;
    case 'and':
      return expression.operands.map(restrict).reduce(both);
    case 'or':
      return expression.operands.map(restrict).reduce(either);
    default:
      return none;
  }
}

function both(a: Restrictions, b: Restrictions): Restrictions {
  const result = new Map(a);
  for (const [label, restriction] of b) {
    const other = result.get(label);
    result.set(label, other ? tighter(other, restriction) : restriction);
  }
  return result;
}

function tighter(a: LabelRestriction, b: LabelRestriction): LabelRestriction {
  if (a.kind === 'absent' || b.kind === 'absent') return a.kind === b.kind ? a : never;
  if (!a.oneOf) return b;
  if (!b.oneOf) return a;
  const { oneOf } = b;
  return { kind: 'one-of', oneOf: a.oneOf.filter((value) => oneOf.includes(value)) };
}

function either(a: Restrictions, b: Restrictions): Restrictions {
  const result = new Map<string, LabelRestriction>();
  for (const [label, restriction] of a) {
    const other = b.get(label);
    const combined = other && looser(restriction, other);
    if (combined) result.set(label, combined);
  }
  return result;
}

function looser(a: LabelRestriction, b: LabelRestriction): LabelRestriction | undefined {
  if (a.kind === 'absent' || b.kind === 'absent') return a.kind === b.kind ? a : undefined;
  if (!a.oneOf || !b.oneOf) return { kind: 'present' };
  return { kind: 'one-of', oneOf: [...new Set([...a.oneOf, ...b.oneOf])] };
}
