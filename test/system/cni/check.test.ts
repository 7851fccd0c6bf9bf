// CHECK, GC and STATUS: CHECK passes right after ADD and names whatever has been taken away since; GC removes what no valid
// attachment owns, of its own network only; STATUS says whether ADD would work.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleClient, compileClient } from './clients.ts';
import { type Client, type PluginAnswer, type PluginCall, TestNode } from './node.ts';

const folder = mkdtempSync(join(tmpdir(), 'tw-cni-client-'));

describe('CNI plugin after ADD', function () {
  this.timeout(60_000);
  let node: TestNode;
  let client: Client;

  before(async () => {
    client = compileClient(folder) ?? bundleClient(folder);
    node = await TestNode.start();
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (call: PluginCall): Promise<PluginAnswer> => node.plugin(client, call);
  const message = ({ json }: PluginAnswer): string => `${json?.['code']} ${json?.['msg']}`;

  async function add(
    pod: string,
    configuration: Readonly<Record<string, unknown>> = {},
  ): Promise<{ prevResult: unknown }> {
    node.createPod(pod);
    const answer = await run({ command: 'ADD', pod, configuration });
    assert.equal(answer.status, 0, answer.stdout);
    return { ...configuration, prevResult: answer.json };
  }

  async function remove(pod: string, configuration: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const answer = await run({ command: 'DEL', pod, configuration });
    assert.equal(answer.status, 0, answer.stdout);
    node.deletePod(pod);
  }

  describe('CHECK', () => {
    it('passes right after ADD, in every version that has it', async () => {
      for (const cniVersion of ['0.4.0', '1.0.0', '1.1.0']) {
        const configuration = await add('fine', { cniVersion, ipam: { assign_ipv6: 'true' } });
        const answer = await run({ command: 'CHECK', pod: 'fine', configuration });
        assert.deepEqual([answer.status, answer.stdout], [0, '']);
        await remove('fine', configuration);
      }
      assert.match(message(await run({ command: 'CHECK', configuration: { cniVersion: '0.3.1' } })), /^1 /);
    });

    it('tolerates what later plugins added', async () => {
      const { prevResult } = await add('chained');
      const result = JSON.parse(JSON.stringify(prevResult));
      result.interfaces.push({ name: 'ifb0', sandbox: '' });
      result.ips.push({ address: '192.0.2.7/32', interface: 2 });
      result.dns = { nameservers: ['192.0.2.53'] };
      assert.equal((await run({ command: 'CHECK', pod: 'chained', configuration: { prevResult: result } })).status, 0);
      await remove('chained');
    });

    it('needs the result of ADD, with our interface in it', async () => {
      assert.match(message(await run({ command: 'CHECK' })), /^7 .*prevResult/);
      const other = { prevResult: { interfaces: [{ name: 'eth0', sandbox: '/elsewhere' }] } };
      assert.match(message(await run({ command: 'CHECK', configuration: other })), /^7 .*has no interface eth0/);
    });

    const pod = 'hurt';
    const endpoint = '/calico/resources/v3/projectcalico.org/workloadendpoints/shop/node--1-k8s-hurt-eth0';
    const inside = (...args: string[]): Promise<string> => node.ip(node.podNetns(pod), ...args);
    const damages: [string, (address: string) => Promise<unknown>, RegExp][] = [
      ['the interface', () => inside('link', 'del', 'eth0'), /interface eth0 is gone/],
      ['the interface being up', () => inside('link', 'set', 'eth0', 'down'), /is down/],
      [
        'the MAC address',
        () => inside('link', 'set', 'eth0', 'address', '02:00:00:00:00:09'),
        /has MAC address 02:00:00:00:00:09/,
      ],
      ['the MTU', () => inside('link', 'set', 'eth0', 'mtu', '1280'), /has MTU 1280 instead of 1500/],
      [
        'the address',
        (address) => inside('addr', 'del', `${address}/32`, 'dev', 'eth0'),
        /has lost its address 10\.65/,
      ],
      ['the default route', () => inside('route', 'del', 'default'), /the route 0\.0\.0\.0\/0 is gone/],
      [
        'the route on the node',
        (address) => node.ip(node.netns, 'route', 'del', address),
        /the node has no route to 10\.65/,
      ],
      ['the endpoint', () => node.lose(endpoint), /WorkloadEndpoint shop\/node--1-k8s-hurt-eth0 is gone/],
      [
        'the handle',
        () => node.lose('/calico/ipam/v2/handle/twill.container-hurt'),
        /is not assigned to twill\.container-hurt/,
      ],
      ['policy', () => node.felix('dead'), /policy for shop\/.* is not in the kernel/],
    ];
    for (const [what, damage, expected] of damages) {
      it(`misses ${what}`, async () => {
        const configuration = await add(pod);
        const { ips }: { ips: { address: string }[] } = JSON.parse(JSON.stringify(configuration.prevResult));
        await damage(ips[0]?.address.split('/')[0] ?? '');
        const answer = message(await run({ command: 'CHECK', pod, configuration }));
        await node.felix('well');
        assert.match(answer, /^102 /);
        assert.match(answer, expected);
        await remove(pod);
      });
    }
  });

  describe('GC', () => {
    it('removes what no valid attachment owns, whatever is left of it, and nothing else', async () => {
      await add('valid');
      await add('stale');
      await add('linkless');
      await node.ip(node.podNetns('linkless'), 'link', 'del', 'eth0');
      await add('foreign', { name: 'other' });
      const attachments = [{ containerID: 'container-valid', ifname: 'eth0' }];
      const without = ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'];
      const missing = await run({ command: 'GC', without });
      assert.match(message(missing), /^7 /);
      const answer = await run({ command: 'GC', without, configuration: { 'cni.dev/valid-attachments': attachments } });
      assert.deepEqual([answer.status, answer.stdout], [0, '']);
      const owned = (await node.owned()).map((key) => key.split('/').at(-1));
      assert.deepEqual(owned, [
        'other.container-foreign',
        'twill.container-valid',
        'node--1-k8s-foreign-eth0',
        'node--1-k8s-valid-eth0',
      ]);
      assert.equal((await node.links()).length, 2);
      await remove('valid');
      await remove('foreign', { name: 'other' });
      await remove('stale');
      await remove('linkless');
    });

    it('finds links whose address is gone', async () => {
      const configuration = await add('addressless');
      for (const [key] of await node.stored()) if (/\/block\/|handle|workloadendpoint/.test(key)) await node.lose(key);
      assert.equal((await node.links()).length, 1);
      assert.equal((await run({ command: 'GC', configuration: { 'cni.dev/valid-attachments': [] } })).status, 0);
      assert.deepEqual(await node.links(), []);
      await remove('addressless', configuration);
    });
  });

  describe('STATUS', () => {
    const without = ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'];

    it('is silent when a pod could be added', async () => {
      const answer = await run({ command: 'STATUS', without });
      assert.deepEqual([answer.status, answer.stdout], [0, '']);
    });

    it('says why not: the agent, Felix, or no address left; DEL works all the same', async () => {
      await node.felix('not-ready');
      assert.match(message(await run({ command: 'STATUS', without })), /^50 .*felix is not in sync/);
      await node.felix('dead');
      assert.match(message(await run({ command: 'STATUS', without })), /^50 .*felix does not answer/);
      await node.felix('well');
      const configuration = { ipam: { ipv4_pools: ['tiny'] } };
      const pods = ['one', 'two', 'three', 'four'];
      for (const pod of pods) await add(pod, configuration);
      assert.match(
        message(await run({ command: 'STATUS', without, configuration })),
        /^50 no pod can be added now: .*tiny|10\.66/,
      );
      node.createPod('five');
      assert.match(message(await run({ command: 'ADD', pod: 'five', configuration })), /^101 /);
      node.deletePod('five');
      for (const pod of pods) await remove(pod, configuration);
      assert.equal((await run({ command: 'STATUS', without, configuration })).status, 0);
      assert.deepEqual(await node.owned(), []);
    });
  });
});
