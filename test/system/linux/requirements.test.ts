// Requirements and namespaces: what is there and what is not, said without changing anything; names that come and go.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import {
  createNetns,
  deleteNetns,
  insideNetns,
  insideScratchNetns,
  listNetns,
  netnsIdentity,
  netnsPath,
} from '../../../linux/netns.ts';
import { runOrThrow, runProgram } from '../../../linux/process.ts';
import { missingRequirements, netAdmin, nftables, program, veth } from '../../../linux/requirements.ts';

describe('requirements', () => {
  it('are met here, but for a program that nobody has', async () => {
    const links = readdirSync('/sys/class/net');
    const missing = await missingRequirements([
      netAdmin,
      nftables,
      veth,
      program('ip', 'iproute2'),
      program('no-such-program', 'nothing'),
    ]);
    assert.deepEqual(missing, ['the program no-such-program is missing: apt-get install nothing']);
    assert.deepEqual(readdirSync('/sys/class/net'), links);
  });
});

describe('network namespaces', () => {
  const name = `tw-linux-${process.pid}-named`;
  after(() => void deleteNetns(name));

  it('are made as iproute2 makes them, once', async () => {
    createNetns(name);
    assert.ok(listNetns().includes(name));
    assert.match(await runOrThrow('ip', ['netns', 'list']), new RegExp(`^${name}\\b`, 'm'));
    assert.throws(() => createNetns(name), { code: 'EEXIST' });
    assert.equal(deleteNetns(name), true);
    assert.equal(deleteNetns(name), false);
    assert.ok(!listNetns().includes(name));
  });

  it('are left again when the function throws', () => {
    const own = netnsIdentity(undefined);
    createNetns(name);
    assert.equal(
      insideNetns(netnsPath(name), () => netnsIdentity(undefined)),
      netnsIdentity(netnsPath(name)),
    );
    assert.throws(() => insideNetns(netnsPath(name), () => assert.fail('on purpose')), /on purpose/);
    assert.throws(() => insideScratchNetns(() => assert.fail('on purpose')), /on purpose/);
    assert.throws(() => insideNetns('/etc/passwd', () => {}), { code: 'EINVAL' });
    assert.throws(() => insideNetns('/nonexistent', () => {}), { code: 'ENOENT' });
    assert.equal(netnsIdentity(undefined), own);
  });
});

describe('programs', () => {
  it('give status, output and errors, whatever they do with their input', async () => {
    const big = 'x'.repeat(1 << 20);
    assert.equal((await runProgram('cat', [], { input: big })).stdout, big);
    assert.equal((await runProgram('true', [], { input: big })).status, 0);
    const failed = await runProgram('sh', ['-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual([failed.status, failed.stdout, failed.stderr], [3, 'out\n', 'err\n']);
    assert.equal((await runProgram('sleep', ['10'], { timeoutMs: 50 })).signal, 'SIGKILL');
    await assert.rejects(runProgram('no-such-program', []), { code: 'ENOENT' });
    await assert.rejects(runOrThrow('sh', ['-c', 'echo why >&2; exit 3']), /exit status 3: why/);
  });
});
