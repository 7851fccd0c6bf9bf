// Keeps the felix and bgp children alive, and bfd once another child has asked for it. A crash of one leaves the other running, and nothing that forwards packets
// depends on any of them.
//
// A child is this same program with the role as its first argument. The IPC channel between us tells a child that its
// supervisor is gone, by closing, even after kill -9; the only message on it is a child's wish for another one.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Logger } from '../runtime/log.ts';
import { afterDeath, type RestartState } from './restart.ts';

export type Role = 'felix' | 'bgp' | 'bfd';

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

export interface Roles {
  readonly always: readonly Role[];
  /** Started when a child asks for them; one that ends with code 0 is not started again until then. */
  readonly onDemand: readonly Role[];
}

/** `argv`: the program's own arguments, passed on to the children. */
export function superviseChildren(roles: Roles, argv: readonly string[], log: Logger): Supervisor {
  const onWish = (wish: unknown): void => {
    for (const child of children) if (isWishFor(child.role, wish)) child.wake();
  };
  const childOf = (role: Role, onDemand: boolean): Child =>
    new Child({ role, onDemand, argv, log: log.child({ child: role }), onWish });
  const always = roles.always.map((role) => childOf(role, false));
  const children = [...always, ...roles.onDemand.map((role) => childOf(role, true))];
  for (const child of always) child.start();
  return {
    status: () => children.filter((child) => child.wasStarted).map((child) => child.status()),
    // Those on demand serve the others: BFD must not fall silent while BGP's connections are up.
    stop: async (timeoutMs) => {
      await Promise.all(always.map((child) => child.stop(timeoutMs)));
      await Promise.all(children.map((child) => child.stop(timeoutMs)));
    },
  };
}

/** For a child: asks the supervisor for another one. */
export function askForChild(role: Role): void {
  if (process.connected === true) process.send?.({ need: role });
}

const isWishFor = (role: Role, wish: unknown): boolean =>
  typeof wish === 'object' && wish !== null && 'need' in wish && wish.need === role;

interface ChildOptions {
  readonly role: Role;
  readonly onDemand: boolean;
  readonly argv: readonly string[];
  readonly log: Logger;
  readonly onWish: (wish: unknown) => void;
}

class Child {
  readonly role: Role;
  readonly #options: ChildOptions;
  readonly #log: Logger;
  #process: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #restart: RestartState = { quickDeaths: 0 };
  #restarts = 0;
  #lastExit: string | undefined;
  #stopping = false;

  constructor(options: ChildOptions) {
    this.role = options.role;
    this.#options = options;
    this.#log = options.log;
  }

  get wasStarted(): boolean {
    return this.#process !== undefined || this.#lastExit !== undefined;
  }

  /** Starts it unless it runs, or will soon. */
  wake(): void {
    if (this.#process || this.#timer || this.#stopping) return;
    this.start();
  }

  status(): ChildStatus {
    return { role: this.role, pid: this.#process?.pid, restarts: this.#restarts, lastExit: this.#lastExit };
  }

  start(): void {
    this.#timer = undefined;
    const startedAt = performance.now();
    const program = process.argv[1] ?? '';
    const child = spawn(process.execPath, [...process.execArgv, program, this.role, ...this.#options.argv], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process = child;
    this.#log.info({ childPid: child.pid }, 'child started');
    child.on('message', this.#options.onWish);
    const onEnd = (exit: string, isOver = false): void => {
      if (this.#process !== child) return;
      this.#process = undefined;
      this.#lastExit = exit;
      if (!this.#stopping && !(isOver && this.#options.onDemand)) this.#startAgain(exit, performance.now() - startedAt);
    };
    child.once('error', (error) => onEnd(error.message));
    child.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`, code === 0));
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
