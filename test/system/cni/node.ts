// The test bed of the CNI tests: a node namespace with the agent inside, pod namespaces, and the plugin executed as a
// runtime does it.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNetns, deleteNetns, listNetns, netnsPath } from '../../../linux/netns.ts';
import { type ProgramResult, runOrThrow, runProgram } from '../../../linux/process.ts';
import { callControl } from '../../../runtime/control.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const tsx = createRequire(import.meta.url).resolve('tsx');

/** How the plugin is started: program and arguments. */
export type Client = readonly [string, ...string[]];

export interface PluginCall {
  readonly command: string;
  readonly pod?: string;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly netns?: string;
  readonly args?: string;
  /** Over the usual network configuration; a text is standard input itself. */
  readonly configuration?: Readonly<Record<string, unknown>> | string;
  /** Variables to leave out. */
  readonly without?: readonly string[];
}

export interface PluginAnswer extends ProgramResult {
  /** Standard output, parsed; undefined when empty. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
}

export class TestNode {
  readonly netns: string;
  readonly runDir: string;
  readonly #name: string;
  readonly #agent: ChildProcess;

  private constructor(name: string, runDir: string, agent: ChildProcess) {
    this.#name = name;
    this.netns = netnsPath(name);
    this.runDir = runDir;
    this.#agent = agent;
  }

  /** Names of its namespaces begin with `tw-cni-`. */
  static async start(): Promise<TestNode> {
    const name = `tw-cni-${process.pid}`;
    for (const left of listNetns().filter((other) => other.startsWith(name))) deleteNetns(left);
    createNetns(name);
    const runDir = mkdtempSync(join(tmpdir(), 'tw-cni-'));
    const args = [`--net=${netnsPath(name)}`, '--', process.execPath, '--import', tsx, join(here, 'agent.ts'), runDir];
    const agent = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [first] = await Promise.race([once(agent.stdout, 'data'), once(agent, 'exit')]);
    assert.equal(String(first), 'ready\n', 'the agent did not start');
    return new TestNode(name, runDir, agent);
  }

  async stop(): Promise<void> {
    this.#agent.kill('SIGTERM');
    await once(this.#agent, 'exit');
    for (const left of listNetns().filter((other) => other.startsWith(this.#name))) deleteNetns(left);
    rmSync(this.runDir, { recursive: true, force: true });
  }

  /** A pod's namespace; its name goes into PluginCall.pod. */
  createPod(pod: string): void {
    createNetns(this.podNetnsName(pod));
  }

  podNetnsName(pod: string): string {
    return `${this.#name}-${pod}`;
  }

  podNetns(pod: string): string {
    return netnsPath(this.podNetnsName(pod));
  }

  deletePod(pod: string): void {
    deleteNetns(this.podNetnsName(pod));
  }

  /** Runs the plugin inside the node's namespace. */
  async plugin(client: Client, call: PluginCall): Promise<PluginAnswer> {
    const { pod = 'web', containerId = `container-${pod}`, ifname = 'eth0' } = call;
    const environment: Record<string, string> = {
      CNI_COMMAND: call.command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: call.netns ?? this.podNetns(pod),
      CNI_IFNAME: ifname,
      CNI_ARGS: call.args ?? `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${pod}`,
      CNI_PATH: '/nowhere',
      TWILL_RUN_DIR: this.runDir,
    };
    for (const name of call.without ?? []) delete environment[name];
    const usual = { cniVersion: '1.1.0', name: 'twill', type: 'twill-cni', ipam: { type: 'twill-ipam' } };
    const input =
      typeof call.configuration === 'string' ? call.configuration : JSON.stringify({ ...usual, ...call.configuration });
    const [file, ...args] = client;
    const result = await runProgram(file, args, { netns: this.netns, env: environment, input });
    return { ...result, json: parseObject(result.stdout) };
  }

  /** Files and sockets that the agent has open. */
  openDescriptors(): number {
    // nsenter becomes the program that it starts.
    return readdirSync(`/proc/${this.#agent.pid}/fd`).length;
  }

  ip(where: string, ...args: string[]): Promise<string> {
    return runOrThrow('nsenter', [`--net=${where}`, '--', 'ip', ...args]);
  }

  /** Interface names of the node, without lo. */
  async links(): Promise<string[]> {
    const lines = (await this.ip(this.netns, '-o', 'link', 'show')).split('\n');
    return lines.map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? '').filter((name) => name !== '' && name !== 'lo');
  }

  /** What the datastore holds, by key. */
  async stored(): Promise<Map<string, string>> {
    const dump = await callControl(`${this.runDir}/control.sock`, '/v1/dump');
    const entries = new Map<string, string>();
    for (const entry of Array.isArray(dump) ? dump : []) {
      const { key, value }: { key: string; value: string } = entry;
      entries.set(key, value);
    }
    return entries;
  }

  /** Keys of endpoints and handles: what is left when something leaked. */
  async owned(): Promise<string[]> {
    return [...(await this.stored()).keys()].filter((key) => /workloadendpoints|\/handle\//.test(key));
  }

  /** Deletes a key behind everybody's back. */
  async lose(key: string): Promise<void> {
    await callControl(`${this.runDir}/control.sock`, '/v1/delete', { body: key });
  }

  async felix(mode: 'well' | 'dead' | 'not-ready' | 'slow'): Promise<void> {
    await callControl(`${this.runDir}/control.sock`, '/v1/felix', { body: mode });
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text === '') return undefined;
  const value: unknown = JSON.parse(text);
  assert.ok(typeof value === 'object' && value !== null, text);
  return Object.fromEntries(Object.entries(value));
}
