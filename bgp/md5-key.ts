// Which TCP-MD5 keys (RFC 2385) can be used, before a socket hears of them.

/** What the kernel takes. */
export const MD5_KEY_MAX_BYTES = 80;

/** What is wrong with a key, in words that follow "the key"; undefined: nothing. */
export function md5KeyProblem(key: string): string | undefined {
  if (key === '') return 'is empty';
  // The kernel would sign with all of it, and most routers with what is before.
  if (key.includes('\0')) return 'contains a NUL byte, where other routers take it to end';
  const { length } = new TextEncoder().encode(key);
  if (length > MD5_KEY_MAX_BYTES) return `has ${length} bytes, and TCP-MD5 keys have at most ${MD5_KEY_MAX_BYTES}`;
  return undefined;
}
