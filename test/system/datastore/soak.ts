// npm run soak:store – twill-datastore under a steady mixed load, and whether its memory and its disk stay bounded.
//
//     SOAK_SEC=600 SOAK_HISTORY_MIB=32 npm run soak:store
//
// Puts, compare-and-swap, deletes, lists, watches that come and go, leases that are renewed and revoked; a small history, so
// that compaction and snapshots happen all the time. A line a tick; at the end the verdict: the last quarter against the second.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../../datastore/etcd.ts';
import type { KvStore, Lease } from '../../../datastore/kv.ts';
import { seededRandom } from '../../datastore/random.ts';
import { startTwillDatastore, temporaryDirectory } from './processes.ts';

const seconds = Number(process.env['SOAK_SEC'] ?? 600);
const historyMib = Number(process.env['SOAK_HISTORY_MIB'] ?? 32);
const KEYS = 5000;
const VALUE_BYTES = 1000;
const WRITERS = 16;
const TICKS = 40;
/** How much the last quarter may be above the second. */
const GROWTH = 1.25;

interface Sample {
  readonly rssMib: number;
  readonly diskMib: number;
}

const mib = (bytes: number): number => Math.round(bytes / 1024 / 1024);
const counts = { puts: 0, swaps: 0, deletes: 0, lists: 0, events: 0, watches: 0, leases: 0 };
const prefix = '/soak/';
const key = (i: number): string => `${prefix}${String(i).padStart(6, '0')}`;

async function writeOn(store: KvStore, seed: number, until: number): Promise<void> {
  const random = seededRandom(seed);
  while (Date.now() < until) {
    const name = key(random.below(KEYS));
    const value = `${Date.now()} `.padEnd(VALUE_BYTES, 'v');
    const dice = random.below(20);
    if (dice === 0) {
      await store.transact({ compare: [], then: [{ kind: 'delete', key: name }] });
      counts.deletes++;
    } else if (dice < 5) {
      const entry = await store.get(name);
      const compare = [{ key: name, target: 'modRevision', is: entry?.modRevision ?? 0 }] as const;
      await store.transact({ compare, then: [{ kind: 'put', key: name, value }] });
      counts.swaps++;
    } else if (dice === 5) {
      await store.list(`${prefix}${random.below(10)}`, { limit: 100 });
      counts.lists++;
    } else {
      await store.transact({ compare: [], then: [{ kind: 'put', key: name, value }] });
      counts.puts++;
    }
  }
}

/** Watches from the present on for a while, then others: half of them slower than the writes. */
async function watchOn(store: KvStore, until: number): Promise<void> {
  while (Date.now() < until) {
    const { revision } = await store.list(prefix, { limit: 1 });
    const watch = store.watch(prefix, revision + 1, {
      onEvents: (events) => {
        counts.events += events.length;
      },
      onEnd: (error) => {
        if (error.code !== 'compacted') throw error;
      },
    });
    counts.watches++;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    watch.close();
  }
}

/** Twenty leases at a time, kept alive and revoked with their keys. */
async function leaseOn(store: KvStore, until: number): Promise<void> {
  const held: Lease[] = [];
  for (let i = 0; Date.now() < until; i++) {
    const lease = await store.grantLease(60);
    await store.transact({ compare: [], then: [{ kind: 'put', key: `/lease/${i}`, value: 'x', lease: lease.id }] });
    counts.leases++;
    held.push(lease);
    if (held.length > 20) await held.shift()?.revoke();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (const lease of held) await lease.revoke();
}

function sample(pid: number, directory: string): Sample {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  const bytes = readdirSync(directory).map(
    (name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0,
  );
  return { rssMib: mib(Number(kib) * 1024), diskMib: mib(bytes.reduce((sum, one) => sum + one, 0)) };
}

const directory = temporaryDirectory();
const dataDir = join(directory.path, 'data');
const socket = join(directory.path, 's');
const daemon = startTwillDatastore({ dataDir, listen: `unix:${socket}`, extra: ['--history-mib', String(historyMib)] });
try {
  await daemon.answers({ path: socket });
  const store = await openStore({ etcdEndpoints: `unix:${socket}` });
  const end = Date.now() + seconds * 1000;
  const work = [
    ...Array.from({ length: WRITERS }, (_, i) => writeOn(store, i + 1, end)),
    watchOn(store, end),
    watchOn(store, end),
    leaseOn(store, end),
  ];
  const samples: Sample[] = [];
  const clock = setInterval(
    () => {
      const now = sample(daemon.child.pid ?? 0, dataDir);
      samples.push(now);
      const { puts, swaps, deletes } = counts;
      console.error(
        `${samples.length}/${TICKS}: ${now.rssMib} MiB resident, ${now.diskMib} MiB on disk, ${puts + swaps + deletes} writes`,
      );
    },
    (seconds * 1000) / TICKS,
  );
  await Promise.all(work);
  clearInterval(clock);
  await store.close();
  report(samples);
} finally {
  await daemon.stop();
  directory.remove();
}

function report(samples: readonly Sample[]): void {
  console.log(`${seconds} s, history of ${historyMib} MiB: ${JSON.stringify(counts)}`);
  const values = (what: keyof Sample): readonly number[] => samples.map((one) => one[what]);
  const peak = (of: readonly number[], from: number, to: number): number =>
    Math.max(...of.slice(Math.floor(of.length * from), Math.ceil(of.length * to)));
  const verdict = (bounded: boolean): string => {
    if (!bounded) process.exitCode = 1;
    return bounded ? 'bounded' : 'GROWS';
  };
  const resident = values('rssMib');
  const [second, last] = [peak(resident, 0.25, 0.5), peak(resident, 0.75, 1)];
  console.log(
    `resident: ${second} MiB in the second quarter, ${last} in the last: ${verdict(last <= second * GROWTH)}`,
  );
  // A snapshot is due when the log has grown past 64 MiB; while it is written there are two of each.
  const limit = 2 * (64 + historyMib + mib(KEYS * VALUE_BYTES * 2));
  const disk = peak(values('diskMib'), 0, 1);
  console.log(`on disk: at most ${disk} MiB, of ${limit} that it may be: ${verdict(disk <= limit)}`);
}
