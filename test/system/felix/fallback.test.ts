// Shows what happens when our own netlink messages are refused, when a rule is outside what we compile, and when
// libnftables has crashed once: the next way takes over, with the same table as the result.

import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KernelTable } from '../../../felix/dataplane/channel.ts';
import { Transaction } from '../../../felix/nft/transaction.ts';
import { LinuxError } from '../../../linux/errors.ts';
import { NftBatchSocket } from '../../../linux/netlink/nftables-batch.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../linux/netlink/socket.ts';
import { createNetns, deleteNetns, netnsPath } from '../../../linux/netns.ts';
import { openNftables } from '../../../linux/nftables.ts';
import { openGuardedNftables } from '../../../linux/nftables-guard.ts';
import { createLogger } from '../../../runtime/log.ts';
import { rendered, states } from '../../felix/states.ts';
import { sh } from './node.ts';

describe('ways to the kernel’s table', function () {
  this.timeout(20_000);
  const name = `tw-dataplane-${process.pid % 10000}-fb`;
  const netns = netnsPath(name);
  const log = createLogger('felix', 'silent');
  let dumps: NetlinkSocket;
  let longDumps: NetlinkSocket;
  const openBatches = () => new NftBatchSocket({ netns });

  beforeEach(() => {
    createNetns(name);
    dumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns });
    longDumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns });
  });
  afterEach(() => {
    dumps.close();
    longDumps.close();
    deleteNetns(name);
  });

  const table = () => rendered(states['tiers with pass'] ?? []);

  for (const backend of ['libnftables', 'nft-program'] as const) {
    it(`goes on by ${backend} when the kernel refuses our messages`, async () => {
      const refusing = { run: () => [new LinuxError('EINVAL', 'nf_tables message')], close: () => {} };
      const channel = new KernelTable({
        openBatches: () => refusing,
        dumps,
        longDumps,
        ownTable: true,
        openText: () => openNftables({ netns, backend }),
        log,
      });
      const { ruleset } = table();
      assert.deepEqual(await channel.apply(ruleset.pending(), () => undefined), { kind: 'ok' });
      assert.equal(channel.name, backend);
      ruleset.rebase(await channel.read());
      assert.equal(ruleset.pending().text(), '');
      await channel.close();
    });
  }

  it('says that its picture is stale, and tries nothing else, when the kernel does not know what it should', async () => {
    const openText = () => assert.fail('must not be opened');
    const channel = new KernelTable({ openBatches, dumps, longDumps, ownTable: false, openText, log });
    const transaction = new Transaction([{ kind: 'flush-chain', name: 'nowhere' }]);
    const result = await channel.apply(transaction, () => undefined);
    assert.ok(result.kind === 'failed' && result.stale, JSON.stringify(result));
  });

  it('lets libnftables write a rule that our compiler does not know', async () => {
    const openText = () => openNftables({ netns });
    const channel = new KernelTable({ openBatches, dumps, longDumps, ownTable: true, openText, log });
    assert.equal(channel.claim().kind, 'owned');
    const { ruleset } = table();
    assert.deepEqual(await channel.apply(ruleset.pending(), () => undefined), { kind: 'ok' });
    ruleset.committed();
    ruleset.setChain({ name: 'odd', rules: [{ text: 'tcp flags syn ip dscp 1 drop', comment: 'odd' }] });
    assert.deepEqual(await channel.apply(ruleset.pending(), () => undefined), { kind: 'ok' });
    assert.deepEqual([channel.name, channel.isOwned], ['netlink', true]);
    ruleset.rebase(await channel.read());
    assert.equal(ruleset.pending().text(), '');
    // It was released for that, and is ours again.
    assert.throws(() => sh(`ip netns exec ${name} nft flush chain inet twill odd`), /Operation not permitted/);
    await channel.close();
  });

  it('avoids libnftables after a crash inside it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'twill-mark-'));
    const markFile = join(folder, 'mark');
    let crashes = 0;
    const open = () => openGuardedNftables({ netns, markFile, onCrash: () => crashes++ });
    const first = open();
    assert.equal(first.backend, 'libnftables');
    assert.equal((await first.run('add table inet x\n')).kind, 'ok');
    await first.close();
    assert.equal(readFileSync(markFile, 'utf8'), '0');
    assert.equal(open().backend, 'libnftables');
    // As a process leaves it that dies within a call.
    writeFileSync(markFile, '1');
    const after = open();
    assert.deepEqual([after.backend, crashes], ['nft-program', 1]);
    assert.equal((await after.run('delete table inet x\n')).kind, 'ok');
    rmSync(folder, { recursive: true });
  });
});
