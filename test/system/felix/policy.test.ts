// Shows, with real packets through a namespace's kernel, that felix fails closed, allows and denies what policies say,
// drops unknown interfaces and foreign source addresses, and translates what leaves the pools.

import { strict as assert } from 'node:assert';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { inSync, ipSet, policyUpdate, port, prefix, profileUpdate, rule, tier, workload } from '../../felix/updates.ts';
import { type Felix, type Pod, TestNode, until } from './node.ts';

describe('felix in the kernel: policy', function () {
  this.timeout(60_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  let b: Pod;
  let c: Pod;

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    b = node.addPod('b', 2);
    c = node.addPod('c', 3);
    for (const pod of [a, b, c]) for (const number of [80, 81]) await node.serve(pod.netns, number);
    await node.serve(node.outside, 80);
    felix = await node.startFelix();
  });
  after(() => node.remove());

  const apply = async (...updates: readonly CalcUpdate[]): Promise<void> => {
    const before = felix.dataplane.status().applies;
    for (const update of updates) felix.dataplane.onUpdate(update);
    await until('an apply', () => felix.dataplane.status().applies > before);
    assert.equal(felix.dataplane.status().lastError, '');
  };
  const allowAll = profileUpdate('open', [rule('allow')], [rule('allow')]);
  const endpoint = (pod: Pod, given: Parameters<typeof workload>[3] = {}): CalcUpdate =>
    workload(`ns/${pod.name}`, pod.interfaceName, pod.addresses, given);

  it('lets nothing through before the first picture, and nothing without a profile that allows it', async () => {
    assert.equal(node.talks(node.name, '10.65.0.1', 80), false);
    await apply(endpoint(a), endpoint(b), endpoint(c, { profiles: ['open'] }), allowAll, inSync);
    assert.equal(node.routes().trim().split('\n').length, 6);
    assert.equal(node.talks(a.netns, '10.65.0.3', 80), false, 'a has no egress');
    assert.equal(node.talks(c.netns, '10.65.0.1', 80), false, 'a has no ingress');
    assert.equal(node.talks(node.name, '10.65.0.1', 80), true, 'the own node may');
  });

  it('allows by profile, both families, TCP, UDP and ICMP, also to and from outside', async () => {
    await apply(...[a, b, c].map((pod) => endpoint(pod, { profiles: ['open'], revision: 2 })));
    for (const [source, target] of [
      [a.netns, b],
      [b.netns, c],
      [node.outside, a],
    ] as const) {
      for (const address of target.addresses) {
        assert.ok(node.talks(source, address, 80), `${source} ${address} tcp`);
        assert.ok(node.talks(source, address, 80, 'udp'), `${source} ${address} udp`);
        assert.ok(node.pings(source, address), `${source} ${address} icmp`);
      }
    }
    assert.ok(node.talks(a.netns, '192.0.2.9', 80));
    assert.ok(node.talks(a.netns, '2001:db8::9', 80));
    assert.equal(node.pings(a.netns, '192.0.2.1'), false, 'DefaultEndpointToHostAction is Drop');
  });

  it('answers the matrix of a default-deny with one allow by label and port', async () => {
    await apply(
      ipSet('s:clients', '10.65.0.1', 'fd00:65::1'),
      policyUpdate('NetworkPolicy/ns/allow-clients', {
        ingress: [
          rule('allow', { protocol: 6, source: { ipSets: ['s:clients'] }, destination: { ports: [port(80)] } }),
        ],
      }),
      endpoint(b, { profiles: ['open'], tiers: [tier(['NetworkPolicy/ns/allow-clients'], [])], revision: 3 }),
    );
    for (const [source, number, expected] of [
      [a, 80, true],
      [a, 81, false],
      [c, 80, false],
      [c, 81, false],
    ] as const) {
      for (const address of b.addresses) {
        assert.equal(node.talks(source.netns, address, number), expected, `${source.name} ${address} ${number}`);
      }
    }
    assert.equal(node.talks(a.netns, '10.65.0.2', 80, 'udp'), false, 'TCP only');
    assert.ok(node.talks(b.netns, '10.65.0.3', 80), 'egress is not touched');
  });

  it('follows the members of a selector', async () => {
    await apply({
      kind: 'ip-set-delta',
      id: 's:clients',
      added: [{ kind: 'prefix', prefix: prefix('10.65.0.3') }],
      removed: [{ kind: 'prefix', prefix: prefix('10.65.0.1') }],
    });
    assert.equal(node.talks(c.netns, '10.65.0.2', 80), true);
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), false);
    await apply({
      kind: 'ip-set-delta',
      id: 's:clients',
      added: [{ kind: 'prefix', prefix: prefix('10.65.0.0/24') }],
      removed: [],
    });
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), true, 'by a network as well');
  });

  it('lets an earlier tier win, and Pass leave its tier', async () => {
    const first = (action: 'deny' | 'pass') =>
      policyUpdate('GlobalNetworkPolicy//first', {
        tier: 'security',
        ingress: [rule(action, { source: { prefixes: [prefix('10.65.0.1')] } })],
      });
    const tiers = [
      tier(['GlobalNetworkPolicy//first'], [], { name: 'security' }),
      tier(['NetworkPolicy/ns/allow-clients'], []),
    ];
    await apply(first('deny'), endpoint(b, { profiles: ['open'], tiers, revision: 4 }));
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), false, 'denied in the first tier');
    await apply(first('pass'));
    assert.equal(node.talks(a.netns, '10.65.0.2', 80), true, 'passed to the second, which allows');
    assert.equal(node.talks(a.netns, '10.65.0.2', 81), false, 'and denies the rest');
    assert.equal(node.talks(c.netns, '10.65.0.2', 80), false, 'the first tier ends in deny');
    await apply(endpoint(b, { profiles: ['open'], revision: 5 }));
    assert.equal(node.talks(c.netns, '10.65.0.2', 81), true, 'without policies the profile decides');
  });

  it('drops an unknown workload interface in both directions', async () => {
    const stranger = node.addPod('stranger', 9);
    await node.serve(stranger.netns, 80);
    assert.equal(node.talks(stranger.netns, '10.65.0.1', 80), false);
    assert.equal(node.talks(stranger.netns, '192.0.2.1', 80), false);
    // Even with a route to it.
    const { execFileSync } = await import('node:child_process');
    execFileSync('ip', ['-n', node.name, 'route', 'add', '10.65.0.9', 'dev', stranger.interfaceName]);
    assert.equal(node.talks(a.netns, '10.65.0.9', 80), false);
    assert.equal(node.talks(node.name, '10.65.0.9', 80), false);
  });

  it('drops foreign source addresses', async () => {
    const { execFileSync } = await import('node:child_process');
    execFileSync('ip', ['-n', a.netns, 'addr', 'add', '10.65.0.77/32', 'dev', 'eth0']);
    assert.equal(node.pings(a.netns, '10.65.0.3', '-I', '10.65.0.77'), false);
    // An answer could not come back to that address: what counts is that the packet did not pass.
    assert.match(node.ruleset(), /foreign-source-or-interface/);
    assert.ok(node.pings(a.netns, '10.65.0.3'));
  });

  it('translates sources on their way out of the pools, and only there', async () => {
    await apply({ kind: 'pool', pool: { prefix: prefix('10.65.0.0/16'), natOutgoing: true } });
    const { execFileSync, spawnSync } = await import('node:child_process');
    execFileSync('ip', ['-n', node.outside, 'route', 'del', '10.65.0.0/16']);
    assert.ok(node.talks(a.netns, '192.0.2.9', 80), 'the outside knows no way back to the pool');
    assert.ok(node.talks(a.netns, '10.65.0.3', 80));
    const tracked = spawnSync(
      'ip',
      ['netns', 'exec', node.name, 'conntrack', '-L', '-s', '10.65.0.1', '-d', '10.65.0.3'],
      { encoding: 'utf8' },
    );
    assert.match(tracked.stdout, /src=10\.65\.0\.3 dst=10\.65\.0\.1/, 'within the pool the source stays');
    execFileSync('ip', ['-n', node.outside, 'route', 'add', '10.65.0.0/16', 'via', '192.0.2.1']);
  });

  it('makes a removed endpoint unreachable and leaves nothing of it', async () => {
    await apply({ kind: 'workload-removed', id: 'ns/c' });
    assert.equal(node.talks(a.netns, '10.65.0.3', 80), false);
    assert.doesNotMatch(node.ruleset(), /calic"/);
    assert.doesNotMatch(node.routes(), /calic\b/);
  });
});
