// Running other programs. Nothing on a hot path does: this is for fallbacks, tests and the lab.

import { spawn } from 'node:child_process';
import { LinuxError } from './errors.ts';

export interface ProgramOptions {
  /** Written to standard input, which is closed afterwards; without it standard input is empty. */
  readonly input?: string;
  /** Run inside this network namespace, given by path. */
  readonly netns?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Killed with SIGKILL after this long. Default 30,000. */
  readonly timeoutMs?: number;
}

export interface ProgramResult {
  /** Exit status; 128 + signal number is not used: see `signal`. Undefined when killed by a signal. */
  readonly status: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end. A non-zero status is a result; only a program that could not be started (ENOENT, EACCES)
 * rejects, with LinuxError.
 */
export function runProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  // nsenter, not `ip netns exec`: that one unshares the mount namespace and hides cgroup mounts below a new /sys.
  const [program, argv] = options.netns
    ? ['nsenter', [`--net=${options.netns}`, '--', file, ...args]]
    : [file, [...args]];
  return new Promise((resolve, reject) => {
    const child = spawn(program, argv, {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.env && { env: { ...process.env, ...options.env } }),
      ...(options.cwd && { cwd: options.cwd }),
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 30_000);
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    // A program that exits without reading its input gives EPIPE here, which would kill us if nobody listened. Its exit
    // status tells the story.
    child.stdin.on('error', () => {});
    child.on('error', (error) => {
      clearTimeout(timer);
      const code = 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
      reject(new LinuxError(code, `start ${program}`));
    });
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      resolve({
        status: status ?? undefined,
        signal: signal ?? undefined,
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      });
    });
    child.stdin.end(options.input ?? '');
  });
}

/** Runs a program that must succeed, and returns its standard output; otherwise rejects with what it complained of. */
export async function runOrThrow(file: string, args: readonly string[], options?: ProgramOptions): Promise<string> {
  const result = await runProgram(file, args, options);
  if (result.status === 0) return result.stdout;
  const how = result.signal ? `killed by ${result.signal}` : `exit status ${result.status}`;
  throw new LinuxError('EPROGRAM', [file, ...args].join(' '), `${how}: ${(result.stderr || result.stdout).trim()}`);
}
