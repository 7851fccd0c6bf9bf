// The lab's side of a probe: start it in a namespace, ask it.

import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { labDirectory } from '../journal.ts';
import { logTail, type Running, start } from '../processes.ts';
import { waitFor } from '../shell.ts';
import { ports } from '../topology.ts';
import type { ConnectResult, FloodResult, Received, Request, Target, WatchResult } from './protocol.ts';

export class Probe {
  /** Of the machine or pod: also the namespace's name without its prefix. */
  readonly name: string;
  readonly #socket: string;

  constructor(name: string) {
    this.name = name;
    this.#socket = join(labDirectory, 'probe', `${name}.sock`);
  }

  /** Runs the probe in its namespace and returns when it answers. */
  async start(): Promise<Running> {
    mkdirSync(dirname(this.#socket), { recursive: true });
    const file = fileURLToPath(new URL('./main.ts', import.meta.url));
    const loader = file.endsWith('.ts') ? ['--import', 'tsx'] : [];
    const service = {
      name: `probe-${this.name}`,
      inside: this.name,
      command: [process.execPath, ...loader, file, this.name.replace(/^pod-/, ''), this.#socket, ...ports.map(String)],
    };
    const running = start(service);
    const answers = await waitFor(async () => (await this.received()) !== undefined, { timeoutMs: 10_000 });
    if (!answers) throw new Error(`the probe in ${this.name} does not answer: ${logTail(service)}`);
    return running;
  }

  connect(targets: readonly Target[], timeoutMs = 700): Promise<ConnectResult[]> {
    return this.#ask({ kind: 'connect', targets, timeoutMs }) as Promise<ConnectResult[]>;
  }

  async watch(target: Target, everyMs = 5, timeoutMs = 700): Promise<void> {
    await this.#ask({ kind: 'watch', target, everyMs, timeoutMs });
  }

  stopWatch(): Promise<WatchResult> {
    return this.#ask({ kind: 'stop' }) as Promise<WatchResult>;
  }

  async flood(addresses: readonly string[], port: number, everyMs: number): Promise<void> {
    await this.#ask({ kind: 'flood', addresses, port, everyMs });
  }

  stopFlood(): Promise<FloodResult> {
    return this.#ask({ kind: 'stop' }) as Promise<FloodResult>;
  }

  received(): Promise<Received[]> {
    return this.#ask({ kind: 'received' }) as Promise<Received[]>;
  }

  #ask(request: Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let text = '';
      const socket = connect(this.#socket);
      socket.on('error', reject);
      socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
      socket.on('data', (chunk) => {
        text += chunk.toString();
        if (!text.endsWith('\n')) return;
        socket.destroy();
        resolve(JSON.parse(text));
      });
      socket.on('close', () => reject(new Error(`the probe in ${this.name} hung up`)));
    });
  }
}
