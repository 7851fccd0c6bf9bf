// What libnftables says when it refuses, as a code that a program can act on.
//
//   internal:2:13-17: Error: Could not process rule: No such file or directory      <- from the kernel: strerror text
//   internal:1:5-8: Error: syntax error, unexpected string                          <- from the parser

import type { NftFailure } from './nftables.ts';

/** strerror() texts of what nf_tables answers. */
const codesByText: readonly (readonly [string, string])[] = [
  ['No such file or directory', 'ENOENT'],
  ['File exists', 'EEXIST'],
  ['Device or resource busy', 'EBUSY'],
  ['Operation not permitted', 'EPERM'],
  ['Operation not supported', 'EOPNOTSUPP'],
  ['Protocol error', 'EPROTO'],
  ['Invalid argument', 'EINVAL'],
  ['Message too long', 'EMSGSIZE'],
  ['No buffer space available', 'ENOBUFS'],
  ['Cannot allocate memory', 'ENOMEM'],
  ['Interrupted system call', 'EINTR'],
  ['Resource temporarily unavailable', 'EAGAIN'],
  ['Numerical result out of range', 'ERANGE'],
  ['Too many links', 'EMLINK'],
  ['Too many open files in system', 'ENFILE'],
  ['Value too large for defined data type', 'EOVERFLOW'],
  // Overlaps that libnftables finds before it asks the kernel.
  ['conflicting intervals specified', 'EEXIST'],
  ['interval overlaps with an existing one', 'EEXIST'],
];

/** Parses the error buffer, or standard error, of one failed transaction. The first error decides. */
export function parseNftError(message: string): NftFailure {
  const first = /^(?:\S*?:(\d+):\d+(?:-\d+)?: )?Error: (.*)$/m.exec(message);
  const text = first?.[2] ?? message;
  const found = codesByText.find(([words]) => text.includes(words));
  const code = found?.[1] ?? (first ? 'SYNTAX' : 'EIO');
  const line = Number(first?.[1] ?? 0);
  return { kind: 'failed', code, message: message.trim(), ...(line > 0 && { line }) };
}
