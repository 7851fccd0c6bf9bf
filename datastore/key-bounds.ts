// Key ranges as etcd's API wants them: the first key, and the first one that is not meant any more.

const ZERO = Buffer.from([0]);

/** key and range_end that stand for a prefix; "" stands for all keys. */
export function prefixBounds(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
  const key = Buffer.from(prefix, 'utf8');
  if (key.length === 0) return { key: ZERO, range_end: ZERO };
  const end = Buffer.from(key);
  // UTF-8 has no byte 0xff, so the last one can always be counted up.
  end[end.length - 1] = (end[end.length - 1] ?? 0) + 1;
  return { key, range_end: end };
}

/** What a list asks for: the keys of the prefix behind `after`, which may also lie before the prefix. */
export function listBounds(
  prefix: string,
  after: string | undefined,
): { readonly key: Buffer; readonly range_end: Buffer } {
  const bounds = prefixBounds(prefix);
  if (after === undefined) return bounds;
  const behind = Buffer.concat([Buffer.from(after, 'utf8'), ZERO]);
  return Buffer.compare(behind, bounds.key) > 0 ? { ...bounds, key: behind } : bounds;
}
