// Keys and names: resource keys both ways, and the names of workload endpoints.

import assert from 'node:assert/strict';
import {
  type Kind,
  kinds,
  parseResourceKey,
  parseWorkloadEndpointName,
  resourceKey,
  resourcePrefix,
  workloadEndpointName,
  workloadEndpointPrefix,
} from '../../../datastore/model/index.ts';

describe('resource keys', () => {
  it('has the plurals of Calico', () => {
    const plurals = Object.values(kinds).map((declaration) => declaration.plural);
    const expected =
      'bgpconfigurations bgpfilters bgppeers blockaffinities caliconodestatuses clusterinformations felixconfigurations ' +
      'globalnetworkpolicies globalnetworksets hostendpoints ipamconfigurations ippools ipreservations ' +
      'kubecontrollersconfigurations networkpolicies networksets nodes profiles stagedglobalnetworkpolicies ' +
      'stagedkubernetesnetworkpolicies stagednetworkpolicies tiers workloadendpoints';
    assert.deepEqual([...plurals].sort(), expected.split(' '));
  });

  for (const kind of Object.keys(kinds) as Kind[]) {
    it(`${kind} goes there and back`, () => {
      const namespace = kinds[kind].namespaced ? { namespace: 'prod' } : {};
      const id = { kind, name: 'some.name', ...namespace };
      const key = resourceKey(id);
      assert.deepEqual(parseResourceKey(key), id);
      assert.ok(key.startsWith(resourcePrefix(kind)));
    });
  }

  it('does not know other keys', () => {
    for (const key of [
      '/calico/resources/v3/projectcalico.org/ippools',
      '/calico/resources/v3/projectcalico.org/ippools/',
      '/calico/resources/v3/projectcalico.org/ippools/a/b',
      '/calico/resources/v3/projectcalico.org/networkpolicies/a',
      '/calico/resources/v3/projectcalico.org/networkpolicies/a/b/c',
      '/calico/resources/v3/projectcalico.org/unknowns/a',
      '/calico/ipam/v2/config',
      '/registry/pods/a/b',
    ]) {
      assert.equal(parseResourceKey(key), undefined, key);
    }
  });
});

describe('workload endpoint names', () => {
  it('doubles the dashes inside parts', () => {
    const spec = { node: 'node-1', orchestrator: 'k8s', pod: 'web-7-x', endpoint: 'eth0' };
    assert.equal(workloadEndpointName(spec), 'node--1-k8s-web--7--x-eth0');
    assert.deepEqual(parseWorkloadEndpointName('node--1-k8s-web--7--x-eth0'), {
      node: 'node-1',
      orchestrator: 'k8s',
      workload: 'web-7-x',
      endpoint: 'eth0',
    });
    assert.equal(workloadEndpointPrefix('node-1'), 'node--1-');
    assert.equal(workloadEndpointPrefix('node-1', 'web-7'), 'node--1-k8s-web--7-');
  });

  it('follows the orchestrator', () => {
    const common = { node: 'n', endpoint: 'e' };
    assert.equal(workloadEndpointName({ ...common, orchestrator: 'cni', containerID: 'abc' }), 'n-cni-abc-e');
    assert.equal(workloadEndpointName({ ...common, orchestrator: 'libnetwork' }), 'n-libnetwork-libnetwork-e');
    assert.equal(workloadEndpointName({ ...common, orchestrator: 'openstack', workload: 'vm' }), 'n-openstack-vm-e');
  });

  it('is undefined while a part is missing or cannot stand in a name', () => {
    assert.equal(workloadEndpointName({ node: 'n', orchestrator: 'k8s', endpoint: 'e' }), undefined);
    assert.equal(workloadEndpointName({ node: 'n-', orchestrator: 'k8s', pod: 'p', endpoint: 'e' }), undefined);
  });
});
