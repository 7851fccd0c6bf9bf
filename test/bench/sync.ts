// npm run bench:sync – a syncer's start on a large store: 250,000 workload endpoints in pages at one revision, then a watch.
// For etcd and twill-datastore; time, memory of the follower, and the delay of changes afterwards.

import { fork } from 'node:child_process';
import { join } from 'node:path';
import { openStore } from '../../datastore/etcd.ts';
import type { KvStore, Operation } from '../../datastore/kv.ts';
import { startSyncer } from '../../datastore/syncer.ts';
import { Daemon, freePort, startEtcd, temporaryDirectory } from '../system/datastore/processes.ts';

const COUNT = Number(process.env['BENCH_KEYS'] ?? 250_000);
const CHANGES = 5000;
const prefix = '/calico/resources/v3/projectcalico.org/workloadendpoints/';

interface Report {
  readonly seconds: number;
  readonly keys: number;
  readonly rssBeforeMib: number;
  readonly rssAfterMib: number;
  readonly peakMib: number;
  readonly changesSeconds: number;
}

async function main(): Promise<void> {
  const lines: string[] = [];
  for (const name of ['etcd', 'twill-datastore'] as const) {
    const directory = temporaryDirectory();
    const clientPort = await freePort();
    const dataDir = join(directory.path, 'data');
    const program = new URL('../../dist/bin/twill-datastore', import.meta.url).pathname;
    const daemon =
      name === 'etcd'
        ? startEtcd({ dataDir, clientPort, peerPort: await freePort() })
        : new Daemon(program, ['--data-dir', dataDir, '--listen', `127.0.0.1:${clientPort}`]);
    await daemon.answers({ port: clientPort });
    const endpoint = `http://127.0.0.1:${clientPort}`;
    const store = await openStore({ etcdEndpoints: endpoint, requestTimeoutMs: 60_000 });
    const loaded = await timed(() => fill(store, COUNT));
    process.stderr.write(`${name}: ${COUNT} endpoints written in ${loaded.toFixed(1)} s\n`);
    const report = await followInChild(endpoint, store);
    await store.close();
    await daemon.stop();
    directory.remove();
    lines.push(
      `| ${name} | ${report.keys.toLocaleString('en')} | ${report.seconds.toFixed(1)} s | ${report.rssBeforeMib} → ${report.rssAfterMib} MiB (peak ${report.peakMib}) | ${report.changesSeconds.toFixed(2)} s |`,
    );
  }
  process.stdout.write(
    [
      `| store | keys | until in sync | follower's memory | ${CHANGES.toLocaleString('en')} changes, written and seen |`,
      '|---|---:|---:|---|---:|',
      ...lines,
      '',
    ].join('\n'),
  );
}

/** The child follows; once it is in sync, we change what it watches. */
function followInChild(endpoint: string, store: KvStore): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL(import.meta.url).pathname, { execArgv: ['--import', 'tsx'] });
    child.on('message', (message) => {
      if (message === 'in-sync') void fill(store, CHANGES);
      else {
        child.kill();
        resolve(message as Report);
      }
    });
    child.once('error', reject);
    child.send(endpoint);
  });
}

const mib = (bytes: number): number => Math.round(bytes / 1024 / 1024);

async function follow(endpoint: string): Promise<Report> {
  const store = await openStore({ etcdEndpoints: endpoint });
  const rssBeforeMib = mib(process.memoryUsage.rss());
  let peak = 0;
  let updates = 0;
  let changed: () => void = () => {};
  const started = performance.now();
  const syncer = await new Promise<ReturnType<typeof startSyncer>>((resolve) => {
    const created = startSyncer({
      store,
      prefixes: [prefix],
      handlers: {
        onUpdates: (batch) => {
          updates += batch.length;
          peak = Math.max(peak, process.memoryUsage.rss());
          if (updates >= COUNT + CHANGES) changed();
        },
        onStatus: (status) => {
          if (status === 'in-sync') resolve(created);
        },
      },
    });
  });
  const seconds = (performance.now() - started) / 1000;
  const rssAfterMib = mib(process.memoryUsage.rss());
  const changesSeconds = await timed(
    () =>
      new Promise<void>((resolve) => {
        changed = resolve;
        process.send?.('in-sync');
      }),
  );
  return { seconds, keys: syncer.keys, rssBeforeMib, rssAfterMib, peakMib: mib(peak), changesSeconds };
}

async function fill(store: KvStore, count: number): Promise<void> {
  const batches = Math.ceil(count / 100);
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < batches) {
      const batch = next++;
      const then: Operation[] = Array.from({ length: Math.min(100, count - batch * 100) }, (_, i) => ({
        kind: 'put',
        key: `${prefix}default/node--${batch % 5000}-k8s-pod--${batch * 100 + i}-eth0`,
        value: endpointValue(batch * 100 + i),
      }));
      await store.transact({ compare: [], then });
    }
  };
  await Promise.all(Array.from({ length: 8 }, writer));
}

/** About as long as a real one. */
const endpointValue = (i: number): string =>
  JSON.stringify({
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name: `node--${i % 5000}-k8s-pod--${i}-eth0`,
      namespace: 'default',
      uid: `00000000-0000-0000-0000-${String(i).padStart(12, '0')}`,
      creationTimestamp: '2026-11-21T06:00:00Z',
      labels: {
        app: `app-${i % 200}`,
        'projectcalico.org/namespace': 'default',
        'projectcalico.org/orchestrator': 'k8s',
      },
    },
    spec: {
      orchestrator: 'k8s',
      workload: '',
      node: `node-${i % 5000}`,
      pod: `pod-${i}`,
      endpoint: 'eth0',
      ipNetworks: [`10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32`],
      profiles: ['kns.default', 'ksa.default.default'],
      interfaceName: `cali${String(i).padStart(11, '0')}`,
    },
  });

async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return (performance.now() - started) / 1000;
}

if (process.send) {
  process.once('message', (endpoint) => void follow(String(endpoint)).then((report) => process.send?.(report)));
} else await main();
