// A node with all that a real one has, in a network namespace of its own: twill-datastore, and twill-node with felix and bgp.
// For tests in which packets, policy and crashes of the agent matter.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore } from '../../../datastore/etcd.ts';
import type { KvStore } from '../../../datastore/kv.ts';
import { Resources } from '../../../datastore/resources.ts';
import { createNetns, deleteNetns, listNetns, netnsPath } from '../../../linux/netns.ts';
import { type ProgramResult, runOrThrow, runProgram } from '../../../linux/process.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const tsx = createRequire(import.meta.url).resolve('tsx');

export async function eventually(what: string, holds: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export interface Container {
  readonly id: string;
  readonly netns: string;
  /** CNI_ARGS */
  readonly args?: string;
  readonly configuration?: Readonly<Record<string, unknown>>;
}

export class WholeNode {
  readonly name: string;
  readonly netns: string;
  readonly folder: string;
  readonly resources: Resources;
  readonly #client: readonly [string, ...string[]];
  readonly #store: KvStore;
  readonly #datastore: ChildProcess;
  #agent: ChildProcess | undefined;

  private constructor(name: string, folder: string, client: readonly [string, ...string[]], store: KvStore) {
    this.name = name;
    this.netns = netnsPath(name);
    this.folder = folder;
    this.#client = client;
    this.#store = store;
    this.resources = new Resources(store);
    const args = ['--data-dir', join(folder, 'data'), '--listen', this.#endpoint, '--log-level', 'error'];
    this.#datastore = this.#spawn('datastore/embedded/main.ts', args);
  }

  /** Names of its namespaces begin with this name. */
  static async start(name: string, client: readonly [string, ...string[]]): Promise<WholeNode> {
    removeNamespaces(name);
    createNetns(name);
    const folder = mkdtempSync(join(tmpdir(), `${name}-`));
    await runOrThrow('ip', ['link', 'set', 'lo', 'up'], { netns: netnsPath(name) });
    await runOrThrow('ip', ['addr', 'add', '192.0.2.1/32', 'dev', 'lo'], { netns: netnsPath(name) });
    const store = await openStore({ etcdEndpoints: `unix:${folder}/datastore.sock` });
    const node = new WholeNode(name, folder, client, store);
    await node.startAgent();
    return node;
  }

  get #endpoint(): string {
    return `unix:${this.folder}/datastore.sock`;
  }

  get store(): KvStore {
    return this.#store;
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const words = [`--net=${this.netns}`, process.execPath, '--import', tsx, join(root, program), ...args];
    return spawn('nsenter', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  async startAgent(): Promise<void> {
    const where = ['--node-name', 'node-1', '--run-dir', this.folder, '--state-dir', this.folder];
    const what = ['--etcd-endpoints', this.#endpoint, '--ip', '192.0.2.1/32', '--ipv4-pool', '10.65.0.0/16'];
    const quiet = ['--health-port', '0', '--log-level', process.env['TWILL_TEST_LOG'] ?? 'error'];
    this.#agent = this.#spawn('agent/main.ts', [...where, ...what, ...quiet]);
    await eventually('the node takes pods', async () => (await this.cni('STATUS')).status === 0);
  }

  /** kill -9 of the supervisor; its children notice and end. */
  async killAgent(): Promise<void> {
    const agent = this.#agent;
    this.#agent = undefined;
    if (!agent || agent.exitCode !== null) return;
    agent.kill('SIGKILL');
    await once(agent, 'exit');
  }

  /** Process id of one of the agent's children. */
  childPid(role: 'felix' | 'bgp'): number {
    const pid = this.#agent?.pid;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    const found = children.find((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').split('\0').includes(role));
    return Number(found ?? assert.fail(`${role} does not run`));
  }

  async stop(): Promise<void> {
    await this.#store.close();
    for (const child of [this.#agent, this.#datastore]) {
      if (!child || child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const impatience = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(impatience);
    }
    removeNamespaces(this.name);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A namespace for a container. */
  createPod(pod: string): string {
    createNetns(`${this.name}-${pod}`);
    return netnsPath(`${this.name}-${pod}`);
  }

  deletePod(pod: string): void {
    deleteNetns(`${this.name}-${pod}`);
  }

  /** The plugin, as a runtime runs it. */
  cni(command: string, container?: Container): Promise<ProgramResult> {
    const configuration = { cniVersion: '1.1.0', name: 'twill', type: 'twill-cni', ...container?.configuration };
    const [program, ...args] = this.#client;
    return runProgram(program, args, {
      netns: this.netns,
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: container?.id ?? '',
        CNI_NETNS: container?.netns ?? '',
        CNI_IFNAME: 'eth0',
        CNI_ARGS: container?.args ?? '',
        CNI_PATH: '/nowhere',
        TWILL_RUN_DIR: this.folder,
      },
      input: JSON.stringify(configuration),
    });
  }

  /** ADD; the address that the container got. */
  async add(container: Container): Promise<string> {
    const { status, stdout, stderr } = await this.cni('ADD', container);
    assert.equal(status, 0, stdout + stderr);
    return addressIn(stdout);
  }

  async pings(from: string, address: string): Promise<boolean> {
    return (await runProgram('ping', ['-c1', '-W1', address], { netns: from })).status === 0;
  }

  /** What is left of containers: endpoints, handles, host sides of links, and addresses in blocks. */
  async leftovers(): Promise<string[]> {
    const under = async (prefix: string): Promise<string[]> =>
      (await this.#store.list(prefix, { keysOnly: true })).entries.map(({ key }) => key);
    const links = await runOrThrow('ip', ['-o', 'link', 'show', 'type', 'veth'], { netns: this.netns });
    const blocks = (await this.#store.list('/calico/ipam/v2/assignment/')).entries;
    return [
      ...(await under('/calico/resources/v3/projectcalico.org/workloadendpoints/')),
      ...(await under('/calico/ipam/v2/handle/')),
      ...links.split('\n').filter((line) => /cali|twill/.test(line)),
      ...blocks.filter(({ value }) => value.includes('"handle_id"')).map(({ key }) => key),
    ];
  }
}

export function addressIn(result: string): string {
  const { ips }: { ips: readonly { address: string }[] } = JSON.parse(result);
  return ips[0]?.address.split('/')[0] ?? assert.fail(result);
}

function removeNamespaces(name: string): void {
  for (const left of listNetns()) if (left === name || left.startsWith(`${name}-`)) deleteNetns(left);
}
