// A store and the file of etcd's that it becomes: revisions, history, leases and compaction are the same on both sides.

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bucketsOf, etcdSnapshot, readEtcdSnapshot } from '../../../datastore/embedded/etcd-snapshot.ts';
import { crc32c, hashOfAll, hashOfKeys } from '../../../datastore/embedded/hash.ts';
import { capture } from '../../../datastore/embedded/snapshot.ts';
import { Mvcc, type MvccOperation } from '../../../datastore/mvcc.ts';
import { seededRandom } from '../random.ts';

describe('datastore/embedded: etcd’s file', () => {
  let directory: string;
  let file: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tw-snapshot-'));
    file = join(directory, 'snapshot.db');
  });
  after(() => rmSync(directory, { recursive: true }));

  const write = (mvcc: Mvcc): void => writeFileSync(file, Buffer.concat([...etcdSnapshot(capture(mvcc, '1'))]));
  const execute = (mvcc: Mvcc, ...success: MvccOperation[]) => mvcc.execute({ compare: [], success, failure: [] });
  const put = (key: string, value: string, lease = '0'): MvccOperation => ({ kind: 'put', key, value, lease });
  const remove = (key: string): MvccOperation => ({ kind: 'delete', range: { from: key, to: `${key}\0` } });
  const entriesOf = (mvcc: Mvcc, name: string): string[] =>
    [
      ...(bucketsOf(capture(mvcc, '1'))
        .find((bucket) => bucket.name === name)
        ?.entries() ?? []),
    ].map(({ key, value }) => `${key.toString('latin1')}=${value.toString('latin1')}`);
  /** Every key as it was at every revision that is still known, and every change since. */
  const known = (mvcc: Mvcc) => {
    const revisions = Array.from({ length: mvcc.revision - Math.max(1, mvcc.compactedRevision) + 1 }, (_, i) =>
      mvcc
        .range({ from: '\0' }, { revision: Math.max(1, mvcc.compactedRevision) + i })
        .versions.map(({ older: _older, ...version }) => version),
    );
    const { changes } = mvcc.readChanges({ from: '' }, mvcc.compactedRevision + 1);
    const leases = [...mvcc.leases.ids()]
      .sort()
      .map((id) => [id, mvcc.leases.ttlSec(id), [...(mvcc.leases.keysOf(id) ?? [])]]);
    const history = changes.map(({ older: _older, ...version }) => version);
    return { revision: mvcc.revision, compacted: mvcc.compactedRevision, revisions, history, leases };
  };

  it('numbers the changes of a revision, and marks deletions', () => {
    const mvcc = new Mvcc();
    execute(mvcc, put('a', '1'), put('b', ''));
    execute(mvcc, remove('a'));
    const revision = (main: number, sub: number) =>
      `\0\0\0\0\0\0\0${String.fromCharCode(main)}_\0\0\0\0\0\0\0${String.fromCharCode(sub)}`;
    assert.deepEqual(entriesOf(mvcc, 'key'), [
      // key, create revision, mod revision, version, value: zeros and empty values are left out.
      `${revision(2, 0)}=\x0a\x01a\x10\x02\x18\x02\x20\x01\x2a\x011`,
      `${revision(2, 1)}=\x0a\x01b\x10\x02\x18\x02\x20\x01`,
      `${revision(3, 0)}t=\x0a\x01a`,
    ]);
    mvcc.compact(3);
    assert.deepEqual(entriesOf(mvcc, 'key'), [`${revision(2, 0)}=\x0a\x01b\x10\x02\x18\x02\x20\x01`]);
    assert.deepEqual(entriesOf(mvcc, 'meta'), [
      'consistent_index=\0\0\0\0\0\0\0\x03',
      `finishedCompactRev=${revision(3, 0)}`,
      `scheduledCompactRev=${revision(3, 0)}`,
    ]);
  });

  it('comes back with its revisions, its history and its leases', () => {
    const mvcc = new Mvcc();
    mvcc.leases.grant('9223372036854775807', 600, 0);
    mvcc.leases.grant('7', 60, 0);
    for (let i = 0; i < 300; i++) execute(mvcc, put(`/k${i % 40}`, `${i}`), put('/all', 'x'.repeat(i * 20)));
    execute(mvcc, put('/leased', '\xff\x00', '9223372036854775807'));
    execute(mvcc, remove('/k3'), remove('/k5'));
    mvcc.compact(280);
    write(mvcc);
    assert.deepEqual(known(readEtcdSnapshot(file)), known(mvcc));
  });

  it('comes back after random operations', () => {
    const random = seededRandom(7);
    const mvcc = new Mvcc();
    for (let i = 0; i < 2000; i++) {
      const key = `k${random.below(30)}`;
      execute(mvcc, random.next() < 0.3 ? remove(key) : put(key, String(i)), put(`other${random.below(5)}`, String(i)));
      if (i % 250 === 249) {
        mvcc.compact(mvcc.revision - random.below(100));
        write(mvcc);
        assert.deepEqual(known(readEtcdSnapshot(file)), known(mvcc));
      }
    }
  });

  it('is told from a changed one by its checksum', () => {
    const mvcc = new Mvcc();
    execute(mvcc, put('a', '1'));
    const bytes = Buffer.concat([...etcdSnapshot(capture(mvcc, '1'))]);
    bytes[bytes.length - 40] = 1;
    writeFileSync(file, bytes);
    assert.throws(() => readEtcdSnapshot(file), /its checksum is wrong/);
    // A member's own file has none.
    truncateSync(file, bytes.length - 32);
    assert.equal(readEtcdSnapshot(file).get('a')?.value, '1');
    appendFileSync(file, 'x');
    assert.equal(readEtcdSnapshot(file).get('a')?.value, '1');
  });

  it('has the same checksums wherever it is', async () => {
    assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283, 'the check value of CRC-32C');
    assert.equal(crc32c(Buffer.from('6789'), crc32c(Buffer.from('12345'))), 0xe3069283);
    const mvcc = new Mvcc();
    execute(mvcc, put('a', '1'), put('b', '1'));
    execute(mvcc, put('a', '2'));
    const early = await hashOfKeys(capture(mvcc, '1'), 2);
    execute(mvcc, put('b', '2'));
    assert.equal(await hashOfKeys(capture(mvcc, '1'), 2), early);
    assert.notEqual(await hashOfKeys(capture(mvcc, '1'), 4), early);
    write(mvcc);
    const other = readEtcdSnapshot(file);
    assert.equal(await hashOfKeys(capture(other, '2'), 4), await hashOfKeys(capture(mvcc, '1'), 4));
    assert.equal(await hashOfAll(capture(other, '2')), await hashOfAll(capture(mvcc, '1')));
  });
});
