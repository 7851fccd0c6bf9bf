// Shows that a network namespace's lock is one process' at a time, says whose, and goes with its process.

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockNetns } from '../../linux/netns-lock.ts';

const module = new URL('../../linux/netns-lock.ts', import.meta.url).href;

describe('lock of a network namespace', function () {
  this.timeout(20_000);
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'twill-lock-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is had by one, until it is given up', () => {
    const first = lockNetns('test', folder);
    assert.equal(first.kind, 'locked');
    const second = lockNetns('test', folder);
    assert.ok(second.kind === 'held');
    assert.match(second.by, new RegExp(`^process ${process.pid} \\(.+\\)$`));
    assert.equal(lockNetns('other', folder).kind, 'locked');
    if (first.kind === 'locked') first.release();
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith('test')),
      [],
    );
    assert.equal(lockNetns('test', folder).kind, 'locked');
  });

  it('is free again after kill -9, although its file is still there', async () => {
    const code = `import { lockNetns } from '${module}'; console.log(lockNetns('test', '${folder}').kind); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code]);
    const [said] = await once(child.stdout, 'data');
    assert.equal(String(said).trim(), 'locked');
    const held = lockNetns('test', folder);
    assert.ok(held.kind === 'held' && held.by.startsWith(`process ${child.pid} `));
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.equal(lockNetns('test', folder).kind, 'locked');
  });
});
