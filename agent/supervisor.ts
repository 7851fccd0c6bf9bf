// Keeps the felix and bgp children alive. A crash of one leaves the other running, and nothing that forwards packets
// depends on any of them.
//
// A child is this same program with the role as its first argument. The IPC channel between us carries no messages: it
// tells a child that its supervisor is gone, by closing, even after kill -9.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Logger } from '../runtime/log.ts';
import { afterDeath, type RestartState } from './restart.ts';

export type Role = 'felix' | 'bgp';

export interface ChildStatus {
  readonly role: Role;
  readonly pid: number | undefined;
  readonly restarts: number;
  readonly lastExit: string | undefined;
}

export interface Supervisor {
  status(): readonly ChildStatus[];
  /** Ends the children in order and resolves when they are gone; one that does not end within the time is killed. */
  stop(timeoutMs: number): Promise<void>;
}

/** `argv`: the program's own arguments, passed on to the children. */
export function superviseChildren(roles: readonly Role[], argv: readonly string[], log: Logger): Supervisor {
  const children = roles.map((role) => new Child(role, argv, log.child({ child: role })));
  for (const child of children) child.start();
  return {
    status: () => children.map((child) => child.status()),
    stop: async (timeoutMs) => {
      await Promise.all(children.map((child) => child.stop(timeoutMs)));
    },
  };
}

class Child {
  readonly #role: Role;
  readonly #argv: readonly string[];
  readonly #log: Logger;
  #process: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #restart: RestartState = { quickDeaths: 0 };
  #restarts = 0;
  #lastExit: string | undefined;
  #stopping = false;

  constructor(role: Role, argv: readonly string[], log: Logger) {
    this.#role = role;
    this.#argv = argv;
    this.#log = log;
  }

  status(): ChildStatus {
    return { role: this.#role, pid: this.#process?.pid, restarts: this.#restarts, lastExit: this.#lastExit };
  }

  start(): void {
    const startedAt = performance.now();
    const program = process.argv[1] ?? '';
    const child = spawn(process.execPath, [...process.execArgv, program, this.#role, ...this.#argv], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process = child;
    this.#log.info({ childPid: child.pid }, 'child started');
    const onEnd = (exit: string): void => {
      if (this.#process !== child) return;
      this.#process = undefined;
      this.#lastExit = exit;
      if (!this.#stopping) this.#startAgain(exit, performance.now() - startedAt);
    };
    child.once('error', (error) => onEnd(error.message));
    child.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`));
  }

  #startAgain(exit: string, livedMs: number): void {
    const { state, delayMs } = afterDeath(this.#restart, livedMs);
    this.#restart = state;
    this.#restarts++;
    this.#log.error({ exit, livedMs: Math.round(livedMs), delayMs }, 'child ended, starting it again');
    this.#timer = setTimeout(() => this.start(), delayMs);
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    await gone;
    clearTimeout(timer);
  }
}

/** For a child: calls back once when the supervisor is gone. Does nothing in a process that has no supervisor. */
export function onSupervisorGone(callback: () => void): void {
  if (process.connected !== true) return;
  process.once('disconnect', callback);
  // The channel alone must not keep a child alive.
  process.channel?.unref();
}
