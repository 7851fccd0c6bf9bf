// twillctl: the command line for people and scripts.

import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { runProgram } from './program.ts';
import { CommandError } from './world.ts';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever reads us may stop early, as `head` does.
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`twillctl: standard output: ${error.message}\n`);
  process.exit(1);
});

runProgram(process.argv.slice(2), {
  environment: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  readStdin,
  readFile: (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw new CommandError(`open ${path}: ${reasonOf(error)}`);
    }
  },
  openStore: async (settings) => (await import('../datastore/etcd-brief.ts')).openBriefStore(settings),
  interrupted: () =>
    new Promise((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    }),
  // The editor may be given with arguments, as in EDITOR="code --wait".
  runEditor: (editor, file) => spawnSync('sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' }).status ?? 1,
  runForeground,
  author: authorName(),
  progress: process.stderr.isTTY === true,
  colours: process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined,
}).then((exitCode) => {
  process.exitCode = exitCode;
});

/** Runs a program in our place as well as Node can: our streams, our signals, its exit code. */
function runForeground(
  program: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const child = spawn(program, words, { stdio: 'inherit', env: { ...process.env, ...environment } });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

function authorName(): string {
  try {
    return `${userInfo().username}@${hostname()} with twillctl`;
  } catch {
    // A user id without a name, as in many containers.
    return `uid ${process.getuid?.() ?? '?'}@${hostname()} with twillctl`;
  }
}

/** As a stream: whoever feeds us may have made the pipe non-blocking. */
async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'EACCES':
      return 'permission denied';
    case 'EISDIR':
      return 'is a directory';
    case 'ENOTDIR':
      return 'a part of the path is not a directory';
    case 'ERR_STRING_TOO_LONG':
    case 'ERR_FS_FILE_TOO_LARGE':
      return 'is too large; split it';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
