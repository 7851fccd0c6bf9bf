// Shows that a change of policy reaches flows that are already established, and only those that it forbids: TCP and UDP,
// in both directions, by rule and by selector; that an address takes no flows with it to its next owner; that a restart
// of felix cuts nothing.

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import {
  inSync,
  ipSet,
  member,
  policyUpdate,
  port,
  prefix,
  profileUpdate,
  rule,
  tier,
  workload,
} from '../../felix/updates.ts';
import { Flow } from './flow.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';

describe('felix in the kernel: established flows', function () {
  this.timeout(60_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  let b: Pod;
  let c: Pod;
  const flows: Flow[] = [];

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    b = node.addPod('b', 2);
    c = node.addPod('c', 3);
    felix = await node.startFelix();
  });
  afterEach(() => {
    for (const flow of flows.splice(0)) flow.end();
  });
  after(() => node.remove());

  const start = (...args: ConstructorParameters<typeof Flow>): Flow => {
    const flow = new Flow(...args);
    flows.push(flow);
    return flow;
  };
  const apply = async (...updates: readonly CalcUpdate[]): Promise<void> => {
    const before = felix.dataplane.status().applies;
    for (const update of updates) felix.dataplane.onUpdate(update);
    await until('an apply', () => felix.dataplane.status().applies > before);
    assert.equal(felix.dataplane.status().lastError, '');
  };
  const allow = (...ports: readonly number[]): CalcUpdate =>
    policyUpdate('NetworkPolicy/ns/p', {
      ingress: [6, 17].map((protocol) =>
        rule('allow', {
          protocol,
          source: { ipSets: ['s:clients'] },
          destination: { ports: ports.map((number) => port(number)) },
        }),
      ),
    });
  const endpoint = (pod: Pod, given: Parameters<typeof workload>[3] = {}): CalcUpdate =>
    workload(`ns/${pod.name}`, pod.interfaceName, pod.addresses, { profiles: ['open'], ...given });
  const reset = (): Promise<void> =>
    apply(
      ipSet('s:clients', ...a.addresses, ...c.addresses),
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      allow(7000, 7001, 7002),
      endpoint(a),
      endpoint(b, { tiers: [tier(['NetworkPolicy/ns/p'], [])] }),
      endpoint(c),
      inSync,
    );

  for (const protocol of ['tcp', 'udp'] as const) {
    it(`cuts ${protocol} flows that a policy no longer allows, and no others`, async () => {
      await reset();
      const cut = [start(a, b, '10.65.0.2', 7000, protocol), start(a, b, 'fd00:65::2', 7001, protocol)];
      const kept = start(c, b, '10.65.0.2', 7002, protocol);
      for (const flow of [...cut, kept]) await flow.lives();
      // A change that can revoke nothing must not get in the way of the next one.
      await apply({ kind: 'pool', pool: { prefix: prefix('10.99.0.0/16'), natOutgoing: false } });
      await apply(allow(7002));
      for (const flow of cut) await flow.dies();
      await kept.lives();
    });
  }

  it('cuts flows of whom a selector no longer selects', async () => {
    await reset();
    const cut = start(a, b, '10.65.0.2', 7000, 'tcp');
    const kept = start(c, b, '10.65.0.2', 7001, 'tcp');
    await cut.lives();
    await kept.lives();
    await apply({ kind: 'ip-set-delta', id: 's:clients', added: [], removed: [member('10.65.0.1')] });
    await cut.dies();
    await kept.lives();
  });

  it('cuts flows by egress policy as well', async () => {
    await reset();
    const flow = start(a, b, '10.65.0.2', 7000, 'tcp');
    await flow.lives();
    await apply(
      policyUpdate('NetworkPolicy/ns/out', { egress: [rule('deny')] }),
      endpoint(a, { tiers: [tier([], ['NetworkPolicy/ns/out'])], revision: 9 }),
    );
    await flow.dies();
  });

  it('forgets flows that are over as well: they could come to life again', async () => {
    await reset();
    const serving = spawn('ip', ['netns', 'exec', b.netns, 'socat', 'TCP-LISTEN:7002,reuseaddr,fork', 'EXEC:/bin/cat']);
    const tracked = (): number =>
      sh(`ip netns exec ${node.name} conntrack -L -p tcp --dport 7002 2>/dev/null || true`).split('\n').length - 1;
    await until('the server', () => node.talks(a.netns, '10.65.0.2', 7002));
    for (let i = 0; i < 20; i++) assert.ok(node.talks(a.netns, '10.65.0.2', 7002));
    assert.ok(tracked() >= 20);
    // As the calculation says that a policy has been deleted.
    await apply(
      policyUpdate('NetworkPolicy/ns/none', {}),
      endpoint(b, { tiers: [tier(['NetworkPolicy/ns/none'], [])], revision: 20 }),
      { kind: 'policy-removed', id: 'NetworkPolicy/ns/p' },
    );
    await until('no flow is left', () => tracked() === 0, 1000);
    serving.kill('SIGKILL');
  });

  it('leaves an address without flows when its owner goes', async () => {
    await reset();
    const flow = start(a, b, '10.65.0.2', 7000, 'udp');
    await flow.lives();
    await apply({ kind: 'workload-removed', id: 'ns/b' });
    await until(
      'the flow is forgotten',
      () => !sh(`ip netns exec ${node.name} conntrack -L 2>/dev/null`).includes('dport=7000'),
    );
  });

  it('cuts nothing that is allowed when felix starts again, and what was revoked while it was away', async () => {
    await reset();
    const kept = start(a, b, '10.65.0.2', 7000, 'tcp');
    const revoked = start(c, b, '10.65.0.2', 7001, 'tcp');
    await kept.lives();
    await revoked.lives();
    await node.stopFelix(felix);
    felix = await node.startFelix();
    for (const update of [
      ipSet('s:clients', ...a.addresses, ...c.addresses),
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      allow(7000),
      endpoint(a),
      endpoint(b, { tiers: [tier(['NetworkPolicy/ns/p'], [])] }),
      endpoint(c),
      inSync,
    ]) {
      felix.dataplane.onUpdate(update);
    }
    await revoked.dies();
    await kept.lives();
    assert.equal(felix.dataplane.status().flowsCut, 1);
  });
});
