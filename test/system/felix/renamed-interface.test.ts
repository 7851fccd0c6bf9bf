// Shows that a workload whose interface is renamed, so that its name says nothing any more, does not leave policy: it is cut
// off, at once, with felix and without, and comes back with its name.

import { strict as assert } from 'node:assert';
import { inSync, profileUpdate, rule, workload } from '../../felix/updates.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';

describe('felix in the kernel: an interface that is renamed', function () {
  this.timeout(40_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;
  let b: Pod;

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    b = node.addPod('b', 2);
    for (const netns of [a.netns, b.netns, node.name, node.outside]) await node.serve(netns, 8080);
    felix = await node.startFelix();
    felix.dataplane.onUpdate(profileUpdate('open', [rule('allow')], [rule('allow')]));
    felix.dataplane.onUpdate({ kind: 'config', parameters: { DefaultEndpointToHostAction: 'Accept' } });
    for (const pod of [a, b]) {
      felix.dataplane.onUpdate(workload(`ns/${pod.name}`, pod.interfaceName, pod.addresses, { profiles: ['open'] }));
    }
    felix.dataplane.onUpdate(inSync);
    await until('both are programmed', () => felix.dataplane.status().endpointsProgrammed === 2);
  });
  after(() => node.remove());

  const rename = (from: string, to: string): void => {
    sh(`ip -n ${node.name} link set ${from} down; ip -n ${node.name} link set ${from} name ${to} up`);
  };
  /** As somebody would who wants the pod to be reached all the same. */
  const routeBy = (interfaceName: string): void => {
    sh(`ip -n ${node.name} route replace 10.65.0.1 dev ${interfaceName}`);
    sh(`ip -n ${node.name} -6 route replace fd00:65::1 dev ${interfaceName}`);
  };
  const paths = (): Record<string, boolean> => ({
    'to a pod': node.talks(a.netns, '10.65.0.2', 8080),
    'to a pod, IPv6': node.talks(a.netns, 'fd00:65::2', 8080),
    'to the node': node.talks(a.netns, '192.0.2.1', 8080),
    'from a pod': node.talks(b.netns, '10.65.0.1', 8080),
    'from the node': node.talks(node.name, '10.65.0.1', 8080),
  });
  const open = (yes: boolean) => Object.fromEntries(Object.keys(paths()).map((path) => [path, yes]));

  it('is reached by its name', () => {
    assert.deepEqual(paths(), open(true));
  });

  it('is cut off under another, while felix is told of it', async () => {
    rename('calia', 'lan7');
    await until('it is not programmed', () => felix.dataplane.status().endpointsProgrammed === 1);
    await until('its route is gone', () => !node.routes().includes('10.65.0.1'));
    routeBy('lan7');
    assert.deepEqual(paths(), open(false));
    const { reason } = await explained();
    assert.match(reason, /interface calia is not there/);
  });

  it('comes back with its name', async () => {
    rename('lan7', 'calia');
    await until('it is programmed', () => felix.dataplane.status().endpointsProgrammed === 2);
    await until('its routes are there', () => (node.routes().match(/dev calia/g) ?? []).length === 2);
    assert.deepEqual(paths(), open(true));
  });

  it('is cut off although no felix runs', async () => {
    await node.stopFelix(felix);
    rename('calia', 'lan7');
    routeBy('lan7');
    assert.deepEqual(paths(), open(false));
  });

  async function explained(): Promise<{ reason: string }> {
    const result = await felix.dataplane.awaitEndpoint('ns/a', 1, 50);
    assert.equal(result.kind, 'timeout');
    return { reason: result.reason };
  }
});
