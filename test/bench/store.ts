// npm run bench:store – twill-datastore beside etcd, in one run on one machine, and a table for docs/benchmarks/store.md.
//
//     this process ─► a process with the clients (grpc-load.ts), a connection each ─► server
//
// Both servers write to the same file system and call fdatasync before they acknowledge. Each row is run for both in turn,
// several times, and the median is shown.

import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { MessageWriter } from '../../datastore/protobuf.ts';
import {
  type Daemon,
  freePort,
  Daemon as Process,
  startEtcd,
  temporaryDirectory,
} from '../system/datastore/processes.ts';
import { callInLoop } from './grpc-load.ts';

interface Row {
  readonly title: string;
  readonly unit: string;
  readonly job: string;
  readonly clients: number;
  readonly seconds: number;
}

const rows: readonly Row[] = [
  { title: 'single puts, 1 client', unit: 'puts/s', job: 'put', clients: 1, seconds: 3 },
  { title: 'single puts, 64 clients', unit: 'puts/s', job: 'put', clients: 64, seconds: 4 },
  { title: 'single puts, 256 clients', unit: 'puts/s', job: 'put', clients: 256, seconds: 4 },
  { title: 'compare-and-swap, 64 clients', unit: 'txns/s', job: 'swap', clients: 64, seconds: 4 },
  { title: 'transactions of 100 puts, 8 clients', unit: 'keys/s', job: 'hundred', clients: 8, seconds: 4 },
  { title: 'gets, 64 clients', unit: 'gets/s', job: 'get', clients: 64, seconds: 3 },
  { title: 'pages of 2,000 keys, 1 client', unit: 'keys/s', job: 'list', clients: 1, seconds: 3 },
];

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);

if (process.send) {
  process.on('message', (message: { port: number; job: string; clients: number; seconds: number }) => {
    void work(message).then((result) => process.send?.(result));
  });
} else await main();

async function main(): Promise<void> {
  const results = new Map<string, number[]>();
  const note = (name: string, row: Row, rate: number): void => {
    const key = `${name} ${row.title}`;
    results.set(key, [...(results.get(key) ?? []), rate]);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of ['etcd', 'twill-datastore'] as const) {
      const server = await startServer(name);
      try {
        for (const row of rows) {
          process.stderr.write(`round ${round + 1}/${ROUNDS} ${name}: ${row.title} … `);
          const rate = await measure(server.port, row);
          process.stderr.write(`${Math.round(rate)} ${row.unit}\n`);
          note(name, row, rate);
        }
      } finally {
        await server.stop();
      }
    }
  }
  const cell = (name: string, row: Row): string =>
    Math.round(median(results.get(`${name} ${row.title}`) ?? [0])).toLocaleString('en');
  const lines = rows.map(
    (row) => `| ${row.title} | ${row.unit} | ${cell('etcd', row)} | ${cell('twill-datastore', row)} |`,
  );
  process.stdout.write(
    [
      `${cpus().length} cores, ${cpus()[0]?.model ?? ''}, Node ${process.version}; median of ${ROUNDS} rounds, values of 256 bytes.`,
      '',
      '| | | etcd 3.4 | twill-datastore |',
      '|---|---|---:|---:|',
      ...lines,
      '',
    ].join('\n'),
  );
}

async function startServer(name: 'etcd' | 'twill-datastore'): Promise<{ port: number; stop: () => Promise<void> }> {
  const directory = temporaryDirectory();
  const clientPort = await freePort();
  let daemon: Daemon;
  if (name === 'etcd') {
    daemon = startEtcd({ dataDir: join(directory.path, 'data'), clientPort, peerPort: await freePort() });
  } else {
    const program = new URL('../../dist/bin/twill-datastore', import.meta.url).pathname;
    daemon = new Process(program, ['--data-dir', join(directory.path, 'data'), '--listen', `127.0.0.1:${clientPort}`]);
  }
  await daemon.answers({ port: clientPort });
  const stop = async (): Promise<void> => {
    await daemon.stop();
    directory.remove();
  };
  return { port: clientPort, stop };
}

/** Operations per second of one row, in a process of its own. */
function measure(port: number, row: Row): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL(import.meta.url).pathname, { execArgv: ['--import', 'tsx'] });
    child.once('message', (rate) => {
      child.kill();
      resolve(Number(rate));
    });
    child.once('error', reject);
    child.once('exit', (code) => (code ? reject(new Error(`a client ended with ${code}`)) : undefined));
    child.send({ port, job: row.job, clients: row.clients, seconds: row.seconds });
  });
}

const value = 'v'.repeat(256);

type Job = (client: number, n: number) => { readonly method: string; readonly request: MessageWriter };

const put = (key: string): MessageWriter => new MessageWriter().text(1, key).text(2, value);
const jobs: Readonly<Record<string, { readonly keysPerCall: number; readonly job: Job }>> = {
  put: {
    keysPerCall: 1,
    job: (client, n) => ({ method: '/etcdserverpb.KV/Put', request: put(`/bench/put/${client}/${n % 1000}`) }),
  },
  swap: {
    keysPerCall: 1,
    job: (client, n) => {
      const key = `/bench/swap/${process.pid}/${client}`;
      // version(key) = n, then put.
      const compare = new MessageWriter().text(3, key).number(4, n);
      const operation = new MessageWriter().message(2, put(key));
      return { method: '/etcdserverpb.KV/Txn', request: new MessageWriter().message(1, compare).message(2, operation) };
    },
  },
  hundred: {
    keysPerCall: 100,
    job: (client, n) => {
      const request = new MessageWriter();
      for (let i = 0; i < 100; i++) {
        request.message(2, new MessageWriter().message(2, put(`/bench/many/${client}/${(n % 25) * 100 + i}`)));
      }
      return { method: '/etcdserverpb.KV/Txn', request };
    },
  },
  get: {
    keysPerCall: 1,
    job: (client) => ({
      method: '/etcdserverpb.KV/Range',
      request: new MessageWriter().text(1, `/bench/put/${client}/0`),
    }),
  },
  list: {
    keysPerCall: 2000,
    job: (_client, n) => {
      const from = `/bench/many/${n % 7}/`;
      const request = new MessageWriter().text(1, from).text(2, '/bench/many0').number(3, 2000);
      return { method: '/etcdserverpb.KV/Range', request };
    },
  },
};

/** Keys per second. */
async function work(task: { port: number; job: string; clients: number; seconds: number }): Promise<number> {
  const chosen = jobs[task.job];
  if (!chosen) throw new Error(`no job ${task.job}`);
  const { job, keysPerCall } = chosen;
  const run = async (seconds: number): Promise<number> => {
    const started = performance.now();
    const method = job(0, 0).method;
    const results = await Promise.all(
      Array.from({ length: task.clients }, (_, client) =>
        callInLoop(task.port, method, (n) => job(client, n).request, started + seconds * 1000),
      ),
    );
    const refused = results.reduce((sum, result) => sum + result.refused, 0);
    if (refused > 0) throw new Error(`${refused} calls were refused`);
    const calls = results.reduce((sum, result) => sum + result.calls, 0);
    return (calls * keysPerCall * 1000) / (performance.now() - started);
  };
  if (task.job !== 'swap') await run(1);
  return run(task.seconds);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
