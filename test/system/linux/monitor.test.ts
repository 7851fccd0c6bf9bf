// The monitor against the kernel: links, addresses, routes and nftables edits as they happen, our own routes filtered in
// the kernel, a flood while nobody listens reported as a loss, and a clean end.

import assert from 'node:assert/strict';
import { Monitor, type MonitorEvent } from '../../../linux/monitor.ts';
import { addAddress } from '../../../linux/netlink/address.ts';
import { changeLink, createVeth, deleteLink } from '../../../linux/netlink/link.ts';
import { addRoute, deleteRoute } from '../../../linux/netlink/route.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { openNftables } from '../../../linux/nftables.ts';
import { runOrThrow } from '../../../linux/process.ts';
import { until, useNetns } from './namespaces.ts';

describe('monitor', function () {
  this.timeout(30_000);
  const netns = useNetns('monitor');
  let links: Rtnetlink;
  let index: number;

  before(() => {
    links = new Rtnetlink({ netns: netns('monitor') });
    links.run(createVeth({ end: { name: 'one' }, peer: { name: 'two' }, up: true }));
    links.run(changeLink('two', { up: true }));
    index = links.link('one')?.index ?? 0;
  });
  after(() => links.close());

  function watch(
    subjects: ConstructorParameters<typeof Monitor>[0]['watch'],
    ignore: readonly number[] = [],
    bufferBytes?: number,
  ) {
    const events: MonitorEvent[] = [];
    const monitor = new Monitor({
      netns: netns('monitor'),
      watch: subjects,
      ignoreRoutes: { protocols: ignore },
      ...(bufferBytes && { bufferBytes }),
      onEvents: (batch) => {
        assert.ok(batch.length > 0);
        events.push(...batch);
      },
    });
    const kinds = (): string[] => events.map(({ kind }) => kind);
    return { events, monitor, kinds };
  }

  it('tells of links, addresses and routes', async () => {
    const { events, monitor, kinds } = watch(['links', 'addresses', 'routes']);
    links.run(createVeth({ end: { name: 'come' }, peer: { name: 'go' } }));
    links.run(addAddress({ interfaceIndex: index, address: 0x0a090001, length: 24 }));
    links.run(
      addRoute({ prefix: { address: 0x0a010000, length: 16 }, protocol: 4, nextHops: [{ gateway: 0x0a090002 }] }),
    );
    links.run(deleteRoute({ prefix: { address: 0x0a010000, length: 16 }, protocol: 4 }));
    links.run(deleteLink('come'));
    await until('both ends are gone', () => kinds().filter((kind) => kind === 'link-removed').length === 2);
    const named = (name: string): MonitorEvent | undefined =>
      events.find((event) => event.kind === 'link' && event.link.name === name);
    assert.ok(named('come') && named('go'));
    assert.ok(events.some((event) => event.kind === 'address' && event.address.address === 0x0a090001));
    const route = events.find((event) => event.kind === 'route' && event.route.protocol === 4);
    assert.ok(route?.kind === 'route');
    assert.deepEqual(route.route.nextHops, [{ gateway: 0x0a090002, interfaceIndex: index }]);
    assert.ok(kinds().includes('route-removed'));
    assert.ok(!kinds().includes('resync'));
    await monitor.close();
  });

  it('does not hear of routes of ignored protocols', async () => {
    const { events, monitor, kinds } = watch(['routes'], [80, 81]);
    for (const protocol of [80, 81, 4]) {
      links.run(
        addRoute({
          prefix: { address: 0x0a020000, length: 16 },
          protocol,
          priority: protocol,
          nextHops: [{ interfaceIndex: index }],
        }),
      );
    }
    await until('a route', () => kinds().includes('route'));
    assert.deepEqual(
      events.map((event) => event.kind === 'route' && event.route.protocol),
      [4],
    );
    await monitor.close();
  });

  it('is not told of a transaction of ours, but that others wrote meanwhile', async () => {
    const { monitor, kinds } = watch(['nftables']);
    const nft = openNftables({ netns: netns('monitor') });
    const many = Array.from({ length: 5000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`).join(', ');
    await monitor.withoutNftables(() =>
      nft.run(`add table inet big\nadd set inet big s { type ipv4_addr; }\nadd element inet big s { ${many} }\n`),
    );
    // In order: had the first been told, it would be before this one.
    await nft.run('add table inet after\n');
    await until('the second is told', () => kinds().length > 0);
    assert.deepEqual(kinds(), ['nftables']);
    await monitor.withoutNftables(async () => {
      await nft.run('delete table inet big\n');
      await nft.run('delete table inet after\n');
    });
    assert.deepEqual(kinds(), ['nftables', 'resync']);
    await nft.run('add table inet again\ndelete table inet again\n');
    await until('the last is told', () => kinds().length > 2);
    await nft.close();
    await monitor.close();
  });

  it('tells whose nftables edits they are', async () => {
    const { events, monitor, kinds } = watch(['nftables']);
    const client = openNftables({ netns: netns('monitor') });
    await client.run('add table inet ours\nadd chain inet ours c');
    await runOrThrow('nft', ['add', 'table', 'ip', 'theirs'], { netns: netns('monitor') });
    await until('two transactions', () => kinds().length === 2);
    assert.deepEqual(
      events.map((event) => event.kind === 'nftables' && [event.tables, event.own]),
      [
        [['inet ours'], true],
        [['ip theirs'], false],
      ],
    );
    const [, foreign] = events;
    assert.equal(foreign?.kind === 'nftables' && foreign.by, 'nft');
    await client.close();
    await monitor.close();
  });

  const flood = (protocol: number): void => {
    const prefixes = Array.from({ length: 10_000 }, (_, i) => ({ address: 0x14000000 + i * 256, length: 24 }));
    links.execute(prefixes.map((prefix) => addRoute({ prefix, protocol, nextHops: [{ interfaceIndex: index }] })));
    links.execute(prefixes.map((prefix) => deleteRoute({ prefix, protocol })));
  };

  it('counts every one of many', async () => {
    const { monitor, kinds } = watch(['routes']);
    flood(90);
    await until('all removals', () => kinds().filter((kind) => kind === 'route-removed').length === 10_000);
    assert.ok(!kinds().includes('resync'));
    await monitor.close();
  });

  it('says that it lost some when nobody listened for too long, and goes on', async () => {
    const { monitor, kinds, events } = watch(['routes'], [], 64 * 1024);
    flood(90);
    await until('a resync', () => kinds().includes('resync'));
    // While the buffer is still full of the flood, a later route may be lost, too: there are more of them.
    let later = 0;
    await until('a later route', () => {
      const prefix = { address: 0x0a030000 + later++ * 256, length: 24 };
      links.run(addRoute({ prefix, protocol: 4, nextHops: [{ interfaceIndex: index }] }));
      return events.some((event) => event.kind === 'route' && event.route.protocol === 4);
    });
    await monitor.close();
  });

  it('ends, and tells nothing afterwards', async () => {
    const { monitor, kinds } = watch(['links']);
    await monitor.close();
    await monitor.close();
    links.run(createVeth({ end: { name: 'later' }, peer: { name: 'than' } }));
    links.run(deleteLink('later'));
    assert.deepEqual(kinds(), []);
  });
});
