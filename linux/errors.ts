// Errors of system calls and of netlink, with the kernel's own name for them.

import { constants } from 'node:os';

const namesByErrno = new Map<number, string>(Object.entries(constants.errno).map(([name, errno]) => [errno, name]));

/** Linux's numbers that Node's table lacks. */
const furtherNames: Readonly<Record<number, string>> = {
  50: 'ENOCSI',
  77: 'EBADFD',
  85: 'ERESTART',
  94: 'ESOCKTNOSUPPORT',
  96: 'EPFNOSUPPORT',
  108: 'ESHUTDOWN',
  112: 'EHOSTDOWN',
};

/** "ENOENT" for 2; "E<number>" for one that has no name here. */
export const errnoName = (errno: number): string => namesByErrno.get(errno) ?? furtherNames[errno] ?? `E${errno}`;

/** Gone by themselves, or by trying again after a rest. */
const retryableCodes: ReadonlySet<string> = new Set([
  'EAGAIN',
  'EINTR',
  'EBUSY',
  'ENOBUFS',
  'ENOMEM',
  'EMFILE',
  'ENFILE',
  'ETIMEDOUT',
]);

/** A system call or a netlink request failed. */
export class LinuxError extends Error {
  override readonly name = 'LinuxError';
  /** "ENOENT", "EEXIST" … */
  readonly code: string;
  /** What was tried: "setns", "RTM_NEWROUTE 10.0.0.0/26" … */
  readonly operation: string;
  readonly retryable: boolean;

  constructor(code: string, operation: string, detail?: string) {
    super(detail ? `${operation}: ${code}: ${detail}` : `${operation}: ${code}`);
    this.code = code;
    this.operation = operation;
    this.retryable = retryableCodes.has(code);
  }
}

/** True for a LinuxError, or one of Node's own system errors, with one of these codes. */
export const hasCode = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
