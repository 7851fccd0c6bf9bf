// Memory and disk of the engine stay bounded whatever is written: history by size and by age, files by snapshots.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../../datastore/embedded/engine.ts';
import { until } from '../until.ts';

const KIB = 1024;
const VALUE = 'x'.repeat(KIB);
const KEYS = 100;
const SNAPSHOT_BYTES = 256 * KIB;

describe('datastore/embedded: bounds', () => {
  let directory: string;
  let nowMs: number;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tw-store-'));
    nowMs = 0;
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const open = (history: { readonly ageMs: number; readonly bytes: number }): Engine =>
    new Engine({
      directory,
      now: () => nowMs,
      onFailure: (error) => {
        throw error;
      },
      history,
      snapshotBytes: SNAPSHOT_BYTES,
    });
  const diskBytes = (): number =>
    readdirSync(directory).reduce(
      // A file may go between the two calls.
      (sum, name) => sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );

  /** Writes so many values of 1 KiB over and over the same keys; returns the most that disk and history ever took. */
  async function write(engine: Engine, count: number): Promise<{ readonly disk: number; readonly history: number }> {
    const most = { disk: 0, history: 0 };
    for (let i = 0; i < count; i += KEYS) {
      const puts = Array.from({ length: KEYS }, (_, key) =>
        engine.execute({
          compare: [],
          success: [{ kind: 'put', key: `k${key}`, value: VALUE, lease: '0' }],
          failure: [],
        }),
      );
      await Promise.all(puts);
      nowMs += 10;
      engine.tick();
      most.disk = Math.max(most.disk, diskBytes());
      most.history = Math.max(most.history, engine.mvcc.historySize);
    }
    return most;
  }

  it('by size: thirty times the limit is written, and disk and history stay below small multiples of it', async () => {
    const limit = 1024 * KIB;
    const engine = open({ ageMs: 0, bytes: limit });
    const most = await write(engine, 30 * KIB);
    assert.ok(most.history < 2 * limit, `history took ${most.history} bytes`);
    // The old snapshot, the new one while it is written, and the logs of both.
    assert.ok(most.disk < 8 * limit, `the disk took ${most.disk} bytes`);
    await engine.close();
  });

  it('by age: what is old goes, from memory and then from the disk', async () => {
    const engine = open({ ageMs: 60_000, bytes: 1 << 30 });
    const young = await write(engine, 5 * KIB);
    assert.ok(young.history > 4 * KIB * KIB, 'young history is kept');
    // Nobody writes any more; the tick sees the time pass.
    for (let i = 0; i < 30; i++) {
      nowMs += 60_000 / 20;
      engine.tick();
    }
    await engine.settled();
    assert.ok(engine.mvcc.historySize < 2 * KEYS * KIB, `history still takes ${engine.mvcc.historySize} bytes`);
    await until(() => diskBytes() < 4 * SNAPSHOT_BYTES, 'the disk to be given back');
    await engine.close();
    const again = open({ ageMs: 0, bytes: 1 << 30 });
    assert.equal(again.mvcc.range({ from: '\0' }).versions.length, KEYS);
    await again.close();
  });
});
