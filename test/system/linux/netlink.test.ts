// rtnetlink against the kernel: everything we write is read back, and is what iproute2 sees; failures come back by request;
// batches and dumps of many routes; the event loop turns during a long dump.

import assert from 'node:assert/strict';
import { addAddress } from '../../../linux/netlink/address.ts';
import { changeLink, createVeth, deleteLink, ipv4Setting } from '../../../linux/netlink/link.ts';
import { deleteNeighbour, setNeighbour } from '../../../linux/netlink/neighbour.ts';
import { addRoute, deleteRoute, type Route } from '../../../linux/netlink/route.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { addRule, deleteRule } from '../../../linux/netlink/rule.ts';
import { netnsIdentity, withNetnsFd } from '../../../linux/netns.ts';
import { runOrThrow } from '../../../linux/process.ts';
import { readSysctl, writeSysctls, writeSysctlsIfPresent } from '../../../linux/sysctl.ts';
import { type Address, parseAddress } from '../../../net/address.ts';
import { comparePrefixes, type Prefix, parsePrefix } from '../../../net/prefix.ts';
import { useNetns } from './namespaces.ts';

const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);
const address = (text: string): Address => parseAddress(text) ?? assert.fail(text);

describe('rtnetlink', function () {
  this.timeout(30_000);
  const netns = useNetns('a', 'b', 'empty');
  let here: Rtnetlink;
  let there: Rtnetlink;
  let index: number;

  before(() => {
    here = new Rtnetlink({ netns: netns('a') });
    there = new Rtnetlink({ netns: netns('b') });
    withNetnsFd(netns('b'), (netnsFd) => {
      const end = { name: 'near', mac: 'ee:ee:ee:ee:ee:ee' };
      here.run(createVeth({ end, peer: { name: 'far', netnsFd }, mtu: 1450, up: true }));
    });
    there.run(changeLink('far', { up: true }));
    index = here.link('near')?.index ?? assert.fail();
    for (const text of ['10.9.0.1', 'fd09::1']) {
      here.run(addAddress({ interfaceIndex: index, address: address(text), length: 24, noDuplicateDetection: true }));
    }
  });
  after(() => {
    here.close();
    there.close();
  });

  const ip = async (...args: string[]): Promise<string> =>
    (await runOrThrow('ip', args, { netns: netns('a') })).trim().replaceAll(/ +$/gm, '');

  it('stays in the namespace it was opened in, and leaves us in ours', () => {
    const own = netnsIdentity(undefined);
    assert.notEqual(netnsIdentity(netns('a')), own);
    assert.equal(netnsIdentity(undefined), own);
    assert.deepEqual(
      here.links().map(({ name }) => name),
      ['lo', 'near'],
    );
    assert.deepEqual(
      there.links().map(({ name }) => name),
      ['lo', 'far'],
    );
  });

  it('makes and changes links', () => {
    const link = here.link('near');
    assert.deepEqual([link?.mac, link?.mtu, link?.kind, link?.up], ['ee:ee:ee:ee:ee:ee', 1450, 'veth', true]);
    here.run(changeLink(index, { alias: 'ours', mtu: 1400, ipv4Settings: new Map([[ipv4Setting.proxyArp, 1]]) }));
    assert.deepEqual([here.link(index)?.alias, here.link(index)?.mtu], ['ours', 1400]);
    assert.equal(readSysctl('net/ipv4/conf/near/proxy_arp', netns('a')), '1');
    assert.equal(here.link('nobody'), undefined);
    assert.throws(() => here.run(deleteLink('nobody')), { code: 'ENODEV' });
    assert.throws(() => here.run(createVeth({ end: { name: 'near' }, peer: { name: 'x' } })), { code: 'EEXIST' });
    here.run(createVeth({ end: { name: 'short' }, peer: { name: 'lived' } }));
    here.run(changeLink(here.link('short')?.index ?? 0, { name: 'renamed' }));
    assert.ok(here.link('lived') && here.link('renamed'));
    here.run(deleteLink('renamed'));
    assert.equal(here.link('lived'), undefined);
  });

  it('writes sysctls of the namespace only', () => {
    const before = readSysctl('net/ipv4/ip_forward');
    writeSysctls({ 'net/ipv4/ip_forward': 1, 'net/ipv4/conf/near/rp_filter': 2 }, netns('a'));
    assert.equal(readSysctl('net/ipv4/ip_forward', netns('a')), '1');
    assert.equal(readSysctl('net/ipv4/ip_forward', netns('b')), '0');
    assert.equal(readSysctl('net/ipv4/ip_forward'), before);
    assert.throws(() => writeSysctls({ 'net/ipv4/nonsense': 1 }, netns('a')));
    assert.equal(writeSysctlsIfPresent({ 'net/ipv4/nonsense': 1, 'net/ipv4/ip_forward': 0 }, netns('a')), false);
    assert.equal(readSysctl('net/ipv4/ip_forward', netns('a')), '0');
  });

  const routes: [Route, string][] = [
    [{ prefix: prefix('10.0.0.1/32'), protocol: 80, nextHops: [] }, '10.0.0.1 dev near proto 80 scope link'],
    [
      { prefix: prefix('10.1.0.0/26'), protocol: 80, priority: 7, nextHops: [{ gateway: address('10.9.0.2') }] },
      '10.1.0.0/26 via 10.9.0.2 dev near proto 80 metric 7',
    ],
    [
      {
        prefix: prefix('10.2.0.0/26'),
        protocol: 80,
        source: address('10.9.0.1'),
        mtu: 1300,
        nextHops: [{ gateway: address('192.0.2.1'), onlink: true }],
      },
      '10.2.0.0/26 via 192.0.2.1 dev near proto 80 src 10.9.0.1 onlink mtu 1300',
    ],
    [
      { prefix: prefix('10.3.0.0/26'), type: 'blackhole', protocol: 80, nextHops: [] },
      'blackhole 10.3.0.0/26 proto 80',
    ],
    [
      { prefix: prefix('10.4.0.0/26'), protocol: 80, nextHops: [{ gateway: address('fd09::2') }] },
      '10.4.0.0/26 via inet6 fd09::2 dev near proto 80',
    ],
    [
      {
        prefix: prefix('10.5.0.0/26'),
        protocol: 80,
        nextHops: [
          { gateway: address('10.9.0.2'), weight: 1 },
          { gateway: address('10.9.0.3'), weight: 2 },
        ],
      },
      '10.5.0.0/26 proto 80\n\tnexthop via 10.9.0.2 dev near weight 1\n\tnexthop via 10.9.0.3 dev near weight 2',
    ],
  ];

  it('writes routes as iproute2 shows them, and reads them back', async () => {
    const full = routes.map(([route]): Route => {
      const bare = route.type === 'blackhole' ? [] : route.nextHops.length === 0 ? [{}] : route.nextHops;
      return { ...route, nextHops: bare.map((hop) => ({ ...hop, interfaceIndex: index })) };
    });
    assert.deepEqual(here.execute(full.map((route) => addRoute(route))), []);
    assert.equal(
      await ip('route', 'show', 'proto', '80'),
      routes.map(([, text]) => text.replace(' proto 80', '')).join('\n'),
    );
    const read = here.routes({ family: 4, protocol: 80 });
    assert.deepEqual(
      read.map(({ scope: _, ...route }) => route),
      full.map((route) => ({ type: 'unicast', table: 254, ...route })),
    );
    assert.deepEqual(here.execute(read.map((route) => deleteRoute(route))), []);
    assert.deepEqual(here.routes({ family: 4, protocol: 80 }), []);
  });

  it('writes IPv6 routes, blackholes and tables', async () => {
    const written: Route[] = [
      {
        prefix: prefix('fd01::/122'),
        protocol: 81,
        nextHops: [{ gateway: address('fd09::2'), interfaceIndex: index }],
      },
      { prefix: prefix('fd02::/122'), protocol: 81, type: 'blackhole', nextHops: [] },
      {
        prefix: prefix('fd03::/122'),
        protocol: 81,
        table: 1000,
        nextHops: [
          { gateway: address('fd09::2'), interfaceIndex: index, weight: 1 },
          { gateway: address('fd09::3'), interfaceIndex: index, weight: 1 },
        ],
      },
    ];
    assert.deepEqual(here.execute(written.map((route) => addRoute(route))), []);
    const read = here.routes({ family: 6, protocol: 81 }).sort((a, b) => comparePrefixes(a.prefix, b.prefix));
    assert.deepEqual(
      read.map(({ scope: _, ...route }) => route),
      written.map((route) => ({ type: 'unicast', table: 254, priority: 1024, ...route })),
    );
    assert.deepEqual(here.routes({ family: 6, protocol: 81, table: 1000 }).length, 1);
    assert.deepEqual(
      here.execute(
        written.map(({ prefix: at, table }) => deleteRoute({ prefix: at, protocol: 81, ...(table && { table }) })),
      ),
      [],
    );
    assert.deepEqual(here.routes({ family: 6, protocol: 81 }), []);
  });

  it('finds no routes in tables and namespaces that never had one', async () => {
    const empty = new Rtnetlink({ netns: netns('empty') });
    for (const family of [4, 6] as const) {
      for (const filter of [{ family }, { family, table: 254 }, { family, table: 4711 }, { family, protocol: 80 }]) {
        assert.deepEqual(empty.routes(filter), []);
        assert.deepEqual(await empty.routesInSlices(filter), []);
      }
    }
    empty.close();
  });

  it('says by which interface an address is reached', () => {
    assert.equal(here.interfaceTowards(address('10.9.0.77')), index);
    assert.equal(here.interfaceTowards(address('fd09::77')), index);
    assert.equal(here.interfaceTowards(address('198.51.100.1')), undefined);
    const unreachable: Route = { prefix: prefix('198.51.100.0/24'), type: 'unreachable', protocol: 80, nextHops: [] };
    here.run(addRoute(unreachable));
    assert.equal(here.interfaceTowards(address('198.51.100.1')), undefined);
    here.run(deleteRoute(unreachable));
  });

  it('deletes no route of another protocol', () => {
    const route: Route = { prefix: prefix('10.8.0.0/24'), protocol: 4, nextHops: [{ interfaceIndex: index }] };
    here.run(addRoute(route));
    assert.throws(() => here.run(deleteRoute({ prefix: route.prefix, protocol: 80 })), { code: 'ESRCH' });
    here.run(deleteRoute({ prefix: route.prefix, protocol: 4 }));
  });

  it('gives failures back by request, with the kernel’s reason', () => {
    const good = (i: number): Route => ({
      prefix: prefix(`10.7.${i}.0/24`),
      protocol: 80,
      nextHops: [{ interfaceIndex: index }],
    });
    const bad: Route = { prefix: prefix('10.7.9.0/24'), protocol: 80, nextHops: [{ gateway: address('203.0.113.1') }] };
    const failures = here.execute([good(1), good(1), good(2), bad, good(3)].map((route) => addRoute(route)));
    assert.deepEqual(
      failures.map(({ index: at, error }) => [at, error.code]),
      [
        [1, 'EEXIST'],
        [3, 'ENETUNREACH'],
      ],
    );
    assert.match(failures[1]?.error.message ?? '', /10\.7\.9\.0\/24: ENETUNREACH: Nexthop has invalid gateway/);
    const deleted = here.execute(
      [1, 2, 3, 4].map((i) => deleteRoute({ prefix: prefix(`10.7.${i}.0/24`), protocol: 80 })),
    );
    assert.deepEqual(
      deleted.map(({ index: at, error }) => [at, error.code]),
      [[3, 'ESRCH']],
    );
  });

  it('takes many thousand routes, all failing too, and dumps them while the event loop turns', async () => {
    const many: Route[] = Array.from({ length: 10_000 }, (_, i) => ({
      prefix: { address: 0x14000000 + i * 256, length: 24 },
      protocol: 90,
      nextHops: [{ interfaceIndex: index }],
    }));
    assert.deepEqual(here.execute(many.map((route) => addRoute(route))), []);
    const refused = here.execute(many.map((route) => addRoute(route)));
    assert.equal(refused.length, many.length);
    assert.ok(refused.every(({ error }, i) => error.code === 'EEXIST' && refused[i]?.index === i));
    let turns = 0;
    const count = setInterval(() => turns++, 0);
    const [first, second] = await Promise.all([
      here.routesInSlices({ family: 4, protocol: 90 }),
      here.routesInSlices({ family: 4, protocol: 90 }),
    ]);
    clearInterval(count);
    assert.equal(first.length, many.length);
    assert.deepEqual(second, first);
    assert.ok(turns > 0, `${turns} turns`);
    const deletions = many.map(({ prefix: at }) => deleteRoute({ prefix: at, protocol: 90 }));
    assert.deepEqual(here.execute(deletions), []);
  });

  it('sets neighbours and rules', async () => {
    const permanent = {
      interfaceIndex: index,
      address: address('10.9.0.2'),
      mac: '02:00:00:00:00:01',
      permanent: true,
    };
    const proxy = { interfaceIndex: index, address: address('169.254.1.1'), proxy: true };
    here.run(setNeighbour(permanent));
    here.run(setNeighbour(proxy));
    assert.deepEqual(
      here.neighbours().filter(({ permanent: fixed }) => fixed),
      [permanent],
    );
    assert.deepEqual(here.neighbours({ proxy: true }), [proxy]);
    here.run(deleteNeighbour(proxy));
    assert.deepEqual(here.neighbours({ proxy: true }), []);

    const rule = { family: 4, priority: 99, table: 1000, protocol: 80, mark: 0x10000, markMask: 0x10000 } as const;
    here.run(addRule(rule));
    assert.match(await ip('rule'), /^99:\tfrom all fwmark 0x10000\/0x10000 lookup 1000 proto 80$/m);
    assert.deepEqual(
      here.rules(4).filter(({ priority }) => priority === 99),
      [rule],
    );
    here.run(deleteRule(rule));
    assert.deepEqual(
      here.rules(4).filter(({ priority }) => priority === 99),
      [],
    );
  });
});
