// Router discovery between two namespaces: each hears the other's solicitations and advertisements with its link-local
// address, and nothing from farther away than the link.

import assert from 'node:assert/strict';
import { changeLink, createVeth, parseMac } from '../../../linux/netlink/link.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { withNetnsFd } from '../../../linux/netns.ts';
import { PacketListener } from '../../../linux/packet-listener.ts';
import { parseRouterMessage, RouterDiscovery } from '../../../linux/router-discovery.ts';
import { writeSysctls } from '../../../linux/sysctl.ts';
import { formatIpv6 } from '../../../net/address.ts';
import { until, useNetns } from './namespaces.ts';

describe('router discovery', function () {
  this.timeout(20_000);
  const netns = useNetns('left', 'right');
  const macs = { left: '02:00:00:00:00:01', right: '02:00:00:00:00:02' };
  const bytesOf = (mac: string): Uint8Array => parseMac(mac) ?? assert.fail(mac);

  before(async () => {
    const left = new Rtnetlink({ netns: netns('left') });
    const right = new Rtnetlink({ netns: netns('right') });
    for (const side of ['left', 'right']) writeSysctls({ 'net/ipv6/conf/default/accept_dad': 0 }, netns(side));
    withNetnsFd(netns('right'), (netnsFd) => {
      left.run(
        createVeth({ end: { name: 'up0', mac: macs.left }, peer: { name: 'up0', mac: macs.right, netnsFd }, up: true }),
      );
    });
    right.run(changeLink('up0', { up: true }));
    await until('link-local addresses', () => left.addresses().length > 0 && right.addresses().length > 0);
    left.close();
    right.close();
  });

  it('brings routers on a link together', async () => {
    const listener = new PacketListener();
    const heard: string[] = [];
    const join = (side: 'left' | 'right'): RouterDiscovery =>
      new RouterDiscovery({
        netns: netns(side),
        device: 'up0',
        listener,
        onMessage: (message, source) => {
          const lifetime = message.kind === 'advertisement' ? ` ${message.lifetimeSec}` : '';
          heard.push(`${side}: ${message.kind}${lifetime} of ${formatIpv6(source)}`);
        },
      });
    const left = join('left');
    const right = join('right');
    left.solicit(bytesOf(macs.left));
    await until('a solicitation', () => heard.length === 1);
    right.advertise(bytesOf(macs.right), 1800);
    await until('an advertisement', () => heard.length === 2);
    assert.deepEqual(heard, ['right: solicitation of fe80::ff:fe00:1', 'left: advertisement 1800 of fe80::ff:fe00:2']);
    left.close();
    right.advertise(bytesOf(macs.right));
    right.close();
    await listener.close();
    assert.equal(heard.length, 2);
  });

  it('says that there is no such interface', async () => {
    const listener = new PacketListener();
    const open = (): unknown =>
      new RouterDiscovery({ netns: netns('left'), device: 'none', listener, onMessage: () => {} });
    assert.throws(open, { code: 'ENODEV' });
    await listener.close();
  });

  it('reads nothing into other messages', () => {
    for (const bytes of [
      [],
      [134, 0, 0, 0],
      [134, 1, ...new Array(14).fill(0)],
      [133, 0, 0, 0],
      [128, 0, ...new Array(14).fill(0)],
    ]) {
      assert.equal(parseRouterMessage(Uint8Array.from(bytes)), undefined);
    }
  });
});
