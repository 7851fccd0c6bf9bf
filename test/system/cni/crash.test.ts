// The agent dies by kill -9 in the middle of ADD, at several points: whatever it left, DEL or GC of the next agent cleans
// address, endpoint and link, and the same container can be added again. And GC finds what has lost its other halves.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blocksOf } from '../../../datastore/model/index.ts';
import { runOrThrow } from '../../../linux/process.ts';
import { bundleClient, compileClient } from './clients.ts';
import { type Container, eventually, WholeNode } from './whole-node.ts';

const endpoints = '/calico/resources/v3/projectcalico.org/workloadendpoints/';
const handles = '/calico/ipam/v2/handle/';
const gc = { configuration: { 'cni.dev/valid-attachments': [] }, id: '', netns: '' };

describe('after kill -9 of the agent', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'tw-cni-client-'));
  let node: WholeNode;

  before(async () => {
    node = await WholeNode.start(`tw-cnicrash-${process.pid}`, compileClient(folder) ?? bundleClient(folder));
    const allow = [{ action: 'Allow' as const }];
    const metadata = { name: 'kns.shop' };
    const spec = { ingress: allow, egress: allow };
    await node.resources.create({ kind: 'Profile', apiVersion: 'projectcalico.org/v3', metadata, spec });
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const pod = (id: string): Container => ({
    id,
    netns: node.createPod(id),
    args: `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${id}`,
  });
  const stored = async (prefix: string): Promise<string[]> =>
    (await node.store.list(prefix, { keysOnly: true })).entries.map(({ key }) => key);
  const succeed = async (command: string, container: Container): Promise<void> => {
    const { status, stdout, stderr } = await node.cni(command, container);
    assert.equal(status, 0, `${command}: ${stdout}${stderr}`);
  };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  const points: readonly [string, 'DEL' | 'GC', (adding: Promise<unknown>) => Promise<void>][] = [
    ['when it has hardly begun', 'DEL', () => pause(4)],
    ['about when it writes', 'GC', () => pause(9)],
    [
      'when the endpoint is stored',
      'GC',
      () => eventually('endpoint', async () => (await stored(endpoints)).length > 0),
    ],
  ];
  for (const [when, remedy, reach] of points) {
    it(`${when}, ${remedy} cleans up`, async () => {
      const container = pod(`crash-${remedy.toLowerCase()}-${points.findIndex(([name]) => name === when)}`);
      const adding = node.cni('ADD', container);
      await reach(adding);
      await node.killAgent();
      await adding;
      await node.startAgent();
      await succeed(remedy, remedy === 'GC' ? gc : container);
      assert.deepEqual(await node.leftovers(), []);
      await node.add(container);
      await succeed('DEL', container);
      assert.deepEqual(await node.leftovers(), []);
    });
  }

  it('between making a link and giving it its name, the next agent removes it', async () => {
    await node.killAgent();
    const veth = ['twill-unmarked', 'address', 'ee:ee:ee:ee:ee:ee', 'type', 'veth', 'peer', 'name', 'eth9'];
    await runOrThrow('ip', ['link', 'add', ...veth], { netns: node.netns });
    assert.equal((await node.leftovers()).length, 2, 'both ends');
    await node.startAgent();
    assert.deepEqual(await node.leftovers(), []);
  });

  it('while it waits for policy, the same container is added again without DEL', async () => {
    const container = pod('waits');
    const felix = node.childPid('felix');
    process.kill(felix, 'SIGSTOP');
    const adding = node.cni('ADD', container);
    await eventually('link and endpoint', async () => (await node.leftovers()).length === 4);
    await node.killAgent();
    process.kill(felix, 'SIGKILL');
    assert.equal((await adding).status, 1);
    const left = await node.leftovers();
    assert.equal(left.length, 4, left.join('\n'));
    await node.startAgent();
    // The runtime throws the failed sandbox away, and its namespace with it; the pod's side goes with that.
    node.deletePod('waits');
    await node.add(pod('waits'));
    await succeed('DEL', container);
    assert.deepEqual(await node.leftovers(), []);
  });

  describe('GC', () => {
    it("finds an address borrowed from another node's block, when the link is gone", async () => {
      const container = pod('borrows');
      await node.add(container);
      // As if the block had been another node's from the beginning.
      const [block] = (await node.store.list(blocksOf(4))).entries;
      assert.ok(block);
      const affinities = await stored('/calico/ipam/v2/host/');
      await node.store.transact({
        compare: [],
        then: [
          { kind: 'put', key: block.key, value: block.value.replace('"host:node-1"', '"host:node-2"') },
          ...affinities.map((key) => ({ kind: 'delete', key }) as const),
        ],
      });
      node.deletePod('borrows');
      await eventually('the link goes with its namespace', async () => (await node.leftovers()).length === 3);
      await succeed('GC', gc);
      assert.deepEqual(await node.leftovers(), []);
    });

    it('removes the endpoint of a link whose address and handle are lost', async () => {
      const container = pod('loses');
      await node.add(container);
      const lost = [
        ...(await stored(handles)),
        ...(await stored(blocksOf(4))),
        ...(await stored('/calico/ipam/v2/host/')),
      ];
      await node.store.transact({ compare: [], then: lost.map((key) => ({ kind: 'delete', key }) as const) });
      assert.equal((await node.leftovers()).length, 2);
      await succeed('GC', gc);
      assert.deepEqual(await node.leftovers(), []);
    });
  });
});
