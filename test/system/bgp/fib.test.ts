// Shows against the real kernel, in a namespace, that the FIB writes and removes only its own routes, finds them again,
// resolves next hops and hears about links and foreign routes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { Fib, FibRoute } from '../../../bgp/edges.ts';
import { openFib } from '../../../bgp/fib.ts';
import { createNetns, deleteNetns, netnsPath } from '../../../linux/netns.ts';
import { parseAddress } from '../../../net/address.ts';
import { formatPrefix, parsePrefix } from '../../../net/prefix.ts';

const netns = `tw-bgp2-fib-${process.pid}`;
const ip = (...words: string[]): string => execFileSync('ip', ['-n', netns, ...words], { encoding: 'utf8' });
const settings = { table: 254, protocol: 81, priority: 1024 };

describe('bgp fib, in the kernel', () => {
  let fib: Fib;

  before(() => {
    createNetns(netns);
    ip('link', 'set', 'lo', 'up');
    for (const n of [1, 2]) {
      ip('link', 'add', `e${n}`, 'type', 'veth', 'peer', 'name', `p${n}`);
      ip('link', 'set', `e${n}`, 'up');
      ip('link', 'set', `p${n}`, 'up');
      ip('addr', 'add', `10.0.${n}.1/24`, 'dev', `e${n}`);
      ip('addr', 'add', `fd00:${n}::1/64`, 'dev', `e${n}`, 'nodad');
    }
    ip('route', 'add', '10.20.0.0/26', 'via', '10.0.1.9', 'metric', '1024', 'proto', 'static');
  });
  beforeEach(async () => {
    fib = await openFib({ settings, netns: netnsPath(netns) });
  });
  afterEach(() => fib.close());
  after(() => {
    deleteNetns(netns);
  });

  const ours = (family: '-4' | '-6'): string[] =>
    ip(family, 'route', 'show', 'proto', '81')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');

  function lostRoutes(): string[] {
    const lost: string[] = [];
    fib.onLost?.((prefixes) => lost.push(...prefixes.map(formatPrefix)));
    return lost;
  }
  const waysTo = (text: string) => fib.lookUp(address(text))?.ways ?? [];

  it('writes unicast, multipath and blackhole routes of both families, finds them after a restart, removes them', async () => {
    const routes: FibRoute[] = [
      { kind: 'unicast', prefix: prefix('10.10.0.0/26'), nextHops: [{ gateway: address('10.0.1.2') }] },
      {
        kind: 'unicast',
        prefix: prefix('10.10.1.0/26'),
        nextHops: [{ gateway: address('10.0.1.2') }, { gateway: address('10.0.2.2') }],
      },
      { kind: 'blackhole', prefix: prefix('10.10.2.0/26') },
      { kind: 'unicast', prefix: prefix('fd10::/64'), nextHops: [{ gateway: address('fd00:1::2') }] },
      {
        kind: 'unicast',
        prefix: prefix('fd10:0:0:1::/64'),
        nextHops: [{ gateway: address('fd00:1::2') }, { gateway: address('fd00:2::2') }],
      },
      { kind: 'blackhole', prefix: prefix('fd10:0:0:2::/64') },
    ];
    assert.deepEqual(await fib.apply(routes, []), []);
    assert.equal(ours('-4').filter((line) => !line.startsWith('nexthop')).length, 3);
    fib.close();
    fib = await openFib({ settings, netns: netnsPath(netns) });
    const found = await fib.dump();
    assert.deepEqual(
      found.map(({ prefix: { length, address: at }, kind }) => `${kind} ${at}/${length}`).sort(),
      routes.map(({ prefix: { length, address: at }, kind }) => `${kind} ${at}/${length}`).sort(),
    );
    const multipath = found.find((route) => route.prefix.address === prefix('fd10:0:0:1::/64').address);
    assert.equal(multipath?.kind === 'unicast' && multipath.nextHops.length, 2);
    // Replaced: from two next hops to one.
    const single: FibRoute = {
      kind: 'unicast',
      prefix: prefix('fd10:0:0:1::/64'),
      nextHops: [{ gateway: address('fd00:2::2') }],
    };
    assert.deepEqual(await fib.apply([single], [prefix('10.10.1.0/26')]), []);
    assert.match(
      ip('-6', 'route', 'show', 'fd10:0:0:1::/64'),
      /^fd10:0:0:1::\/64 via fd00:2::2 dev e2 proto 81 metric 1024[^\n]*\n$/,
    );
    assert.deepEqual(
      await fib.apply(
        [],
        routes.map((route) => route.prefix),
      ),
      [],
    );
    assert.deepEqual([...ours('-4'), ...ours('-6')], []);
  });

  it('leaves a foreign route of the same prefix and metric alone, and takes its place when it is gone', async () => {
    const route: FibRoute = { kind: 'blackhole', prefix: prefix('10.20.0.0/26') };
    assert.deepEqual(await fib.apply([route], []), [{ prefix: route.prefix, error: 'EEXIST' }]);
    assert.match(ip('route', 'show', '10.20.0.0/26'), /proto static/);
    assert.deepEqual(await fib.apply([], [route.prefix]), []);
    assert.match(ip('route', 'show', '10.20.0.0/26'), /proto static/);
    const free = lostRoutes();
    await fib.apply([route], []);
    assert.equal(fib.isWaiting?.(route.prefix), true);
    ip('route', 'del', '10.20.0.0/26');
    await until(() => free.includes('10.20.0.0/26'));
    await fib.apply([route], []);
    await until(() => /^blackhole 10.20.0.0\/26 proto 81/.test(ip('route', 'show', '10.20.0.0/26')));
    await fib.apply([], [route.prefix]);
  });

  it('keeps a learned route for a connected network out while the interface has it', async () => {
    const route: FibRoute = {
      kind: 'unicast',
      prefix: prefix('10.0.2.0/24'),
      nextHops: [{ gateway: address('10.0.1.2') }],
    };
    const free = lostRoutes();
    assert.deepEqual(await fib.apply([route], []), []);
    assert.deepEqual(ours('-4'), []);
    ip('addr', 'del', '10.0.2.1/24', 'dev', 'e2');
    await until(() => free.includes('10.0.2.0/24'));
    assert.deepEqual(await fib.apply([route], []), []);
    assert.equal(ours('-4').length, 1);
    await fib.apply([], [route.prefix]);
    ip('addr', 'add', '10.0.2.1/24', 'dev', 'e2');
  });

  it('tells which of its routes the kernel, or somebody, has removed', async () => {
    const lost = lostRoutes();
    const routes: FibRoute[] = ['10.50.0.0/26', '10.50.1.0/26'].map((text, i) => ({
      kind: 'unicast',
      prefix: prefix(text),
      nextHops: [{ gateway: address(`10.0.${i + 1}.2`) }],
    }));
    await fib.apply(routes, []);
    // Down and up at once: what follows from the events in between is undone before anybody can look.
    ip('link', 'set', 'e2', 'down');
    ip('link', 'set', 'e2', 'up');
    await until(() => lost.length > 0);
    assert.deepEqual(lost, ['10.50.1.0/26']);
    await until(() => waysTo('10.0.2.2').length > 0);
    assert.deepEqual(await fib.apply(routes.slice(1), []), []);
    assert.equal(ours('-4').length, 2);
    await fib.apply(
      [],
      routes.map((route) => route.prefix),
    );
  });

  it('writes its routes with a new metric without losing them in between', async () => {
    const next = {
      kind: 'unicast',
      prefix: prefix('10.60.0.0/26'),
      nextHops: [{ gateway: address('10.0.1.2') }],
    } as const;
    const gone: FibRoute = { kind: 'blackhole', prefix: prefix('10.60.1.0/26') };
    await fib.apply([next, gone], []);
    fib.close();
    fib = await openFib({ settings: { ...settings, priority: 77 }, netns: netnsPath(netns) });
    const found = await fib.dump();
    assert.deepEqual(
      found.map((route) => route.kind === 'unicast' && [route.nextHops.length, route.priority]),
      [
        [1, 1024],
        [0, undefined],
      ],
    );
    assert.deepEqual(await fib.apply([next], [gone.prefix]), []);
    assert.deepEqual(ours('-4'), ['10.60.0.0/26 via 10.0.1.2 dev e1 metric 77']);
    await fib.apply([], [next.prefix]);
    assert.deepEqual(ours('-4'), []);
  });

  it('says what the kernel refused', async () => {
    const route: FibRoute = {
      kind: 'unicast',
      prefix: prefix('10.30.0.0/26'),
      nextHops: [{ gateway: address('10.99.0.1') }],
    };
    assert.deepEqual(await fib.apply([route], []), [{ prefix: route.prefix, error: 'ENETUNREACH' }]);
  });

  it('tells of an interface that is called differently', async () => {
    const [way] = waysTo('10.0.2.2');
    const index = way?.interfaceIndex ?? 0;
    assert.equal(fib.nameOf?.(index), 'e2');
    const renamed: number[] = [];
    fib.onRenamed?.((one) => renamed.push(one));
    ip('link', 'add', 'e8', 'type', 'veth', 'peer', 'name', 'p8');
    ip('link', 'set', 'e8', 'name', 'e9');
    ip('link', 'set', 'e2', 'down');
    ip('link', 'set', 'e2', 'name', 'uplink');
    await until(() => renamed.includes(index));
    assert.equal(fib.nameOf?.(index), 'uplink');
    ip('link', 'set', 'uplink', 'name', 'e2');
    ip('link', 'set', 'e2', 'up');
    ip('link', 'del', 'e9');
    await until(() => fib.nameOf?.(index) === 'e2' && waysTo('10.0.2.2').length === 1);
    ip('addr', 'replace', 'fd00:2::1/64', 'dev', 'e2', 'nodad');
  });

  it('resolves next hops, and tells when a link or a foreign route changes the answer', async () => {
    const changes: unknown[] = [];
    fib.onChange((addresses) => changes.push(...addresses));
    const index = Number(/^(\d+):/.exec(ip('-o', 'link', 'show', 'e2'))?.[1]);
    assert.deepEqual(fib.lookUp(address('10.0.2.7')), { length: 24, priority: 0, ways: [{ interfaceIndex: index }] });
    assert.equal(fib.lookUp(address('172.16.0.1')), undefined);
    ip('route', 'add', '172.16.0.0/16', 'via', '10.0.2.7');
    await until(() => changes.length === 1);
    assert.deepEqual(changes, [address('172.16.0.1')]);
    assert.deepEqual(waysTo('172.16.0.1'), [{ interfaceIndex: index, gateway: address('10.0.2.7') }]);
    const route: FibRoute = {
      kind: 'unicast',
      prefix: prefix('10.40.0.0/26'),
      nextHops: [{ gateway: address('10.0.2.7') }],
    };
    await fib.apply([route], []);
    ip('link', 'set', 'e2', 'down');
    await until(() => waysTo('10.0.2.7').length === 0);
    // The kernel has removed our route with the link; removing it again is no failure.
    assert.deepEqual(await fib.apply([], [route.prefix]), []);
    ip('link', 'set', 'e2', 'up');
    await until(() => waysTo('10.0.2.7')[0]?.interfaceIndex === index);
    assert.deepEqual(await fib.apply([route], []), []);
    await fib.apply([], [route.prefix]);
  });
});

async function until(condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    assert(Date.now() < deadline, `not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function address(text: string) {
  const parsed = parseAddress(text);
  assert(parsed !== undefined);
  return parsed;
}

function prefix(text: string) {
  const parsed = parsePrefix(text);
  assert(parsed);
  return parsed;
}
