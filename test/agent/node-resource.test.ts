// This node's Node resource against the in-memory store: made once, kept in step with the options, people's settings kept.

import assert from 'node:assert/strict';
import { ensureNode } from '../../agent/node-resource.ts';
import { type NodeOptions, nodeOptions } from '../../agent/options.ts';
import { createMemoryStore } from '../../datastore/memory.ts';
import { Resources } from '../../datastore/resources.ts';
import { parseOptions } from '../../runtime/options.ts';

const options = (...argv: string[]): NodeOptions => {
  const parsed = parseOptions(nodeOptions, { argv: ['--node-name', 'n1', ...argv], environment: {} });
  return parsed.kind === 'values' ? parsed.values : assert.fail(parsed.kind);
};

const eth0 = {
  eth0: [
    { address: '192.0.2.7', netmask: '', mac: '', internal: false, cidr: '192.0.2.7/24', family: 'IPv4' as const },
  ],
};

describe('node resource', () => {
  it('is made with the first found address, and not written again when nothing changed', async () => {
    const resources = new Resources(createMemoryStore());
    assert.equal(await ensureNode(resources, options(), eth0), true);
    assert.equal((await resources.get('Node', 'n1')).spec.bgp?.ipv4Address, '192.0.2.7/24');
    assert.equal(await ensureNode(resources, options(), eth0), false);
    assert.equal(await ensureNode(resources, options(), {}), false);
  });

  it('takes what the options say and keeps what people have set', async () => {
    const resources = new Resources(createMemoryStore());
    await resources.create<'Node'>({
      kind: 'Node',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'n1', labels: { rack: 'a' } },
      spec: { bgp: { ipv4Address: '10.0.0.1/24', routeReflectorClusterID: '1.0.0.1' } },
    });
    assert.equal(await ensureNode(resources, options('--ip', '10.0.0.2/24', '--as', '64512'), eth0), true);
    const node = await resources.get('Node', 'n1');
    assert.deepEqual(node.metadata.labels, { rack: 'a' });
    assert.equal(node.spec.bgp?.ipv4Address, '10.0.0.2/24');
    assert.equal(Number(node.spec.bgp?.asNumber), 64512);
    assert.equal(node.spec.bgp?.routeReflectorClusterID, '1.0.0.1');
  });

  it('finds the address anew at each start when told so, by the way that is asked for', async () => {
    const resources = new Resources(createMemoryStore());
    await ensureNode(resources, options('--ip', '10.0.0.2'), eth0);
    assert.equal((await resources.get('Node', 'n1')).spec.bgp?.ipv4Address, '10.0.0.2');
    await ensureNode(resources, options('--ip', 'autodetect', '--ip-autodetection-method=interface=eth.*'), eth0);
    assert.equal((await resources.get('Node', 'n1')).spec.bgp?.ipv4Address, '192.0.2.7/24');
    await ensureNode(resources, options('--ip', 'none'), eth0);
    assert.equal((await resources.get('Node', 'n1')).spec.bgp?.ipv4Address, undefined);
    await assert.rejects(
      ensureNode(resources, options('--ip-autodetection-method', 'cidr=203.0.113.0/24'), eth0),
      /no IPv4 address found by cidr; give one, or another way to find it/,
    );
  });
});
