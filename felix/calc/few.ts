// Sets that mostly hold nothing or one thing. At 250,000 endpoints a real Set each would cost more than what is in it.

/** Nothing, the one element itself, or a Set of several. Elements are objects, never Sets. */
export type Few<T extends object> = undefined | T | Set<T>;

export function addToFew<T extends object>(few: Few<T>, element: T): Few<T> {
  if (few === undefined || few === element) return element;
  if (few instanceof Set) return few.add(element);
  return new Set([few, element]);
}

export function removeFromFew<T extends object>(few: Few<T>, element: T): Few<T> {
  if (few === element) return undefined;
  if (!(few instanceof Set)) return few;
  few.delete(element);
  if (few.size > 1) return few;
  const [last] = few;
  return last;
}

/** To iterate over; do not change the set meanwhile. */
export function elementsOf<T extends object>(few: Few<T>): Iterable<T> {
  if (few === undefined) return [];
  return few instanceof Set ? few : [few];
}

export function sizeOfFew<T extends object>(few: Few<T>): number {
  if (few === undefined) return 0;
  return few instanceof Set ? few.size : 1;
}

export function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
