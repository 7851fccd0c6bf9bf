// One process per directory: a living owner is respected, a dead one is not, and of many starters exactly one wins.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockDirectory } from '../../../datastore/embedded/lock.ts';

describe('datastore/embedded/lock', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tw-store-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('is held until released, and leaves nothing behind', () => {
    const lock = lockDirectory(directory);
    assert.throws(() => lockDirectory(directory), new RegExp(`in use by process ${process.pid}`));
    lock.release();
    lockDirectory(directory).release();
    assert.deepEqual(readdirSync(directory), []);
  });

  it('is taken over from a process that is gone, also when its number lives again', () => {
    for (const stale of ['999999999 12345', `${process.pid} 1`, '']) {
      writeFileSync(join(directory, 'lock'), stale);
      lockDirectory(directory).release();
    }
  });
});
