// Shows that rules which the kernel refuses close the policy that they are in, and hold up nothing else; that the policy
// is named; and that it is tried again when it changes.

import { strict as assert } from 'node:assert';
import { inSync, policyUpdate, rule, tier, workload } from '../../felix/updates.ts';
import { type Felix, type Pod, TestNode, until } from './node.ts';

describe('felix in the kernel: rules that no backend accepts', function () {
  this.timeout(30_000);
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
    await node.serve(b.netns, 8080);
    await node.serve(c.netns, 8080);
    felix = await node.startFelix();
  });
  after(() => node.remove());

  const allow = [rule('allow')];
  const refused = [rule('deny', { protocol: 300 }), rule('allow')];

  it('closes that policy alone, names it, and opens it when it is put right', async () => {
    const { dataplane } = felix;
    const good = policyUpdate('NetworkPolicy/web/good', { ingress: allow, egress: allow });
    dataplane.onUpdate(good);
    dataplane.onUpdate(policyUpdate('NetworkPolicy/web/bad', { ingress: refused }));
    for (const { name, interfaceName, addresses } of [a, b, c]) {
      const ingress = name === 'c' ? ['NetworkPolicy/web/bad', 'NetworkPolicy/web/good'] : ['NetworkPolicy/web/good'];
      dataplane.onUpdate(
        workload(`web/${name}`, interfaceName, addresses, { tiers: [tier(ingress, ['NetworkPolicy/web/good'])] }),
      );
    }
    dataplane.onUpdate(inSync);
    for (const name of ['a', 'b', 'c']) {
      const result = await dataplane.awaitEndpoint(`web/${name}`, 1, 5000);
      assert.equal(result.kind, 'programmed', JSON.stringify(result));
    }
    assert.deepEqual(dataplane.status().quarantined, ['policy NetworkPolicy/web/bad']);
    assert.equal(dataplane.status().ready, true);
    assert.ok(node.talks(a.netns, '10.65.0.2', 8080), 'others are as they should be');
    assert.ok(!node.talks(a.netns, '10.65.0.3', 8080), 'what has the policy is closed');

    const before = dataplane.status().applies;
    dataplane.onUpdate(policyUpdate('NetworkPolicy/web/bad', { ingress: allow }));
    await until('an apply', () => dataplane.status().applies > before);
    assert.deepEqual(dataplane.status().quarantined, []);
    assert.ok(node.talks(a.netns, '10.65.0.3', 8080), 'open again');
  });
});
