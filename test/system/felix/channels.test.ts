// Shows that our own netlink messages build the very table that libnftables builds from the text, for every golden table,
// and that what we read back from the kernel is what we wrote.

import { strict as assert } from 'node:assert';
import { readTable } from '../../../felix/nft/decode.ts';
import { encodeCommands } from '../../../felix/nft/encode.ts';
import { NftBatchSocket } from '../../../linux/netlink/nftables-batch.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../linux/netlink/socket.ts';
import { netnsPath } from '../../../linux/netns.ts';
import { openNftables } from '../../../linux/nftables.ts';
import { rendered, states } from '../../felix/states.ts';
import { parseTable } from './listing.ts';
import { sh } from './node.ts';

describe('nf_tables by our own messages', function () {
  this.timeout(30_000);
  const name = `tw-dataplane-${process.pid % 10000}-ch`;

  beforeEach(() => sh(`ip netns add ${name}`));
  afterEach(() => sh(`ip netns del ${name}`));

  /** Without the numbers that the kernel gives. */
  const list = (): string => sh(`ip netns exec ${name} nft -n list ruleset`);

  for (const [what, updates] of Object.entries(states)) {
    it(`gives the table that the text gives: ${what}`, async () => {
      const table = rendered(updates);
      const transaction = table.ruleset.pending();
      const nft = openNftables({ netns: netnsPath(name) });
      assert.equal((await nft.run(transaction.text())).kind, 'ok');
      const byText = list();
      sh(`ip netns exec ${name} nft flush ruleset`);
      const messages = encodeCommands(transaction.commands, () => undefined);
      assert.ok(messages, 'some rule is not compiled');
      const socket = new NftBatchSocket({ netns: netnsPath(name) });
      assert.deepEqual(socket.run(messages), []);
      socket.close();
      assert.equal(list(), byText);
      assert.match(byText, /chain forward-ingress/);

      const reader = new NetlinkSocket({ protocol: NETLINK_NETFILTER, netns: netnsPath(name) });
      const read = readTable(reader);
      reader.close();
      assert.ok(read);
      const listing = await nft.listJson('list table inet twill');
      assert.ok(listing.kind === 'ok');
      assert.deepEqual(read, parseTable(listing.objects), 'both ways of reading');
      table.ruleset.rebase(read);
      assert.equal(table.ruleset.pending().text(), '', 'what was written');
      await nft.close();
    });
  }
});
