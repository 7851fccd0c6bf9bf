// Label selectors: what other folders import.

export { type Expression, formatExpression } from './ast.ts';
export { evaluate, type Labels, labelsFrom, matches } from './evaluate.ts';
export { selectorId, uniqueId } from './id.ts';
export {
  allOf,
  type ParseResult,
  parseSelector,
  type Selector,
  selectorFrom,
  selectorOf,
  withLabelPrefix,
} from './parse.ts';
export { type LabelRestriction, type Restrictions, restrictionsOf } from './restrictions.ts';
