// Shows that nobody but felix can edit its table, and that no forbidden packet passes, whatever others try, when the table of an
// older agent is replaced, and when felix ends and comes again: under a flood of such packets. And who may write it when felix
// has to fall back to libnftables, or is there twice.

import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { KernelTable } from '../../../felix/dataplane/channel.ts';
import type { Batches } from '../../../felix/dataplane/table-owner.ts';
import { Transaction } from '../../../felix/nft/transaction.ts';
import { LinuxError } from '../../../linux/errors.ts';
import { NftBatchSocket } from '../../../linux/netlink/nftables-batch.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../linux/netlink/socket.ts';
import { netnsPath } from '../../../linux/netns.ts';
import { openNftables } from '../../../linux/nftables.ts';
import { createLogger } from '../../../runtime/log.ts';
import { inSync, ipSet, policyUpdate, port, profileUpdate, rule, tier, workload } from '../../felix/updates.ts';
import { edits } from './edits.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';

/** Sends datagrams to ports that nobody has opened, as fast as it can, and says every 1000 how many they were. */
const flooder = `
  const sockets = { 4: require('dgram').createSocket('udp4'), 6: require('dgram').createSocket('udp6') };
  let sent = 0;
  (function go() {
    for (let i = 0; i < 20; i++, sent++) {
      const address = process.argv[1 + (sent % 2)];
      sockets[address.includes(':') ? 6 : 4].send('flood', 9, address, () => {});
    }
    if (sent % 1000 === 0) console.log(sent);
    setImmediate(go);
  })()`;

describe('felix in the kernel: a table that nobody else may edit', function () {
  this.timeout(60_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  let flood: ChildProcess;
  let sent = 0;

  /** Runs a shell script inside. */
  const inNode = (
    script: string,
  ): { readonly status: number | null; readonly stderr: string; readonly stdout: string } =>
    spawnSync('ip', ['netns', 'exec', node.name, 'sh', '-es'], { input: script, encoding: 'utf8' });
  const table = (): string => inNode('nft -s list table inet twill').stdout;

  const start = async (options: { readonly ownTable?: boolean } = {}): Promise<Felix> => {
    const started = await node.startFelix(options);
    for (const update of [
      ipSet('s:clients', '10.65.0.7', '10.66.0.0/16', 'fd00:65::7'),
      policyUpdate('NetworkPolicy/ns/p', {
        ingress: [
          rule('allow', { protocol: 6, source: { ipSets: ['s:clients'] }, destination: { ports: [port(80)] } }),
          rule('allow', { protocol: 17, destination: { ports: [port(53)] } }),
        ],
      }),
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      workload('ns/a', a.interfaceName, a.addresses, {
        profiles: ['open'],
        tiers: [tier(['NetworkPolicy/ns/p'], [])],
      }),
      inSync,
    ]) {
      started.dataplane.onUpdate(update);
    }
    await until('the first apply', () => started.dataplane.status().ready);
    return started;
  };

  /** Packets of the flood that have reached the pod. */
  const passed = (): number =>
    Number(/packets (\d+)/.exec(sh(`ip netns exec ${a.netns} nft list chain inet count input`))?.[1] ?? Number.NaN);
  const flooded = async (packets: number): Promise<void> => {
    const before = sent;
    await until('the flood goes on', () => sent > before + packets, 20_000);
  };

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    await node.serve(a.netns, 53);
    sh(`ip netns exec ${a.netns} nft -f - <<'END'
table inet count { chain input { type filter hook input priority 0; udp dport 9 counter; }; }
END`);
    felix = await start();
    flood = spawn('ip', ['netns', 'exec', node.outside, process.execPath, '-e', flooder, ...a.addresses], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    flood.stdout?.on('data', (chunk) => {
      sent = Number(String(chunk).trim().split('\n').at(-1));
    });
    await flooded(1000);
  });
  after(async () => {
    flood?.kill('SIGKILL');
    await node.remove();
  });

  it('says so in its status, and the table in its listing', () => {
    assert.equal(felix.dataplane.status().tableOwned, true);
    assert.match(table(), /flags owner/);
  });

  for (const [what, command] of Object.entries(edits)) {
    it(`goes on undisturbed when somebody ${what}`, () => {
      const before = table();
      const { status, stderr } = inNode(command);
      // Who wipes everything is not refused: the kernel passes our table over.
      if (!command.includes('flush ruleset')) assert.ok(status !== 0 && stderr.includes('not permitted'), stderr);
      assert.equal(table(), before);
      assert.equal(passed(), 0);
    });
  }

  it('lets no packet of a flood pass while others try without pause', async () => {
    const attacks = [
      'flush ruleset',
      'delete table inet twill',
      'flush chain inet twill ingress',
      'flush chain inet twill forward-ingress',
      'add table inet twill { flags dormant; }',
      'insert rule inet twill forward-ingress accept',
    ];
    const attacker = spawn(
      'ip',
      ['netns', 'exec', node.name, 'sh', '-c', `while :; do ${attacks.map((one) => `nft '${one}';`).join(' ')} done`],
      { stdio: 'ignore' },
    );
    await flooded(50_000);
    attacker.kill('SIGKILL');
    assert.equal(passed(), 0);
    assert.equal(felix.dataplane.status().repairs, 0);
    assert.ok(node.talks(node.outside, '10.65.0.1', 53, 'udp'), 'what is allowed still passes');
  });

  it('leaves an orphan behind that works on, and takes it again', async () => {
    for (let i = 0; i < 3; i++) {
      await node.stopFelix(felix);
      assert.doesNotMatch(table(), /flags owner/);
      const before = inNode('nft -a -s list table inet twill').stdout.replace(/^.*flags.*$/m, '');
      await flooded(1000);
      felix = await start();
      assert.match(table(), /flags owner/);
      const after = inNode('nft -a -s list table inet twill').stdout.replace(/^.*flags.*$/m, '');
      assert.equal(after.replace(/^table.*\n/, ''), before.replace(/^table.*\n/, ''), 'not a rule was written');
    }
    assert.equal(passed(), 0);
  });

  it('can be removed by hand while felix is away', async () => {
    await node.stopFelix(felix);
    flood.kill('SIGSTOP');
    assert.equal(inNode('nft delete table inet twill').status, 0);
    assert.equal(inNode('nft list tables').stdout.includes('twill'), false);
    felix = await start();
    flood.kill('SIGCONT');
    assert.match(table(), /flags owner/);
    await flooded(1000);
    assert.equal(passed(), 0);
  });

  it('replaces the table of an agent that did not own it, without a gap', async () => {
    await node.stopFelix(felix);
    flood.kill('SIGSTOP');
    inNode('nft delete table inet twill');
    felix = await start({ ownTable: false });
    flood.kill('SIGCONT');
    assert.doesNotMatch(table(), /^table inet twill {( #.*)?\n\tflags/);
    assert.equal(felix.dataplane.status().tableOwned, false);
    await node.stopFelix(felix);
    felix = await start();
    assert.match(table(), /flags owner/);
    await flooded(10_000);
    // And back: an orphan is as good as a plain table.
    await node.stopFelix(felix);
    felix = await start({ ownTable: false });
    await flooded(10_000);
    assert.equal(passed(), 0);
    inNode('nft flush chain inet twill ingress');
    await until('the repair', () => felix.dataplane.status().repairs > 0);
    await node.stopFelix(felix);
    felix = await start();
    assert.equal(felix.dataplane.status().tableOwned, true);
  });

  describe('and its channels', () => {
    const log = createLogger('felix', 'silent');
    let dumps: NetlinkSocket;
    let longDumps: NetlinkSocket;
    const channels: KernelTable[] = [];
    const channel = (change: (socket: NftBatchSocket) => Batches = (socket) => socket): KernelTable => {
      const netns = netnsPath(node.name);
      const made = new KernelTable({
        openBatches: () => change(new NftBatchSocket({ netns })),
        dumps,
        longDumps,
        ownTable: true,
        openText: () => openNftables({ netns }),
        log,
      });
      channels.push(made);
      return made;
    };
    before(() => {
      dumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns: netnsPath(node.name) });
      longDumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns: netnsPath(node.name) });
    });
    afterEach(async () => {
      for (const one of channels.splice(0)) await one.close();
    });
    after(() => {
      dumps.close();
      longDumps.close();
    });

    it('a second agent gets nothing, and is told why', async () => {
      const second = channel();
      const claim = second.claim();
      assert.ok(claim.kind === 'taken', JSON.stringify(claim));
      assert.match(
        claim.message,
        /^nftables table inet twill belongs to .*another agent runs in this network namespace/,
      );
      const result = await second.apply(new Transaction([{ kind: 'flush-chain', name: 'ingress' }]), () => undefined);
      assert.ok(result.kind === 'failed' && result.message === claim.message, JSON.stringify(result));
      assert.equal(second.name, 'netlink');
    });

    it('finds out that a kernel can not keep it', async () => {
      await node.stopFelix(felix);
      // As there, no table has the flag.
      inNode('nft delete table inet twill');
      const refusing = (socket: NftBatchSocket): Batches => ({
        run: (messages) =>
          messages.some((message) => message.describe().endsWith('-probe'))
            ? [new LinuxError('EOPNOTSUPP', 'table')]
            : socket.run(messages),
        close: () => socket.close(),
      });
      const old = channel(refusing);
      assert.deepEqual(old.claim(), {
        kind: 'open',
        reason: 'the kernel does not keep a table for its owner: EOPNOTSUPP',
      });
      assert.equal(old.isOwned, false);
    });
  });
});
