// Running programs: to their end (`run`, `must`), and waiting for a condition (`waitFor`).

import { spawn } from 'node:child_process';
import { namespaceOf } from './topology.ts';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Machine or pod (without the prefix) whose network namespace the program runs in. */
  readonly inside?: string;
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** nsenter and not `ip netns exec`: the latter mounts a new /sys, without the cgroups. */
export const inside = (name: string, command: readonly string[]): string[] => [
  'nsenter',
  `--net=/run/netns/${namespaceOf(name)}`,
  ...command,
];

export async function run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const [program = '', ...rest] = options.inside === undefined ? command : inside(options.inside, command);
  return await new Promise((resolve) => {
    const child = spawn(program, rest, { env: { ...process.env, ...options.environment } });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 30_000);
    const finish = (code: number, note = ''): void => {
      clearTimeout(timer);
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() + note });
    };
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', (error) => finish(127, error.message));
    child.on('close', (code, signal) => finish(code ?? 128, signal ? `ended by ${signal}` : ''));
    // The program may end without reading its input.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}

/** Standard output; throws with the program's own words when it fails. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await run(command, options);
  if (outcome.code !== 0) {
    const where = options.inside === undefined ? '' : ` in ${options.inside}`;
    throw new CommandError(
      `\`${command.join(' ')}\`${where} ended with ${outcome.code}: ${(outcome.stderr || outcome.stdout).trim()}`,
    );
  }
  return outcome.stdout;
}

/** Many `ip` commands in one namespace, by one process. */
export async function ipBatch(machine: string, lines: readonly string[]): Promise<void> {
  await must(['ip', '-n', namespaceOf(machine), '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly everyMs?: number;
}

/** Asks until the answer is not undefined; undefined when the time is over. Answers that throw count as "not yet". */
export async function poll<T>(ask: () => Promise<T | undefined>, options: WaitOptions): Promise<T | undefined> {
  const deadline = Date.now() + options.timeoutMs;
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    if (Date.now() >= deadline) return undefined;
    await sleep(options.everyMs ?? 50);
  }
}

/** Like poll, for a yes or no; true when it became so in time. */
export const waitFor = async (ask: () => Promise<boolean>, options: WaitOptions): Promise<boolean> =>
  (await poll(async () => ((await ask()) ? true : undefined), options)) === true;
