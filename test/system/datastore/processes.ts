// Starts the stores that the tests need, each with a directory and addresses of its own, and stops them.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../datastore/until.ts';

/** What still runs when this process ends, after a failure perhaps, ends with it. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A process that a test owns. */
export class Daemon {
  readonly child: ChildProcess;
  readonly #output: string[] = [];

  constructor(command: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    this.child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    running.add(this.child);
    this.child.once('exit', () => running.delete(this.child));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => {
        this.#output.push(chunk);
        if (this.#output.length > 2000) this.#output.shift();
      });
    }
  }

  get output(): string {
    return this.#output.join('');
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Resolves with the exit code, null after a signal. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.running) {
      const exited = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill(signal);
      await exited;
    }
    return this.child.exitCode;
  }

  async answers(host: { readonly port: number } | { readonly path: string }, timeoutMs = 15_000): Promise<void> {
    await until(
      async () => {
        if (!this.running) throw new Error(`${this.child.spawnfile} ended:\n${this.output}`);
        return canConnect(host);
      },
      `${this.child.spawnfile} to answer`,
      timeoutMs,
    );
  }
}

function canConnect(where: { readonly port: number } | { readonly path: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = 'port' in where ? connect({ host: '127.0.0.1', port: where.port }) : connect(where);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'tw-store-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

export interface EtcdOptions {
  readonly dataDir: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly name?: string;
  /** name=http://127.0.0.1:port,… of all members; a cluster of one when absent. */
  readonly cluster?: string;
  readonly extra?: readonly string[];
  readonly scheme?: 'http' | 'https';
}

/** A real etcd, not yet answering. */
export function startEtcd(options: EtcdOptions): Daemon {
  const name = options.name ?? 'one';
  const client = `${options.scheme ?? 'http'}://127.0.0.1:${options.clientPort}`;
  const peer = `http://127.0.0.1:${options.peerPort}`;
  return new Daemon('etcd', [
    ...['--name', name, '--data-dir', options.dataDir, '--logger', 'zap', '--log-level', 'warn'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...['--initial-cluster', options.cluster ?? `${name}=${peer}`],
    ...(options.extra ?? []),
  ]);
}

const sourceRoot = new URL('../../../', import.meta.url).pathname;

/** twill-datastore from the sources, not yet answering. */
export function startTwillDatastore(options: {
  readonly dataDir: string;
  readonly listen: string;
  readonly extra?: readonly string[];
}): Daemon {
  return new Daemon(process.execPath, [
    ...['--import', 'tsx', join(sourceRoot, 'datastore/embedded/main.ts')],
    ...['--data-dir', options.dataDir, '--listen', options.listen, ...(options.extra ?? [])],
  ]);
}
