// twill-datastore and the bgp child of twill-node as processes, the latter in a bench's namespace.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../../datastore/etcd.ts';
import type { KvStore } from '../../../datastore/kv.ts';
import { affinityKey, isKind, resourceKey } from '../../../datastore/model/index.ts';
import { netnsPath } from '../../../linux/netns.ts';
import { callControl } from '../../../runtime/control.ts';
import type { Bench } from './routers.ts';
import { prefix } from './speaker-in-netns.ts';

export class Agent {
  readonly bench: Bench;
  readonly endpoint: string;
  readonly children: ChildProcess[] = [];
  readonly #store: KvStore;
  #log = '';

  private constructor(bench: Bench, endpoint: string, store: KvStore, datastore: ChildProcess) {
    this.bench = bench;
    this.endpoint = endpoint;
    this.#store = store;
    this.children.push(datastore);
  }

  /** With a running datastore; the agent itself is started by start(). */
  static async prepare(bench: Bench): Promise<Agent> {
    const endpoint = `unix:${join(bench.directory, 'datastore.sock')}`;
    const data = join(bench.directory, 'data');
    const datastore = run(undefined, 'datastore/embedded/main.ts', '--data-dir', data, '--listen', endpoint);
    const agent = new Agent(bench, endpoint, await openStore({ etcdEndpoints: endpoint }), datastore);
    const node = { bgp: { ipv4Address: '10.77.0.1/24', asNumber: 64701 } };
    await eventually(() => agent.put('Node', 'n1', node).then(() => true));
    return agent;
  }

  start(): ChildProcess {
    return this.#start('n1', this.bench.netns, this.bench.directory);
  }

  /** The agent of node n2, on the router's side. */
  startOther(): ChildProcess {
    const directory = join(this.bench.directory, 'n2');
    mkdirSync(directory, { recursive: true });
    return this.#start('n2', netnsPath(this.bench.them), directory);
  }

  #start(node: string, netns: string, directory: string): ChildProcess {
    const words = ['bgp', '--node-name', node, '--run-dir', directory, '--state-dir', directory];
    const child = run(netns, 'agent/main.ts', ...words, '--etcd-endpoints', this.endpoint);
    child.stderr?.on('data', (text) => {
      this.#log += String(text);
    });
    this.children.push(child);
    return child;
  }

  /** The whole of twill-node, with its supervisor. */
  startNode(): ChildProcess {
    const { directory, netns } = this.bench;
    const words = ['--node-name', 'n1', '--run-dir', directory, '--state-dir', directory, '--health-port', '0'];
    const child = run(netns, 'agent/main.ts', ...words, '--etcd-endpoints', this.endpoint);
    this.children.push(child);
    return child;
  }

  async put(
    kind: string,
    name: string,
    spec: object,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    if (!isKind(kind)) throw new Error(kind);
    const value = JSON.stringify({ kind, apiVersion: 'projectcalico.org/v3', metadata: { name, annotations }, spec });
    await this.write(resourceKey({ kind, name }), value);
  }

  async delete(kind: string, name: string): Promise<void> {
    if (!isKind(kind)) throw new Error(kind);
    await this.#store.transact({ compare: [], then: [{ kind: 'delete', key: resourceKey({ kind, name }) }] });
  }

  affinity(block: string, state: string, node = 'n1'): Promise<void> {
    return this.write(affinityKey(node, prefix(block)), JSON.stringify({ state, deleted: false }));
  }

  ask<T>(path: string): Promise<T> {
    return callControl(join(this.bench.directory, 'bgp.sock'), path) as Promise<T>;
  }

  /** What the bgp children that start() and startOther() made have logged since the last call. */
  takeLog(): string {
    const log = this.#log;
    this.#log = '';
    return log;
  }

  async revision(): Promise<number> {
    return (await this.#store.status()).revision;
  }

  async close(): Promise<void> {
    await this.#store.close();
    for (const child of this.children) await this.bench.stop(child, 'SIGKILL');
  }

  async write(key: string, value: string): Promise<void> {
    await this.#store.transact({ compare: [], then: [{ kind: 'put', key, value }] });
  }
}

function run(netns: string | undefined, script: string, ...words: string[]): ChildProcess {
  const node = [process.execPath, '--import', 'tsx', script, ...words];
  const [program = '', ...argv] = netns === undefined ? node : ['nsenter', `--net=${netns}`, '--', ...node];
  const child = spawn(program, argv, {
    stdio: ['ignore', 'ignore', process.env['TWILL_LOG_LEVEL'] ? 'inherit' : 'pipe'],
  });
  // Whoever is not listened to must not wait for it.
  child.stderr?.resume();
  return child;
}

export async function eventually(condition: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${timeoutMs} ms: ${condition} ${String(last ?? '')}`);
}
