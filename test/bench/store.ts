// npm run bench:store – twill-datastore beside etcd, in one run on one machine, and a table for docs/benchmarks/store.md.
//
//     this process ─► worker processes (the clients, each with its own connections) ─► server
//
// Both servers write to the same file system and call fdatasync before they acknowledge. Each row is run for both in turn,
// several times, and the median is shown.

import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { openStore } from '../../datastore/etcd.ts';
import {
  type Daemon,
  freePort,
  Daemon as Process,
  startEtcd,
  temporaryDirectory,
} from '../system/datastore/processes.ts';

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
  { title: 'list of 20,000 keys in pages of 2,000', unit: 'keys/s', job: 'list', clients: 1, seconds: 3 },
];

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);

if (process.send) {
  process.on('message', (message: { endpoint: string; job: string; clients: number; seconds: number }) => {
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
          const rate = await measure(server.endpoint, row);
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

async function startServer(name: 'etcd' | 'twill-datastore'): Promise<{ endpoint: string; stop: () => Promise<void> }> {
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
  return { endpoint: `http://127.0.0.1:${clientPort}`, stop };
}

/** Operations per second of one row, in a process of its own. */
function measure(endpoint: string, row: Row): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL(import.meta.url).pathname, { execArgv: ['--import', 'tsx'] });
    child.once('message', (rate) => {
      child.kill();
      resolve(Number(rate));
    });
    child.once('error', reject);
    child.once('exit', (code) => (code ? reject(new Error(`a client ended with ${code}`)) : undefined));
    child.send({ endpoint, job: row.job, clients: row.clients, seconds: row.seconds });
  });
}

const value = 'v'.repeat(256);

async function work(task: { endpoint: string; job: string; clients: number; seconds: number }): Promise<number> {
  const store = await openStore({ etcdEndpoints: task.endpoint, requestTimeoutMs: 30_000 });
  const put = (key: string) => ({ kind: 'put', key, value }) as const;
  const jobs: Readonly<Record<string, (client: number, n: number) => Promise<number>>> = {
    put: async (client, n) => {
      await store.transact({ compare: [], then: [put(`/bench/put/${client}/${n % 1000}`)] });
      return 1;
    },
    swap: async (client, n) => {
      const key = `/bench/swap/${client}`;
      await store.transact({ compare: [{ key, target: 'version', is: n }], then: [put(key)] });
      return 1;
    },
    hundred: async (client, n) => {
      const operations = Array.from({ length: 100 }, (_, i) => put(`/bench/many/${client}/${(n % 20) * 100 + i}`));
      await store.transact({ compare: [], then: operations });
      return 100;
    },
    get: async (client) => {
      await store.get(`/bench/put/${client}/0`);
      return 1;
    },
    list: async () => {
      let [keys, after] = [0, ''];
      let more = true;
      while (more) {
        const page = await store.list('/bench/many/', after === '' ? { limit: 2000 } : { limit: 2000, after });
        keys += page.entries.length;
        after = page.entries.at(-1)?.key ?? '';
        more = page.more;
      }
      return keys;
    },
  };
  const job = jobs[task.job];
  if (!job) throw new Error(`no job ${task.job}`);
  let done = 0;
  const run = async (seconds: number): Promise<void> => {
    const end = performance.now() + seconds * 1000;
    const client = async (id: number): Promise<void> => {
      for (let n = 0; performance.now() < end; n++) done += await job(id, n);
    };
    await Promise.all(Array.from({ length: task.clients }, (_, id) => client(id)));
  };
  await run(1);
  done = 0;
  const started = performance.now();
  await run(task.seconds);
  const rate = (done * 1000) / (performance.now() - started);
  await store.close();
  return rate;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
