// Fields that cannot change once a resource exists, found from the declarations.

import { isDeepStrictEqual } from 'node:util';
import { declarationOf, type Resource } from './kinds.ts';
import { type Fault, isObject } from './schema/check.ts';
import { describe } from './schema/scalars.ts';
import type { Type } from './schema/types.ts';

/** One fault for each immutable field that differs. */
export function changedImmutableFields(before: Resource, after: Resource): readonly Fault[] {
  const faults: Fault[] = [];
  compare(declarationOf(after.kind).spec, before.spec, after.spec, 'spec', faults);
  return faults;
}

function compare(type: Type, before: unknown, after: unknown, path: string, faults: Fault[]): void {
  if (type.kind !== 'object' || !isObject(before) || !isObject(after)) return;
  for (const [name, field] of Object.entries(type.fields)) {
    const [old, value] = [before[name], after[name]];
    if (!field.immutable) compare(field.type, old, value, `${path}.${name}`, faults);
    else if (!isDeepStrictEqual(old, value)) {
      const problem = `cannot change: it is ${describe(old)}`;
      faults.push({
        path: `${path}.${name}`,
        value,
        problem,
        remedy: 'keep it, or delete the resource and create it anew',
      });
    }
  }
}
