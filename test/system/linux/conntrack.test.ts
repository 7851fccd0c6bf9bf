// Connection tracking against the kernel: flows of a router namespace are listed, filtered by address and mark, and
// forgotten one by one.

import assert from 'node:assert/strict';
import { addAddress } from '../../../linux/netlink/address.ts';
import { Conntrack } from '../../../linux/netlink/conntrack.ts';
import { changeLink, createVeth } from '../../../linux/netlink/link.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { withNetnsFd } from '../../../linux/netns.ts';
import { openNftables } from '../../../linux/nftables.ts';
import { runOrThrow } from '../../../linux/process.ts';
import { type Address, parseAddress } from '../../../net/address.ts';
import { useNetns } from './namespaces.ts';

const address = (text: string): Address => parseAddress(text) ?? assert.fail(text);

describe('conntrack', function () {
  this.timeout(20_000);
  const netns = useNetns('tracker', 'talker');
  let conntrack: Conntrack;

  before(async () => {
    const tracker = new Rtnetlink({ netns: netns('tracker') });
    const talker = new Rtnetlink({ netns: netns('talker') });
    withNetnsFd(netns('talker'), (netnsFd) =>
      tracker.run(createVeth({ end: { name: 'v0' }, peer: { name: 'v0', netnsFd }, up: true })),
    );
    talker.run(changeLink('v0', { up: true }));
    for (const [links, texts] of [
      [tracker, ['10.9.0.1', 'fd09::1']],
      [talker, ['10.9.0.2', '10.9.0.3', 'fd09::2']],
    ] as const) {
      const interfaceIndex = links.link('v0')?.index ?? assert.fail();
      for (const text of texts) {
        const length = text.includes(':') ? 64 : 24;
        links.run(addAddress({ interfaceIndex, address: address(text), length, noDuplicateDetection: true }));
      }
      links.close();
    }
    const nft = openNftables({ netns: netns('tracker') });
    const made = await nft.run(`table inet t {
      chain c {
        type filter hook input priority filter
        ip saddr 10.9.0.3 ct mark set 0x10001
        ct state new accept
      }
    }`);
    assert.equal(made.kind, 'ok');
    await nft.close();
    conntrack = new Conntrack({ netns: netns('tracker') });
    for (const [source, to] of [
      ['10.9.0.2', '10.9.0.1'],
      ['10.9.0.3', '10.9.0.1'],
      ['fd09::2', 'fd09::1'],
    ] as const) {
      await runOrThrow('ping', ['-c1', '-W2', '-I', source, to], { netns: netns('talker') });
    }
    const udp = 'echo hello | socat -u - UDP-SENDTO:10.9.0.1:5000,bind=10.9.0.2:4000';
    await runOrThrow('sh', ['-c', udp], { netns: netns('talker') });
  });
  after(() => conntrack.close());

  it('lists flows with both directions', async () => {
    const flows = await conntrack.flows({ family: 4 });
    const udp = flows.find(({ original }) => original.protocol === 17);
    const wanted = { source: address('10.9.0.2'), destination: address('10.9.0.1'), protocol: 17 };
    assert.deepEqual(udp?.original, { ...wanted, sourcePort: 4000, destinationPort: 5000 });
    assert.deepEqual([udp?.reply.source, udp?.reply.sourcePort], [address('10.9.0.1'), 5000]);
    const icmp = flows.filter(({ original }) => original.protocol === 1);
    assert.deepEqual(
      icmp.map(({ original: { icmpType }, seenReply }) => [icmpType, seenReply]),
      [
        [8, true],
        [8, true],
      ],
    );
    const [ipv6] = await conntrack.flows({ family: 6, originalSource: address('fd09::2') });
    assert.deepEqual([ipv6?.original.protocol, ipv6?.original.icmpType, ipv6?.mark], [58, 128, 0]);
  });

  it('filters by address and mark', async () => {
    const sources = async (filter: object): Promise<unknown[]> =>
      (await conntrack.flows({ family: 4, ...filter })).map(({ original }) => original.source);
    assert.deepEqual(await sources({ originalSource: address('10.9.0.3') }), [address('10.9.0.3')]);
    assert.deepEqual(await sources({ replyDestination: address('10.9.0.3') }), [address('10.9.0.3')]);
    assert.deepEqual(await sources({ originalSource: address('10.9.0.9') }), []);
    assert.deepEqual(await sources({ mark: { value: 0x10000, mask: 0xffff0000 } }), [address('10.9.0.3')]);
  });

  it('forgets the very flows that it is told to', async () => {
    const flows = await conntrack.flows({ family: 4 });
    const udp = flows.filter(({ original }) => original.protocol === 17);
    assert.equal(udp.length, 1);
    // Same tuple, another flow: not this one.
    assert.deepEqual(conntrack.delete(udp.map((flow) => ({ ...flow, id: flow.id ^ 1 }))), []);
    assert.equal((await conntrack.flows({ family: 4 })).length, flows.length);
    assert.deepEqual(conntrack.delete(udp), []);
    assert.deepEqual(conntrack.delete(udp), []);
    const left = await conntrack.flows({ family: 4 });
    assert.deepEqual(
      left.map(({ original }) => original.protocol),
      [1, 1],
    );
    assert.deepEqual(conntrack.delete(left), []);
    assert.deepEqual(await conntrack.flows({ family: 4 }), []);
    const ipv6 = await conntrack.flows({ family: 6, replySource: address('fd09::1') });
    assert.equal(ipv6.length, 1);
    assert.deepEqual(conntrack.delete(ipv6), []);
    assert.deepEqual(await conntrack.flows({ family: 6, originalSource: address('fd09::2') }), []);
  });
});
