// Shows BFD beside BIRD and FRR's bfdd: sessions of both families come up at 50 ms × 3, notice a broken link within a few
// intervals, hold while this process is busy, over several hops too, and tell a stop from a failure.

import assert from 'node:assert/strict';
import { BfdClient } from '../../../bgp/bfd/client.ts';
import { BfdEngine, type BfdPeer, type BfdStateChange } from '../../../bgp/bfd/engine.ts';
import { netnsPath } from '../../../linux/netns.ts';
import { createLogger } from '../../../runtime/log.ts';
import { Bench, quietly, until } from './routers.ts';
import { address } from './speaker-in-netns.ts';

describe('BFD', () => {
  let bench: Bench;
  let bfd: BfdClient;
  let changes: (BfdStateChange & { readonly at: number })[];
  beforeEach(() => {
    bench = new Bench('bfd');
    bfd = new BfdClient({ log: createLogger('test', 'silent'), netns: bench.netns });
    changes = [];
    bfd.onState = (change) => changes.push({ ...change, at: performance.now() });
  });
  afterEach(async () => {
    await bfd.close();
    await bench.close();
  });

  const peer = (theirs: string, ours: string, multihop = false): BfdPeer => ({
    key: theirs,
    address: address(theirs),
    source: address(ours),
    multihop,
    timing: { minTxMs: 50, minRxMs: 50, multiplier: 3 },
  });
  const stateOf = (key: string): string => changes.filter((change) => change.key === key).at(-1)?.state ?? 'Down';

  async function withBird(multihop = false): Promise<void> {
    const kind = multihop ? 'multihop' : 'interface "e0"';
    const neighbors = ['10.77.0.1 local 10.77.0.2', 'fd77::1 local fd77::2'].map(
      (one) =>
        `neighbor ${multihop ? one.replace(' local', ' local') : one.replace(' local', ' dev "e0" local')}${multihop ? ' multihop' : ''};`,
    );
    await bench.startBird(
      `router id 10.77.0.2;
protocol bfd {
  ${kind} { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 300 ms; multiplier 3; };
  ${neighbors.join('\n  ')}
}`,
      true,
    );
  }

  it('comes up with BIRD over both families, and notices a broken link', async () => {
    await withBird();
    bfd.configure([peer('10.77.0.2', '10.77.0.1'), peer('fd77::2', 'fd77::1')]);
    await until(
      () => stateOf('10.77.0.2') === 'Up' && stateOf('fd77::2') === 'Up',
      () => bench.birdc('show', 'bfd', 'sessions'),
    );
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(
      changes.every(({ state }) => state !== 'Down'),
      true,
    );
    const reports = await bfd.reports();
    assert.deepEqual(
      reports.map(({ detectionMs }) => detectionMs),
      [150, 150],
    );
    const cutAt = performance.now();
    bench.ip(bench.them, 'link', 'set', 'e0', 'down');
    await until(() => stateOf('10.77.0.2') === 'Down' && stateOf('fd77::2') === 'Down');
    for (const { state, at, reason, byAdministrator } of changes.slice(-2)) {
      assert.equal(state, 'Down');
      assert(at - cutAt < 400, `noticed after ${at - cutAt} ms`);
      assert.equal(reason, 'control detection time expired');
      assert.equal(byAdministrator, false);
    }
    bench.ip(bench.them, 'link', 'set', 'e0', 'up');
    await until(() => stateOf('10.77.0.2') === 'Up');
  });

  it('holds while this thread does nothing but compute', async () => {
    await withBird();
    bfd.configure([peer('10.77.0.2', '10.77.0.1')]);
    await until(() => stateOf('10.77.0.2') === 'Up');
    for (let i = 0; i < 4; i++) {
      const end = performance.now() + 700;
      while (performance.now() < end);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(
      changes.filter(({ state }) => state === 'Down'),
      [],
    );
    assert.match(bench.birdc('show', 'bfd', 'sessions'), /10\.77\.0\.1 +e0 +Up/);
  });

  it('does not take its own delay for the peer’s silence', async () => {
    // The peer sends every 50 ms, and hears from us now and then.
    const theirs = new BfdClient({ log: createLogger('test', 'silent'), netns: netnsPath(bench.them) });
    const seen: string[] = [];
    const engine = new BfdEngine(({ state }) => seen.push(state), { netns: bench.netns });
    try {
      theirs.configure([peer('10.77.0.1', '10.77.0.2')]);
      engine.configure([{ ...peer('10.77.0.2', '10.77.0.1'), timing: { minTxMs: 1000, minRxMs: 50, multiplier: 5 } }]);
      await until(() => seen.at(-1) === 'Up' && engine.reports()[0]?.detectionMs === 150);
      seen.length = 0;
      for (let i = 0; i < 5; i++) {
        const end = performance.now() + 400;
        while (performance.now() < end);
        await new Promise((resolve) => setTimeout(resolve, 20));
        assert.deepEqual(seen, []);
      }
      // Silence that is one is noticed as before.
      bench.ip(bench.them, 'link', 'set', 'e0', 'down');
      await until(() => seen.at(-1) === 'Down');
    } finally {
      engine.close();
      await theirs.close();
    }
  });

  it('runs over several hops (RFC 5883)', async () => {
    await withBird(true);
    bfd.configure([peer('10.77.0.2', '10.77.0.1', true)]);
    await until(
      () => stateOf('10.77.0.2') === 'Up',
      () => bench.birdc('show', 'bfd', 'sessions'),
    );
  });

  it('tells the peer of a stop on purpose, and takes the peer’s for what it is', async () => {
    await bench.startFrr('', ['zebra', 'bfdd']);
    const frr = (...lines: string[]): void => {
      bench.vtysh(['configure terminal', 'bfd', 'peer 10.77.0.1 interface e0', ...lines].join('\n'), 'bfdd');
    };
    frr('receive-interval 50', 'transmit-interval 50', 'detect-multiplier 3', 'no shutdown');
    bfd.configure([peer('10.77.0.2', '10.77.0.1')]);
    const shown = (): string => quietly(() => bench.vtysh('show bfd peers', 'bfdd'));
    await until(() => stateOf('10.77.0.2') === 'Up', shown);
    frr('shutdown');
    await until(() => stateOf('10.77.0.2') === 'Down', shown);
    assert.equal(changes.at(-1)?.byAdministrator, true);
    frr('no shutdown');
    await until(() => stateOf('10.77.0.2') === 'Up', shown);
    await bfd.close();
    await until(
      () => /Status: down/.test(shown()) && /neighbor signaled session down|administratively down/i.test(shown()),
      shown,
    );
  });
});
