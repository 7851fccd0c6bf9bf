// Lets the rules between fields run on an object of which some fields are faulty.
//
//     faults of the fields ─► guard ─► rule reads a good field: goes on; a faulty one: the rule ends there, silently
//
// So a resource's faults are listed in one go, no rule judges by a value that is about to change, and none meets a value of
// the wrong type. A rule that judges several things ends at the first faulty field that it reads: give each thing its rule.

/** What a rule meets when it reads a faulty field. */
class FaultyField extends Error {
  override readonly name = 'FaultyField';
}

/** The text of a path below another: "spec.ingress[2].nets[0]"; keys of maps may contain dots: "labels[example.com/role]". */
export function pathBelow(path: string, segment: string | number): string {
  if (typeof segment === 'number') return `${path}[${segment}]`;
  if (path === '') return segment;
  return /^[\w-]+$/.test(segment) ? `${path}.${segment}` : `${path}[${segment}]`;
}

/** The value at `path`, which ends the work that reads anything at one of the faulty paths. */
export function guarded<T>(value: T, path: string, faulty: readonly string[]): T {
  if (typeof value !== 'object' || value === null) return value;
  const isList = Array.isArray(value);
  return new Proxy(value, {
    get(target, key) {
      const found: unknown = Reflect.get(target, key);
      if (typeof key === 'symbol') return found;
      const below = pathBelow(path, isList && /^\d+$/.test(key) ? Number(key) : key);
      if (faulty.includes(below)) throw new FaultyField();
      return faulty.some((one) => one.startsWith(below)) ? guarded(found, below, faulty) : found;
    },
  });
}

/** Entry by entry: an entry that is faulty where the work reads it is left out, the others have their turn. */
export function forEachSound<T>(list: readonly T[] | undefined, work: (entry: T, index: number) => void): void {
  for (const index of list?.keys() ?? []) {
    unlessFaulty(() => {
      const entry = list?.[index];
      if (entry !== undefined) work(entry, index);
    });
  }
}

/** Does the work as far as it reads no faulty field: undefined when it met one. */
export function unlessFaulty<R>(work: () => R): R | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof FaultyField) return undefined;
    throw error;
  }
}
