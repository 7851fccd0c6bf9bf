// The process that crash.ts kills: writes to the engine of twill-datastore as fast as it can and tells each acknowledged
// step on its standard output. Steps are numbered, and what step n writes follows from n alone.

import { writeSync } from 'node:fs';
import { Engine } from '../../../datastore/embedded/engine.ts';
import { stepOf, transactionOf } from './crash-steps.ts';

const [directory = ''] = process.argv.slice(2);
const engine = new Engine({
  directory,
  now: () => performance.now(),
  onFailure: (error) => {
    throw error;
  },
  history: { ageMs: 0, bytes: 1 << 30 },
  // Small, so that snapshots and new logs are under way at most moments.
  snapshotBytes: 30_000,
});
let step = stepOf(engine.mvcc.revision);
for (;;) {
  const batch: Promise<void>[] = [];
  for (let i = 0; i < 8; i++) {
    const number = step++;
    batch.push(engine.execute(transactionOf(number)).then(() => void writeSync(1, `${number}\n`)));
    // Compaction keeps the data small beside the log, which makes snapshots due.
    if (number % 50 === 49) await engine.compact(engine.mvcc.revision - 20);
  }
  await Promise.all(batch);
}
