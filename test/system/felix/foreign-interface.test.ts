// Shows that an endpoint whose interface has no workload's prefix, so that no rule of ours would see its packets, is not
// reachable and is never called programmed.

import { strict as assert } from 'node:assert';
import { inSync, workload } from '../../felix/updates.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';

describe('felix in the kernel: an endpoint on an interface without the prefix of workloads', function () {
  this.timeout(30_000);
  let node: TestNode;
  let felix: Felix;
  let pod: Pod;

  before(async () => {
    node = new TestNode();
    pod = node.addPod('b', 2, { interfaceName: 'tap7' });
    felix = await node.startFelix();
    felix.dataplane.onUpdate(workload('ns/b', 'tap7', pod.addresses, {}));
    felix.dataplane.onUpdate(inSync);
    await until('an apply', () => felix.dataplane.status().applies > 0);
  });
  after(() => node.remove());

  it('gets no route', () => {
    assert.equal(node.routes().trim(), '');
    assert.match(sh(`ip netns exec ${node.outside} ping -c1 -W1 10.65.0.2 || true`), /100% packet loss/);
  });

  it('is not programmed', async () => {
    assert.equal(felix.dataplane.endpoints()[0]?.programmed, false);
    const result = await felix.dataplane.awaitEndpoint('ns/b', 1, 50);
    assert.equal(result.kind, 'timeout');
  });
});
