// Shows that what others do to routes, and to our table where they can edit it, is undone within a second, whatever it is, and
// that what is theirs is left alone. Says how long it took. (owned-table.test.ts: where they can not.)

import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { inSync, ipSet, policyUpdate, port, profileUpdate, rule, tier, workload } from '../../felix/updates.ts';
import { edits } from './edits.ts';
import { type Felix, type Pod, sh, TestNode, until } from './node.ts';

describe('felix in the kernel: drift of a table that others may edit', function () {
  this.timeout(60_000);
  let node: TestNode;
  let felix: Felix;
  let a: Pod;

  /** Runs a shell script inside. */
  const inNode = (script: string): string =>
    execFileSync('ip', ['netns', 'exec', node.name, 'sh', '-es'], { input: script, encoding: 'utf8' });

  before(async () => {
    node = new TestNode();
    a = node.addPod('a', 1);
    inNode(`nft -f - <<'END'
table ip foreign {
  chain forward { type filter hook forward priority filter; policy accept; counter; }
}
table inet other {
  set s { type ipv4_addr; elements = { 1.2.3.4 }; }
}
END`);
    sh(`ip -n ${node.name} route add 198.51.100.0/24 via 192.0.2.9`);
    felix = await node.startFelix({ ownTable: false });
    for (const update of [
      ipSet('s:clients', '10.65.0.7', '10.66.0.0/16', 'fd00:65::7'),
      policyUpdate('NetworkPolicy/ns/p', {
        ingress: [
          rule('allow', { protocol: 6, source: { ipSets: ['s:clients'] }, destination: { ports: [port(80)] } }),
        ],
      }),
      profileUpdate('open', [rule('allow')], [rule('allow')]),
      workload('ns/a', a.interfaceName, a.addresses, {
        profiles: ['open'],
        tiers: [tier(['NetworkPolicy/ns/p'], [])],
      }),
      inSync,
    ]) {
      felix.dataplane.onUpdate(update);
    }
    await until('the first apply', () => felix.dataplane.status().ready);
  });
  after(() => node.remove());

  for (const [what, command] of Object.entries(edits)) {
    it(`repairs it when somebody ${what}`, async function () {
      const ours = (): string => inNode('nft -s list table inet twill 2>/dev/null || true');
      const before = ours();
      inNode(command);
      const started = performance.now();
      await until('our table is back', () => sorted(ours()) === sorted(before), 1000).catch(() => {
        assert.equal(ours(), before);
      });
      const ms = Math.round(performance.now() - started);
      if (this.test) this.test.title += ` (back after at most ${ms} ms)`;
    });
  }

  it('repairs routes, and takes over nobody else’s', async () => {
    const before = node.routes();
    sh(`ip -n ${node.name} route del 10.65.0.1`);
    await until('the route is back', () => node.routes() === before, 1000);
    sh(`ip -n ${node.name} route replace 10.65.0.1 dev ${a.interfaceName} proto static`);
    await until('the route is ours', () => node.routes() === before, 1000);
    sh(`ip -n ${node.name} route add 10.65.0.99 dev ${a.interfaceName} proto 80`);
    await until('a stray route of our protocol is gone', () => node.routes() === before, 1000);
    assert.match(sh(`ip -n ${node.name} route`), /198\.51\.100\.0\/24 via 192\.0\.2\.9/);
  });

  it('follows an interface that goes and comes back under the same name', async () => {
    const before = node.routes();
    sh(`ip -n ${node.name} link del ${a.interfaceName}`);
    await until('the endpoint is not programmed', () => felix.dataplane.status().endpointsProgrammed === 0);
    node.wire(a);
    await until('its routes are back', () => node.routes() === before);
    await until('the endpoint is programmed', () => felix.dataplane.status().endpointsProgrammed === 1);
    sh(`ip -n ${node.name} link set ${a.interfaceName} down`);
    await until('routes are gone', () => node.routes() === '');
    sh(`ip -n ${node.name} link set ${a.interfaceName} up`);
    await until('its routes are back', () => node.routes() === before);
  });

  it('programs an endpoint whose interface comes late, once it is there', async () => {
    const b = node.addPod('b', 2, { wired: false });
    felix.dataplane.onUpdate(workload('ns/b', b.interfaceName, b.addresses, { profiles: ['open'], revision: 7 }));
    assert.deepEqual(await felix.dataplane.awaitEndpoint('ns/b', 7, 100), {
      kind: 'timeout',
      reason: 'interface calib is not there, or is down',
    });
    const programmed = felix.dataplane.awaitEndpoint('ns/b', 7, 5000);
    node.wire(b);
    assert.deepEqual(await programmed, { kind: 'programmed', revision: 7 });
    assert.match(node.routes(), /10\.65\.0\.2 dev calib/);
    assert.equal(sh(`ip netns exec ${node.name} sysctl -n net.ipv4.conf.calib.proxy_arp`).trim(), '1');
  });

  it('has left foreign tables alone', () => {
    assert.match(inNode('nft list tables'), /table ip foreign/);
  });
});

const sorted = (text: string): string => text.split('\n').sort().join('\n');
