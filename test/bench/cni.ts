// How long a pod takes to be attached and detached: twill-cni with policy in the kernel and a durable datastore, beside
// the Go plugins bridge + host-local, which have neither. Both are executed as a runtime does it, one after the other in
// the same run, then many at a time.
//
//     npm run build && npm run bench:cni [-- <pods> [<rounds>]]
//
// BENCH_LOG=debug makes the agent say where the time of each ADD goes.
//
// Everything runs in a network namespace of its own: this program starts itself again inside it.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNetns, deleteNetns, listNetns, netnsPath } from '../../linux/netns.ts';
import { type ProgramResult, runOrThrow, runProgram } from '../../linux/process.ts';

const self = fileURLToPath(import.meta.url);
const bin = fileURLToPath(new URL('../../dist/bin/', import.meta.url));
const goPlugins = '/usr/lib/cni';
const prefix = 'tw-cnibench';
const parallelRounds = 3;

interface Plugin {
  readonly name: string;
  readonly program: string;
  readonly configuration: string;
}

async function main(): Promise<void> {
  const [pods = '50', rounds = pods, folder] = process.argv.slice(2);
  if (folder === undefined) await outside(pods, rounds);
  else await inside(Number(pods), Number(rounds), folder);
}

async function outside(pods: string, rounds: string): Promise<void> {
  for (const needed of [join(bin, 'twill-node'), join(goPlugins, 'bridge')]) {
    if (!existsSync(needed)) {
      console.error(`${needed} is missing: npm run build; apt-get install containernetworking-plugins`);
      process.exitCode = 1;
      return;
    }
  }
  removeNamespaces();
  createNetns(prefix);
  const folder = mkdtempSync(join(tmpdir(), `${prefix}-`));
  try {
    const tsx = createRequire(import.meta.url).resolve('tsx');
    const child = spawn(
      'nsenter',
      [`--net=${netnsPath(prefix)}`, process.execPath, '--import', tsx, self, pods, rounds, folder],
      {
        stdio: 'inherit',
      },
    );
    process.exitCode = await new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
  } finally {
    removeNamespaces();
    rmSync(folder, { recursive: true, force: true });
  }
}

function removeNamespaces(): void {
  for (const name of listNetns()) if (name.startsWith(prefix)) deleteNetns(name);
}

async function inside(count: number, rounds: number, folder: string): Promise<void> {
  const services = await startNode(folder);
  try {
    const plugins: Plugin[] = [
      {
        name: 'twill-cni',
        program: join(bin, 'twill-cni'),
        configuration: JSON.stringify({ cniVersion: '1.0.0', name: 'twill', type: 'twill-cni' }),
      },
      {
        name: 'bridge + host-local',
        program: join(goPlugins, 'bridge'),
        configuration: JSON.stringify({
          cniVersion: '1.0.0',
          name: 'bench',
          type: 'bridge',
          bridge: 'twbench0',
          isGateway: true,
          ipam: {
            type: 'host-local',
            ranges: [[{ subnet: '10.99.0.0/16' }]],
            routes: [{ dst: '0.0.0.0/0' }],
            dataDir: folder,
          },
        }),
      },
    ];
    await untilReady(plugins[0], folder);
    for (const plugin of plugins) await measure(plugin, 1, folder);
    const rows = [['one at a time', '', 'p50 ms', 'p99 ms']];
    const alone = new Map(plugins.map((plugin) => [plugin, { add: [] as number[], del: [] as number[] }]));
    for (let round = 0; round < rounds; round++) {
      for (const plugin of plugins) {
        const { add, del } = await measure(plugin, 1, folder);
        alone.get(plugin)?.add.push(...add);
        alone.get(plugin)?.del.push(...del);
      }
    }
    for (const [{ name }, times] of alone) rows.push(...rowsOf(name, times));
    rows.push([`${count} at a time`, '', 'p50 ms', 'p99 ms']);
    const together = new Map(plugins.map((plugin) => [plugin, { add: [] as number[], del: [] as number[] }]));
    for (let round = 0; round < parallelRounds; round++) {
      for (const plugin of plugins) {
        const { add, del } = await measure(plugin, count, folder);
        together.get(plugin)?.add.push(...add);
        together.get(plugin)?.del.push(...del);
      }
    }
    for (const [{ name }, times] of together) rows.push(...rowsOf(name, times));
    print(rows);
  } finally {
    for (const service of services) service.kill('SIGTERM');
  }
}

async function startNode(folder: string): Promise<ChildProcess[]> {
  await runOrThrow('ip', ['link', 'set', 'lo', 'up']);
  await runOrThrow('ip', ['addr', 'add', '192.0.2.1/32', 'dev', 'lo']);
  const socket = `unix:${folder}/datastore.sock`;
  const stdio: ['ignore', 'inherit', 'inherit'] = ['ignore', 'inherit', 'inherit'];
  const quiet = ['--log-level', process.env['BENCH_LOG'] ?? 'error'];
  const store = spawn(
    join(bin, 'twill-datastore'),
    ['--data-dir', join(folder, 'data'), '--listen', socket, ...quiet],
    { stdio },
  );
  const args = ['--node-name', 'bench', '--run-dir', folder, '--state-dir', folder, '--etcd-endpoints', socket];
  const options = ['--ip', '192.0.2.1/32', '--ipv4-pool', '10.65.0.0/16', '--health-port', '0', ...quiet];
  const node = spawn(join(bin, 'twill-node'), [...args, ...options], { stdio });
  return [node, store];
}

const resources = `
apiVersion: projectcalico.org/v3
kind: Profile
metadata: { name: kns.bench }
spec: { ingress: [{ action: Allow }], egress: [{ action: Allow }] }
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: web }
spec:
  selector: app == "web"
  types: [Ingress]
  ingress:
    - { action: Allow, protocol: TCP, source: { selector: app == "client" }, destination: { ports: [80] } }
`;

async function untilReady(plugin: Plugin | undefined, folder: string): Promise<void> {
  if (!plugin) return;
  const deadline = Date.now() + 20_000;
  for (;;) {
    const status = await runProgram(plugin.program, [], {
      env: { CNI_COMMAND: 'STATUS', TWILL_RUN_DIR: folder },
      input: plugin.configuration.replace('1.0.0', '1.1.0'),
    });
    if (status.status === 0) break;
    if (Date.now() > deadline) throw new Error(`twill-node does not get ready: ${status.stdout}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'resources.yaml'), resources);
  const env = { ETCD_ENDPOINTS: `unix:${folder}/datastore.sock` };
  await runOrThrow(join(bin, 'twillctl'), ['apply', '-f', join(folder, 'resources.yaml')], { env });
}

/** Attaches this many pods at the same time, then detaches them; milliseconds of each. */
async function measure(plugin: Plugin, pods: number, folder: string): Promise<{ add: number[]; del: number[] }> {
  const names = Array.from({ length: pods }, (_, i) => `${prefix}-${i}`);
  for (const name of names) createNetns(name);
  const add = await Promise.all(names.map((name) => timed(plugin, 'ADD', name, folder)));
  const del = await Promise.all(names.map((name) => timed(plugin, 'DEL', name, folder)));
  for (const name of names) deleteNetns(name);
  return { add, del };
}

async function timed(plugin: Plugin, command: string, pod: string, folder: string): Promise<number> {
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: pod,
    CNI_NETNS: netnsPath(pod),
    CNI_IFNAME: 'eth0',
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=${pod}`,
    CNI_PATH: goPlugins,
    TWILL_RUN_DIR: folder,
  };
  const started = performance.now();
  const result: ProgramResult = await runProgram(plugin.program, [], { env, input: plugin.configuration });
  const elapsed = performance.now() - started;
  if (result.status !== 0) throw new Error(`${plugin.name} ${command}: ${result.stdout}${result.stderr}`);
  return elapsed;
}

function rowsOf(name: string, { add, del }: { add: number[]; del: number[] }): string[][] {
  return [
    [name, 'ADD', percentile(add, 50), percentile(add, 99)],
    ['', 'DEL', percentile(del, 50), percentile(del, 99)],
  ];
}

function percentile(values: readonly number[], percent: number): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.ceil((percent / 100) * sorted.length) - 1);
  return (sorted[at] ?? Number.NaN).toFixed(1);
}

function print(rows: readonly (readonly string[])[]): void {
  for (const [name = '', command = '', p50 = '', p99 = ''] of rows) {
    console.log(`${name.padEnd(22)} ${command.padEnd(4)} ${p50.padStart(8)} ${p99.padStart(8)}`);
  }
}

await main();
