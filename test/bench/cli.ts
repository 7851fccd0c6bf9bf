// How long twillctl takes from start to exit, as whoever types it waits: on etcd and on the embedded store, beside an empty
// Node program and etcdctl, in turns in the same run.
//
//     npm run build && npm run bench:cli [-- <rounds>]

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  type Daemon,
  freePort,
  startEtcd,
  startTwillDatastore,
  temporaryDirectory,
} from '../system/datastore/processes.ts';

const twillctl = fileURLToPath(new URL('../../dist/bin/twillctl', import.meta.url));
const node = `
apiVersion: projectcalico.org/v3
kind: Node
metadata:
  name: n1
spec:
  bgp:
    ipv4Address: 10.0.0.1/24
`;

interface Contender {
  readonly what: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly endpoints?: string;
}

const rounds = Number(process.argv[2] ?? 30);
const directory = temporaryDirectory();
const daemons: Daemon[] = [];
try {
  const clientPort = await freePort();
  const etcd = startEtcd({ dataDir: `${directory.path}/etcd`, clientPort, peerPort: await freePort() });
  const socket = `${directory.path}/datastore.sock`;
  const embedded = startTwillDatastore({ dataDir: `${directory.path}/embedded`, listen: `unix:${socket}` });
  daemons.push(etcd, embedded);
  await etcd.answers({ port: clientPort });
  await embedded.answers({ path: socket });
  measure([`http://127.0.0.1:${clientPort}`, `unix:${socket}`]);
} finally {
  for (const daemon of daemons) await daemon.stop();
  directory.remove();
}

function measure([etcd = '', embedded = '']: readonly string[]): void {
  const get = ['get', 'nodes'];
  const contenders: readonly Contender[] = [
    { what: 'node -e 0', command: process.execPath, args: ['-e', '0'] },
    { what: 'etcdctl get KEY', command: 'etcdctl', args: ['--endpoints', etcd, 'get', '/calico/x'] },
    { what: 'twillctl version --client', command: twillctl, args: ['version', '--client'] },
    { what: 'twillctl get nodes, etcd', command: twillctl, args: get, endpoints: etcd },
    { what: 'twillctl get nodes, twill-datastore', command: twillctl, args: get, endpoints: embedded },
    { what: 'twillctl get nodes -o yaml, etcd', command: twillctl, args: [...get, '-o', 'yaml'], endpoints: etcd },
    { what: 'twillctl apply -f - (YAML), etcd', command: twillctl, args: ['apply', '-f', '-'], endpoints: etcd },
  ];
  for (const endpoints of [etcd, embedded])
    run({ what: 'set up', command: twillctl, args: ['apply', '-f', '-'], endpoints });
  const times = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, one] of contenders.entries()) times[i]?.push(run(one));
  }
  console.log(`| ${rounds} runs, in turns; milliseconds | min | median | max |\n|---|---:|---:|---:|`);
  for (const [i, { what }] of contenders.entries()) {
    const sorted = (times[i] ?? []).sort((a, b) => a - b);
    const at = (part: number): string => (sorted[Math.round((sorted.length - 1) * part)] ?? 0).toFixed(0);
    console.log(`| ${what} | ${at(0)} | ${at(0.5)} | ${at(1)} |`);
  }
}

function run({ what, command, args, endpoints = '' }: Contender): number {
  const started = performance.now();
  const { status, stderr } = spawnSync(command, args, {
    input: node,
    env: { ...process.env, ETCD_ENDPOINTS: endpoints },
  });
  if (status !== 0) throw new Error(`${what}: ${stderr.toString()}`);
  return performance.now() - started;
}
