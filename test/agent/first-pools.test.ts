// The first pools of a datastore, as twill-node's options and Calico's environment ask for them.

import assert from 'node:assert/strict';
import { askedFor, firstIpv4Pool, firstIpv6Pool, poolOptions } from '../../agent/first-pools.ts';
import { bootstrap } from '../../datastore/bootstrap.ts';
import { createMemoryStore } from '../../datastore/memory.ts';
import { Resources } from '../../datastore/resources.ts';
import { parseOptions } from '../../runtime/options.ts';

function optionsOf(environment: Readonly<Record<string, string>>) {
  const parsed = parseOptions(poolOptions, { argv: [], environment });
  assert(parsed.kind === 'values', parsed.kind === 'problem' ? parsed.message : parsed.kind);
  return parsed.values;
}

describe('first pools', () => {
  it('are made as Calico’s environment says, and never changed by it afterwards', async () => {
    const options = optionsOf({
      CALICO_IPV4POOL_BLOCK_SIZE: '28',
      CALICO_IPV4POOL_VXLAN: 'crosssubnet',
      CALICO_IPV4POOL_NAT_OUTGOING: 'false',
      CALICO_IPV4POOL_NODE_SELECTOR: 'rack == "a"',
      CALICO_IPV4POOL_DISABLE_BGP_EXPORT: 'true',
      CALICO_IPV6POOL_BLOCK_SIZE: '120',
      CALICO_IPV6POOL_NAT_OUTGOING: 'true',
    });
    const resources = new Resources(createMemoryStore());
    const pools = { ipv4: firstIpv4Pool(options, '10.80.0.0/16'), ipv6: firstIpv6Pool(options, 'fd80::/64') };
    await bootstrap(resources, { version: '1', pools });
    const of = async (name: string) => (await resources.find('IPPool', name))?.spec;
    const ipv4 = await of('default-ipv4-ippool');
    assert.deepEqual(ipv4, {
      cidr: '10.80.0.0/16',
      vxlanMode: 'CrossSubnet',
      ipipMode: 'Never',
      disableBGPExport: true,
      blockSize: 28,
      nodeSelector: 'rack == "a"',
      allowedUses: ['Workload', 'Tunnel'],
      assignmentMode: 'Automatic',
    });
    const ipv6 = await of('default-ipv6-ippool');
    assert.deepEqual([ipv6?.cidr, ipv6?.blockSize, ipv6?.natOutgoing], ['fd80::/64', 120, true]);
    await bootstrap(resources, { version: '1', pools: { ipv4: firstIpv4Pool(optionsOf({}), '10.99.0.0/16') } });
    assert.deepEqual(await of('default-ipv4-ippool'), ipv4);
  });

  it('are plain without further words: routed, IPv4 translated on its way out', () => {
    const { ipipMode, vxlanMode, natOutgoing, blockSize } = firstIpv4Pool(optionsOf({}), '10.80.0.0/16');
    assert.deepEqual([ipipMode, vxlanMode, natOutgoing, blockSize], ['Never', 'Never', true, undefined]);
    assert.equal(firstIpv6Pool(optionsOf({}), 'fd80::/64').natOutgoing, false);
  });

  it('are not made when the environment says none', () => {
    assert.equal(askedFor('none'), undefined);
    assert.equal(askedFor('10.80.0.0/16'), '10.80.0.0/16');
  });

  it('say which setting is wrong, and what would be right', () => {
    const problem = (environment: Readonly<Record<string, string>>) => {
      const parsed = parseOptions(poolOptions, { argv: [], environment });
      return parsed.kind === 'problem' ? parsed.message : '';
    };
    assert.equal(
      problem({ CALICO_IPV4POOL_IPIP: 'sometimes' }),
      'CALICO_IPV4POOL_IPIP: "sometimes" is none of Never, Always, CrossSubnet',
    );
    assert.match(problem({ CALICO_IPV4POOL_BLOCK_SIZE: '33' }), /^CALICO_IPV4POOL_BLOCK_SIZE: .*from 20 to 32/);
  });
});
