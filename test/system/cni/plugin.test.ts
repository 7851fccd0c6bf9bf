// The plugin as a container runtime sees it, once with the C client and once with the Node one: ADD, DEL and VERSION by the
// CNI specification 1.1, against real namespaces and links; what a failed request leaves behind (nothing); and that a pod
// is reached on a node without a default route.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workloadLinkGroup } from '../../../felix/rules/static.ts';
import { runProgram } from '../../../linux/process.ts';
import { version } from '../../../runtime/version.ts';
import { until } from '../linux/namespaces.ts';
import { bundleClient, compileClient } from './clients.ts';
import { type Client, type PluginAnswer, TestNode } from './node.ts';
import { eventually } from './whole-node.ts';

const folder = mkdtempSync(join(tmpdir(), 'tw-cni-client-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const clients: readonly { name: string; prepare: () => Client | undefined }[] = [
  { name: 'the C client', prepare: () => compileClient(folder) },
  { name: 'the Node client', prepare: () => bundleClient(folder) },
];

interface AddResult {
  readonly interfaces: readonly { name: string; mac: string; mtu: number; sandbox?: string }[];
  readonly ips: readonly { address: string; interface: number; version?: string }[];
}

function added(answer: PluginAnswer): AddResult {
  assert.equal(answer.status, 0, answer.stdout + answer.stderr);
  const result: AddResult = JSON.parse(answer.stdout);
  return result;
}

const code = ({ status, json, stdout, stderr }: PluginAnswer): unknown => {
  assert.equal(status, 1, stdout + stderr);
  return json?.['code'];
};

for (const { name, prepare } of clients) {
  describe(`CNI plugin by ${name}`, function () {
    this.timeout(30_000);
    let node: TestNode;
    let client: Client;
    const pods: string[] = [];

    before(async function () {
      const prepared = prepare();
      // No compiler: the build makes the Node client the plugin then.
      if (!prepared) return this.skip();
      client = prepared;
      node = await TestNode.start();
    });
    after(() => node?.stop());
    afterEach(() => {
      for (const pod of pods.splice(0)) node.deletePod(pod);
    });

    const pod = (podName: string): string => {
      node.createPod(podName);
      pods.push(podName);
      return podName;
    };

    it('says what it is, and its version', async () => {
      const source = readFileSync(new URL('../../../cni/fallback.ts', import.meta.url), 'utf8');
      const usage = /const usage = `([^`]*)`/.exec(source)?.[1];
      const help = await runProgram(client[0], [...client.slice(1), '--help']);
      assert.deepEqual([help.status, help.stdout], [0, usage]);
      const told = await runProgram(client[0], [...client.slice(1), '--version']);
      assert.deepEqual([told.status, told.stdout], [0, `twill-cni ${version}\n`]);
    });

    it('answers VERSION without the agent', async () => {
      const answer = await runProgram(client[0], client.slice(1), {
        env: { CNI_COMMAND: 'VERSION', TWILL_RUN_DIR: '/nonexistent' },
        input: '{"plugins": [{"cniVersion": "9"}], "cniVersion": "0.4.0"}',
      });
      assert.equal(answer.status, 0);
      assert.deepEqual(JSON.parse(answer.stdout), {
        cniVersion: '0.4.0',
        supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
      });
    });

    it('says so when the agent is not there, and finds its socket by the configuration', async () => {
      const configuration = { agentSocket: '/nonexistent/"quoted".sock' };
      const answer = await node.plugin(client, { command: 'ADD', configuration });
      assert.equal(code(answer), 11);
      assert.match(String(answer.json?.['msg']), /twill-node does not answer on \/nonexistent\/"quoted"\.sock/);
      assert.equal(code(await node.plugin(client, { command: 'STATUS', configuration })), 50);
      const configured = { agentSocket: `${node.runDir}/cni.sock` };
      const found = await node.plugin(client, {
        command: 'DEL',
        configuration: configured,
        without: ['TWILL_RUN_DIR'],
      });
      assert.equal(found.status, 0, found.stdout);
    });

    it('adds a pod: what the result says is true, and the pod is reached', async () => {
      pod('web');
      const configuration = {
        mtu: 1400,
        args: { cni: { labels: [{ key: 'app', value: 'web' }] }, twill: { ports: [{ name: 'http', port: 80 }] } },
      };
      const result = added(await node.plugin(client, { command: 'ADD', configuration }));
      const [host, eth0] = result.interfaces;
      assert.ok(host && eth0);
      // SHA-1 of "shop.web".
      assert.equal(host.name, 'cali551b05c3e54');
      assert.deepEqual([eth0.name, eth0.mtu, eth0.sandbox], ['eth0', 1400, node.podNetns('web')]);
      const [address] = result.ips;
      assert.match(address?.address ?? '', /^10\.65\.\d+\.\d+\/32$/);
      assert.equal(address?.interface, 1);
      const ip = address?.address.split('/')[0] ?? '';

      const inside = await node.ip(node.podNetns('web'), 'addr', 'show', 'eth0');
      assert.match(inside, /mtu 1400 .*state UP/);
      assert.match(inside, new RegExp(`link/ether ${eth0.mac} `));
      assert.match(inside, new RegExp(`inet ${ip}/32 `));
      const routes = await node.ip(node.podNetns('web'), 'route');
      assert.equal(routes.trim(), 'default via 169.254.1.1 dev eth0 \n169.254.1.1 dev eth0 scope link');
      const link = await node.ip(node.netns, '-d', 'link', 'show', host.name);
      assert.match(link, /link\/ether ee:ee:ee:ee:ee:ee /);
      // felix' own constant: its rules look at the group.
      assert.match(link, new RegExp(` group ${workloadLinkGroup} `));

      const endpoint = JSON.parse(
        (await node.stored()).get(
          '/calico/resources/v3/projectcalico.org/workloadendpoints/shop/node--1-k8s-web-eth0',
        ) ?? '{}',
      );
      assert.deepEqual(endpoint.metadata.labels, {
        app: 'web',
        'projectcalico.org/namespace': 'shop',
        'projectcalico.org/orchestrator': 'k8s',
      });
      assert.equal(endpoint.spec.interfaceName, host.name);
      assert.equal(endpoint.spec.mac, eth0.mac);
      assert.deepEqual(endpoint.spec.ipNetworks, [`${ip}/32`]);
      assert.deepEqual(endpoint.spec.profiles, ['kns.shop']);
      assert.deepEqual(endpoint.spec.ports, [{ name: 'http', port: 80, protocol: 'TCP' }]);

      // The node has no default route and no address of its own but this one.
      await node.ip(node.netns, 'addr', 'add', '192.0.2.1/32', 'dev', 'lo');
      const ping = await runProgram('ping', ['-c1', '-W2', '-I', '192.0.2.1', ip], { netns: node.netns });
      assert.equal(ping.status, 0, ping.stdout);
      // By ARP too, for those that flush the permanent entry.
      await node.ip(node.podNetns('web'), 'neigh', 'del', '169.254.1.1', 'dev', 'eth0');
      const back = await runProgram('ping', ['-c1', '-W2', '192.0.2.1'], { netns: node.podNetns('web') });
      assert.equal(back.status, 0, back.stdout);
      await node.ip(node.netns, 'addr', 'del', '192.0.2.1/32', 'dev', 'lo');

      assert.equal((await node.plugin(client, { command: 'DEL' })).stdout, '');
      assert.deepEqual(await node.links(), []);
      assert.deepEqual(await node.owned(), []);
    });

    it('gives a pod both families', async () => {
      pod('dual');
      const configuration = { ipam: { assign_ipv6: 'true' } };
      const result = added(await node.plugin(client, { command: 'ADD', pod: 'dual', configuration }));
      const [ipv4 = '', ipv6 = ''] = result.ips.map(({ address }) => address.split('/')[0] ?? '');
      assert.match(ipv6, /^fd65::/);
      await node.ip(node.netns, 'addr', 'add', '2001:db8::1/128', 'dev', 'lo');
      for (const [ip, source] of [
        [ipv6, '2001:db8::1'],
        [ipv4, undefined],
      ] as const) {
        const args = ['-c1', '-W2', ...(source ? ['-I', source] : []), ip];
        if (!source) await node.ip(node.netns, 'addr', 'add', '192.0.2.1/32', 'dev', 'lo');
        const ping = await runProgram('ping', args, { netns: node.netns });
        assert.equal(ping.status, 0, ping.stdout);
      }
      await node.ip(node.netns, 'addr', 'del', '192.0.2.1/32', 'dev', 'lo');
      await node.ip(node.netns, 'addr', 'del', '2001:db8::1/128', 'dev', 'lo');
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'dual' })).status, 0);
      assert.deepEqual(await node.owned(), []);
    });

    it('answers in the shape of the version that was asked for', async () => {
      for (const cniVersion of ['0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
        pod('old');
        const result = added(await node.plugin(client, { command: 'ADD', pod: 'old', configuration: { cniVersion } }));
        assert.equal(Reflect.get(result, 'cniVersion'), cniVersion);
        assert.equal(result.ips[0]?.version, cniVersion.startsWith('0.') ? '4' : undefined);
        assert.equal('mtu' in (result.interfaces[1] ?? {}), cniVersion === '1.1.0');
        await node.plugin(client, { command: 'DEL', pod: 'old', configuration: { cniVersion } });
        node.deletePod('old');
        pods.pop();
      }
    });

    it('refuses bad input with the code for it', async () => {
      pod('bad');
      const add = (change: Parameters<TestNode['plugin']>[1] | object): Promise<PluginAnswer> =>
        node.plugin(client, { command: 'ADD', pod: 'bad', ...change });
      for (const variable of ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME']) {
        const answer = await add({ without: [variable] });
        assert.equal(code(answer), 4);
        assert.match(String(answer.json?.['msg']), new RegExp(variable));
      }
      assert.equal(code(await add({ containerId: '-x' })), 4);
      assert.equal(code(await add({ containerId: 'a/b' })), 4);
      assert.equal(code(await add({ ifname: 'has space' })), 4);
      assert.equal(code(await add({ ifname: '..' })), 4);
      assert.equal(code(await add({ args: 'nonsense' })), 4);
      assert.equal(code(await add({ netns: '/nonexistent' })), 3);
      assert.equal(code(await add({ netns: '/etc/passwd' })), 3);
      assert.equal(code(await add({ netns: node.netns })), 4);
      assert.equal(code(await add({ command: 'FLY' })), 4);
      assert.equal(code(await add({ configuration: '{' })), 6);
      assert.equal(code(await add({ configuration: '' })), 6);
      assert.equal(code(await add({ configuration: { cniVersion: '2.0.0' } })), 1);
      assert.equal(code(await add({ configuration: { name: '' } })), 7);
      assert.equal(code(await add({ configuration: { mtu: 'big' } })), 7);
      assert.equal(code(await add({ configuration: { args: { cni: { labels: [{ key: 'a b', value: 'c' }] } } } })), 7);
      assert.equal(code(await add({ configuration: { ipam: { type: 'dhcp' } } })), 7);
      assert.equal(code(await add({ configuration: { ipam: { ipv4_pools: ['no-such-pool'] } } })), 101);
      assert.deepEqual(await node.owned(), []);
      assert.deepEqual(await node.links(), []);
    });

    it('refuses an interface name that is taken, and leaks nothing', async () => {
      pod('taken');
      await node.ip(node.podNetns('taken'), 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other');
      assert.equal(code(await node.plugin(client, { command: 'ADD', pod: 'taken' })), 100);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'taken' })).status, 0);
      assert.match(await node.ip(node.podNetns('taken'), 'link', 'show', 'eth0'), /eth0/);
      assert.deepEqual(await node.owned(), []);
      assert.deepEqual(await node.links(), []);
    });

    it('cleans up when policy does not get into the kernel', async () => {
      pod('dark');
      await node.felix('dead');
      const answer = await node.plugin(client, { command: 'ADD', pod: 'dark' });
      assert.equal(code(answer), 11);
      assert.match(String(answer.json?.['msg']), /felix does not answer/);
      await node.felix('not-ready');
      assert.match(String((await node.plugin(client, { command: 'ADD', pod: 'dark' })).json?.['msg']), /not in sync/);
      await node.felix('well');
      assert.deepEqual(await node.owned(), []);
      assert.deepEqual(await node.links(), []);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'dark' })).status, 0);
      added(await node.plugin(client, { command: 'ADD', pod: 'dark' }));
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'dark' })).status, 0);
    });

    it('keeps the link down until policy is in the kernel', async () => {
      pod('early');
      await node.felix('slow');
      const answer = node.plugin(client, { command: 'ADD', pod: 'early' });
      // The address is the last thing that happens before the wait.
      const inside = (): Promise<string> => node.ip(node.podNetns('early'), 'addr', 'show');
      while (!(await inside()).includes('10.65.')) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.match(await inside(), /eth0@if\d+: <BROADCAST,MULTICAST>.* state DOWN/);
      assert.equal(await node.ip(node.podNetns('early'), 'route'), '');
      await node.felix('well');
      added(await answer);
      // The carrier of a link that goes up is told a moment later, by a worker of the kernel.
      const isUp = (): Promise<boolean> =>
        inside().then((text) => /eth0@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP>/.test(text));
      await eventually('eth0 is up', isUp);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'early' })).status, 0);
    });

    it('deletes as often as one likes, with and without the namespace', async () => {
      pod('gone');
      added(await node.plugin(client, { command: 'ADD', pod: 'gone' }));
      node.deletePod(pods.pop() ?? '');
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'gone' })).status, 0);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'gone' })).status, 0);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'gone', without: ['CNI_NETNS'] })).status, 0);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'never-added' })).status, 0);
      assert.deepEqual(await node.owned(), []);
      assert.deepEqual(await node.links(), []);
    });

    it('keeps a new container of the same pod when the old one is deleted late', async () => {
      pod('again');
      added(await node.plugin(client, { command: 'ADD', pod: 'again', containerId: 'old' }));
      node.deletePod('again');
      node.createPod('again');
      const result = added(await node.plugin(client, { command: 'ADD', pod: 'again', containerId: 'new' }));
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'again', containerId: 'old' })).status, 0);
      assert.deepEqual(await node.links(), [result.interfaces[0]?.name]);
      assert.equal((await node.owned()).length, 2);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'again', containerId: 'new' })).status, 0);
      assert.deepEqual(await node.owned(), []);
      assert.deepEqual(await node.links(), []);
    });

    it('gives two interfaces to one container, and frees each by itself', async () => {
      pod('two');
      const first = added(await node.plugin(client, { command: 'ADD', pod: 'two' }));
      await node.ip(node.podNetns('two'), 'route', 'del', 'default');
      await node.ip(node.podNetns('two'), 'route', 'del', '169.254.1.1');
      const second = added(await node.plugin(client, { command: 'ADD', pod: 'two', ifname: 'net1' }));
      assert.notEqual(first.ips[0]?.address, second.ips[0]?.address);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'two', ifname: 'net1' })).status, 0);
      assert.deepEqual(await node.links(), [first.interfaces[0]?.name]);
      assert.equal((await node.plugin(client, { command: 'DEL', pod: 'two' })).status, 0);
      assert.deepEqual(await node.owned(), []);
    });

    it('adds pods at the same time without sharing an address', async () => {
      const many = Array.from({ length: 12 }, (_, i) => pod(`many${i}`));
      const answers = await Promise.all(many.map((each) => node.plugin(client, { command: 'ADD', pod: each })));
      const addresses = new Set(answers.map((answer) => added(answer).ips[0]?.address));
      assert.equal(addresses.size, many.length);
      const deleted = await Promise.all(many.map((each) => node.plugin(client, { command: 'DEL', pod: each })));
      assert.ok(deleted.every(({ status }) => status === 0));
      assert.deepEqual(await node.owned(), []);
      assert.deepEqual(await node.links(), []);
    });

    it('keeps nothing open, neither of what worked nor of what failed', async () => {
      pod('open');
      const round = async (): Promise<void> => {
        added(await node.plugin(client, { command: 'ADD', pod: 'open' }));
        assert.equal(code(await node.plugin(client, { command: 'ADD', pod: 'open' })), 100);
        await node.felix('dead');
        assert.equal(code(await node.plugin(client, { command: 'ADD', pod: 'open', ifname: 'net1' })), 11);
        await node.felix('well');
        assert.equal((await node.plugin(client, { command: 'DEL', pod: 'open' })).status, 0);
        assert.equal(code(await node.plugin(client, { command: 'ADD', netns: '/etc/passwd' })), 3);
      };
      await round();
      const before = node.openDescriptors();
      await round();
      await round();
      // The agent closes its end of a connection after the client has gone.
      await until('as many descriptors as before', () => node.openDescriptors() <= before);
    });

    it('serves containers that are no pods', async () => {
      pod('plain');
      const call = { pod: 'plain', args: '', containerId: 'Plain_1' };
      const answer = await node.plugin(client, { command: 'ADD', ...call, containerId: 'plain1' });
      added(answer);
      const [endpoint] = await node.owned();
      assert.match(endpoint ?? '', /ipam|node--1-cni-plain1-eth0/);
      assert.equal((await node.plugin(client, { command: 'DEL', ...call, containerId: 'plain1' })).status, 0);
      assert.deepEqual(await node.owned(), []);
    });
  });
}
