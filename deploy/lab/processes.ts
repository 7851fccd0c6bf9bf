// Programs that stay: started in a namespace, logging to a file, and started again when they should be.

import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { assertOpen, isAlive, isOpen, labDirectory, labMark, markedProcesses } from './journal.ts';
import { inside, sleep } from './shell.ts';

export interface Service {
  readonly name: string;
  readonly inside: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Running {
  readonly service: Service;
  readonly pid: number;
  /** Resolves once it has ended, with the exit code or the signal's name. */
  readonly ended: Promise<string>;
}

export const logFileOf = (service: Pick<Service, 'name'>): string => join(labDirectory, 'log', `${service.name}.log`);

/** Starts it in a process group of its own, so that Ctrl-C in the terminal reaches the lab alone. */
export function start(service: Service): Running {
  assertOpen();
  const logFile = logFileOf(service);
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a');
  const [program = '', ...rest] = inside(service.inside, service.command);
  const child = spawn(program, rest, {
    stdio: ['ignore', log, log],
    detached: true,
    env: { ...process.env, ...service.environment, [labMark]: labDirectory },
  });
  closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  return { service, pid: child.pid ?? -1, ended };
}

/** The last lines that a service has logged: for messages about its failure. */
export function logTail(service: Pick<Service, 'name'>, lines = 5): string {
  try {
    return readFileSync(logFileOf(service), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log)';
  }
}

/** A service that is started again a moment after it ended, as systemd would with Restart=always. */
export class Kept {
  readonly service: Service;
  #running: Running;
  #stopped = false;

  constructor(service: Service, restartAfterMs: number) {
    this.service = service;
    this.#running = this.#launch(restartAfterMs);
  }

  get pid(): number {
    return this.#running.pid;
  }

  /** From now on it stays down when it ends. */
  release(): void {
    this.#stopped = true;
  }

  #launch(restartAfterMs: number): Running {
    const running = start(this.service);
    void running.ended.then(async () => {
      await sleep(restartAfterMs);
      if (this.#stopped || !isOpen()) return;
      this.#running = this.#launch(restartAfterMs);
    });
    return running;
  }
}

/** The process and all its descendants. */
export function familyOf(pid: number): number[] {
  const family = [pid];
  for (const parent of family) {
    try {
      const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
      if (children !== '') family.push(...children.split(' ').map(Number));
    } catch {
      // Gone meanwhile.
    }
  }
  return family;
}

export function kill(pids: readonly number[], signal: NodeJS.Signals = 'SIGKILL'): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // Gone meanwhile.
    }
  }
}

/** Ends every process of the lab, and returns when the last one is gone. */
export async function endAllProcesses(): Promise<number> {
  const seen = new Set<number>();
  // Again until none is left: one of them may be starting another right now.
  for (;;) {
    const pids = markedProcesses().filter(isAlive);
    if (pids.length === 0) return seen.size;
    for (const pid of pids) seen.add(pid);
    kill(pids);
    await sleep(20);
  }
}
