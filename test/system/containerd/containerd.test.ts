// With a real containerd, spoken to as the kubelet does: a pod's sandbox gets its address from Twill, is reached as policy
// says, and leaves neither address, endpoint nor link when it is removed.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from '../../../linux/requirements.ts';
import { compileClient } from '../cni/clients.ts';
import { WholeNode } from '../cni/whole-node.ts';
import { ContainerRuntime, type Sandbox } from './runtime.ts';

const needed = ['containerd', 'runc', 'ctr', 'gcc'];

describe('pods in containerd', function () {
  this.timeout(60_000);
  let folder: string;
  let node: WholeNode;
  let runtime: ContainerRuntime;
  const running = new Set<Sandbox>();

  before(async function () {
    const missing = needed.filter((program) => !findProgram(program));
    if (missing.length > 0) {
      console.log(`    skipped, for these are not installed: ${missing.join(', ')}`);
      return this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'tw-containerd-'));
    const [plugin] = compileClient(folder) ?? assert.fail('no C compiler');
    node = await WholeNode.start(`tw-containerd-${process.pid}`, [plugin]);
    mkdirSync(join(folder, 'runtime'));
    runtime = await ContainerRuntime.start(join(folder, 'runtime'), node.netns, plugin, `${node.folder}/cni.sock`);
  });

  after(async () => {
    for (const sandbox of running) await runtime.removePod(sandbox);
    await runtime?.stop();
    await node?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  const run = async (namespace: string, name: string): Promise<Sandbox> => {
    const sandbox = await runtime.runPod(namespace, name);
    running.add(sandbox);
    return sandbox;
  };

  it('get addresses, are reached as policy says, and leave nothing', async () => {
    const all = [{ action: 'Allow' as const }];
    for (const name of ['kns.shop', 'kns.bank']) {
      const spec = { ingress: all, egress: all };
      await node.resources.create({ kind: 'Profile', apiVersion: 'projectcalico.org/v3', metadata: { name }, spec });
    }
    const ours = 'projectcalico.org/namespace == "shop"';
    await node.resources.create({
      kind: 'GlobalNetworkPolicy',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'shop-only' },
      spec: { selector: ours, types: ['Ingress'], ingress: [{ action: 'Allow', source: { selector: ours } }] },
    });
    const [web, cart, bank] = await Promise.all([run('shop', 'web'), run('shop', 'cart'), run('bank', 'teller')]);
    for (const { address } of [web, cart, bank]) assert.match(address, /^10\.65\.\d+\.\d+$/);
    const endpoints = await node.resources.list('WorkloadEndpoint');
    assert.deepEqual(
      endpoints.resources.map(({ metadata, spec }) => [metadata.namespace, spec.pod, spec.ipNetworks]).sort(),
      [
        ['bank', 'teller', [`${bank.address}/32`]],
        ['shop', 'cart', [`${cart.address}/32`]],
        ['shop', 'web', [`${web.address}/32`]],
      ],
    );
    assert.ok(await node.pings(cart.netns, web.address), 'the same namespace may');
    assert.equal(await node.pings(bank.netns, web.address), false, 'another one may not');
    assert.ok(await node.pings(web.netns, bank.address), 'where no policy is, the profile allows');

    for (const sandbox of [web, cart, bank]) {
      await runtime.removePod(sandbox);
      running.delete(sandbox);
    }
    assert.deepEqual(await node.leftovers(), []);
  });
});
