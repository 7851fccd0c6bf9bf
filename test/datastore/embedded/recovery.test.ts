// What is on disk, and what a start makes of it: whole files, torn ends, damage, missing files, snapshots in every stage.

import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine, RESERVED_BYTES } from '../../../datastore/embedded/engine.ts';
import { FrameWriter, type Item, readItems } from '../../../datastore/embedded/record.ts';
import { keyRange } from '../../../datastore/mvcc.ts';
import { until } from '../until.ts';

describe('datastore/embedded: the data directory', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tw-store-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  const open = (snapshotBytes?: number): Engine =>
    new Engine({
      directory,
      now: () => 0,
      onFailure: (error) => {
        throw error;
      },
      history: { ageMs: 0, bytes: 1 << 30 },
      ...(snapshotBytes === undefined ? {} : { snapshotBytes }),
    });
  const put = (engine: Engine, key: string, value: string) =>
    engine.execute({ compare: [], success: [{ kind: 'put', key, value, lease: '0' }], failure: [] });
  const contents = (engine: Engine): string =>
    engine.mvcc
      .range({ from: '\0' })
      .versions.map(({ key, value }) => `${key}=${value}`)
      .join(' ');
  const log = (number = 1): string => join(directory, `log-${String(number).padStart(10, '0')}`);
  /** Fills the log with what compaction has made useless, so that a snapshot is worth it. */
  const churn = async (engine: Engine): Promise<void> => {
    await Promise.all(Array.from({ length: 200 }, () => put(engine, 'churn', 'x'.repeat(200))));
    await engine.compact(engine.mvcc.revision);
  };
  const filled = async (count: number): Promise<void> => {
    const engine = open();
    for (let i = 0; i < count; i++) await put(engine, `k${i}`, String(i));
    await engine.close();
  };

  it('writes items and reads them back', () => {
    const items: Item[] = [
      { kind: 'header', format: 1, clusterId: '9223372036854775807' },
      { kind: 'grant', id: '42', ttlSec: 9_000_000_000 },
      {
        kind: 'change',
        change: {
          key: '/ä\xff',
          value: 'v'.repeat(100_000),
          createRevision: 2,
          modRevision: 2 ** 40,
          version: 3,
          lease: '42',
        },
      },
      {
        kind: 'change',
        change: { key: '/gone', value: '', createRevision: 0, modRevision: 7, version: 0, lease: '0' },
      },
      { kind: 'revoke', id: '42' },
      { kind: 'compact', revision: 300 },
      { kind: 'base', revision: 127 },
      { kind: 'end', revision: 128 },
    ];
    const writer = new FrameWriter();
    for (const item of items) writer.add(item);
    assert.deepEqual([...readItems(writer.take().subarray(12))], items);
  });

  it('comes back as it was: keys, history, leases, compaction, cluster id', async () => {
    const first = open();
    const { clusterId } = first;
    const lease = await first.grantLease('0', 60);
    await put(first, 'a', '1');
    await put(first, 'a', '2');
    await first.execute({ compare: [], success: [{ kind: 'put', key: 'l', value: '', lease }], failure: [] });
    await first.compact(3);
    await put(first, 'a', '3');
    await first.execute({ compare: [], success: [{ kind: 'delete', range: keyRange('b') }], failure: [] });
    await first.close();

    const second = open();
    assert.equal(contents(second), 'a=3 l=');
    assert.equal(second.mvcc.get('a', 3)?.value, '2');
    assert.throws(() => second.mvcc.get('a', 2));
    assert.deepEqual([second.clusterId, second.mvcc.revision, second.tornBytes], [clusterId, 5, 0]);
    assert.deepEqual([...(second.mvcc.leases.keysOf(lease) ?? [])], ['l']);
    await second.revokeLease(lease);
    await second.close();
    const third = open();
    assert.equal(contents(third), 'a=3');
    await third.close();
  });

  it('keeps every whole frame of a log that was cut anywhere', async () => {
    await filled(4);
    const whole = readFileSync(log());
    const ends: number[] = [];
    for (let at = 0; at < whole.length; at += 12 + whole.readUInt32LE(at + 4)) ends.push(at);
    for (let cut = 0; cut <= whole.length; cut++) {
      writeFileSync(log(), whole.subarray(0, cut));
      const engine = open();
      // The first frame is the header.
      const frames = ends.filter((_end, i) => i > 0 && (ends[i + 1] ?? whole.length) <= cut).length;
      assert.equal(engine.mvcc.revision, 1 + frames, `cut at ${cut}`);
      await put(engine, 'next', 'x');
      await engine.close();
      const again = open();
      assert.equal(again.mvcc.get('next')?.value, 'x');
      assert.equal(again.tornBytes, 0);
      await again.close();
    }
  });

  it('keeps every whole frame of a log that was cut anywhere in the room made ahead', async () => {
    await filled(3);
    const whole = readFileSync(log());
    const ends: number[] = [];
    for (let at = 0; at < whole.length; at += 12 + whole.readUInt32LE(at + 4)) ends.push(at);
    for (let cut = ends[1] ?? 0; cut <= whole.length; cut++) {
      writeFileSync(log(), Buffer.concat([whole.subarray(0, cut), Buffer.alloc(100_000)]));
      const engine = open();
      const frames = ends.filter((_end, i) => i > 0 && (ends[i + 1] ?? whole.length) <= cut).length;
      assert.equal(engine.mvcc.revision, 1 + frames, `cut at ${cut}`);
      const torn = cut - (ends[frames + 1] ?? whole.length);
      assert.ok(engine.tornBytes <= torn, `${engine.tornBytes} of ${torn}: the room is not torn`);
      assert.equal(engine.tornBytes > 0, torn > 0, `cut at ${cut}`);
      await put(engine, 'next', 'x');
      await engine.close();
      const again = open();
      assert.equal(again.mvcc.get('next')?.value, 'x');
      assert.equal(again.tornBytes, 0);
      await again.close();
    }
  });

  it('makes room ahead of small writes, gives it back when it closes, and goes on after a crash that did not', async () => {
    const engine = open();
    await put(engine, 'a', '1');
    const size = statSync(log()).size;
    assert.ok(size > 100_000, `${size} bytes`);
    await put(engine, 'b', '2');
    assert.equal(statSync(log()).size, size, 'no write makes the file longer while there is room');
    await put(engine, 'c', 'x'.repeat(size));
    await put(engine, 'd', '3');
    const crashed = readFileSync(log());
    await engine.close();
    const closed = readFileSync(log());
    assert.ok(closed.length < crashed.length);
    assert.deepEqual(crashed.subarray(0, closed.length), closed);
    assert.ok(crashed.subarray(closed.length).every((byte) => byte === 0));
    writeFileSync(log(), crashed);
    const again = open();
    assert.equal(again.tornBytes, 0);
    assert.deepEqual(again.mvcc.range({ from: '\0' }).count, 4);
    await put(again, 'e', '4');
    await again.close();
    const third = open();
    assert.equal(third.mvcc.get('e')?.value, '4');
    await third.close();
  });

  it('refuses a log with damage before its end, and says where', async () => {
    await filled(4);
    const bytes = readFileSync(log());
    const damagedAt = Math.floor(bytes.length / 2);
    bytes[damagedAt] = (bytes[damagedAt] ?? 0) ^ 0xff;
    writeFileSync(log(), bytes);
    assert.throws(open, /log-0000000001 is damaged at byte \d+ and goes on behind it/);
  });

  it('takes snapshots while it works, drops the logs before, and starts from them', async () => {
    const engine = open(20_000);
    for (let i = 0; i < 300; i++) await put(engine, `k${i % 30}`, `${i} ${'x'.repeat(100)}`);
    for (let i = 0; i < 100; i++) await put(engine, `k${i % 30}`, `${i} ${'y'.repeat(100)}`);
    await engine.compact(300);
    await until(() => readdirSync(directory).some((name) => name.startsWith('snapshot-')), 'a snapshot');
    const expected = contents(engine);
    const old = engine.mvcc.get('k7', 350)?.value;
    await engine.close();
    const names = readdirSync(directory).sort();
    assert.equal(names.filter((name) => name.startsWith('snapshot-')).length, 1);
    assert.ok(!names.includes('log-0000000001'), names.join(' '));
    const again = open();
    assert.equal(contents(again), expected);
    assert.equal(again.mvcc.get('k7', 350)?.value, old, 'the history came along');
    assert.equal(again.mvcc.revision, 401);
    await again.close();
  });

  it('starts after a crash in any stage of a snapshot', async () => {
    const engine = open();
    for (let i = 0; i < 50; i++) await put(engine, `k${i}`, 'x');
    await engine.close();
    const before = join(directory, 'before');
    mkdirSync(before);
    copyFileSync(log(), join(before, 'log'));
    const larger = open(1000);
    await churn(larger);
    await put(larger, 'z', 'last');
    await until(() => readdirSync(directory).includes('snapshot-0000000002'), 'the snapshot');
    await larger.close();
    // The logs before are still there; a newer snapshot was begun and not finished.
    copyFileSync(join(before, 'log'), log());
    writeFileSync(join(directory, 'snapshot.tmp'), 'half');
    const after = open();
    assert.equal(after.mvcc.get('z')?.value, 'last');
    assert.equal(after.mvcc.range({ from: '\0' }).count, 52);
    await after.close();
    assert.deepEqual(readdirSync(directory).sort(), ['before', 'log-0000000002', 'snapshot-0000000002']);
  });

  it('works on when a snapshot can not be written', async () => {
    const failures: string[] = [];
    const settings = {
      directory,
      now: () => 0,
      onFailure: (error: Error) => {
        throw error;
      },
      onSnapshotFailure: (error: Error) => {
        failures.push(error.message);
      },
      history: { ageMs: 0, bytes: 1 << 30 },
      snapshotBytes: 1000,
    };
    const engine = new Engine(settings);
    // In the way of the file that a snapshot is written to.
    mkdirSync(join(directory, 'snapshot.tmp', 'full'), { recursive: true });
    await churn(engine);
    await until(() => failures.length > 0, 'the failure to be told');
    await put(engine, 'after', '1');
    await engine.close();
    const again = open();
    assert.equal(again.mvcc.get('after')?.value, '1');
    await again.close();
  });

  it('refuses a snapshot that was cut, a missing log, and files of another store', async () => {
    const engine = open(1000);
    await churn(engine);
    await until(() => readdirSync(directory).some((name) => /^snapshot-\d/.test(name)), 'the snapshot');
    await engine.close();
    const names = readdirSync(directory);
    const snapshot = join(directory, names.find((name) => name.startsWith('snapshot-')) ?? '');
    const number = Number(snapshot.slice(-10));
    const kept = readFileSync(snapshot);
    truncateSync(snapshot, statSync(snapshot).size - 3);
    assert.throws(open, /snapshot-\d+ is damaged/);
    writeFileSync(snapshot, kept);
    const keptLog = readFileSync(log(number));
    rmSync(log(number));
    assert.throws(open, /log-\d+ is missing/);
    const writer = new FrameWriter();
    writer.add({ kind: 'header', format: 1, clusterId: '1' });
    writeFileSync(log(number), writer.take());
    assert.throws(open, /belongs to another store/);
    writeFileSync(log(number), keptLog);
    await open().close();
  });

  it('refuses to grow when the disk is nearly full, still deletes, and goes on when there is room again', async () => {
    let freeBytes = RESERVED_BYTES - 1;
    const engine = new Engine({
      directory,
      now: () => 0,
      onFailure: (error) => {
        throw error;
      },
      history: { ageMs: 0, bytes: 1 << 30 },
      freeBytes: () => freeBytes,
    });
    await put(engine, 'a', '1');
    engine.tick();
    await assert.rejects(put(engine, 'b', '1'), { code: 'no-space' });
    await engine.execute({ compare: [], success: [{ kind: 'delete', range: keyRange('a') }], failure: [] });
    await engine.compact(engine.mvcc.revision);
    freeBytes = RESERVED_BYTES;
    engine.tick();
    await put(engine, 'b', '1');
    await engine.close();
  });

  it('forgets by age and by size', async () => {
    let now = 0;
    const engine = new Engine({
      directory,
      now: () => now,
      onFailure: (error) => {
        throw error;
      },
      history: { ageMs: 1000, bytes: 5000 },
    });
    await put(engine, 'a', '1');
    engine.tick();
    await put(engine, 'a', '2');
    now = 999;
    engine.tick();
    assert.equal(engine.mvcc.compactedRevision, 0);
    now = 1001;
    engine.tick();
    assert.equal(engine.mvcc.compactedRevision, 2, 'what was there a second ago');
    for (let i = 0; i < 100; i++) await put(engine, 'a', 'x'.repeat(100));
    const size = engine.mvcc.size;
    engine.tick();
    assert.ok(engine.mvcc.size < size * 0.6, `${size} became ${engine.mvcc.size}`);
    await engine.close();
  });
});
