// Containers that are no pods, with felix in the kernel: the first one makes the Profile of its network, by which the
// containers of one network talk to each other, and others do not reach them.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleClient, compileClient } from './clients.ts';
import { WholeNode } from './whole-node.ts';

describe('the profile of a network', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'tw-cni-client-'));
  let node: WholeNode;

  before(async () => {
    node = await WholeNode.start(`tw-cniprofile-${process.pid}`, compileClient(folder) ?? bundleClient(folder));
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('lets containers of one network talk, and no others in', async () => {
    const on = (network: string, id: string) => ({ id, netns: node.createPod(id), configuration: { name: network } });
    const [a, b, stranger] = [on('blue.net', 'a'), on('blue.net', 'b'), on('red', 'c')];
    const [addressA, addressB] = await Promise.all([node.add(a), node.add(b)]);
    const addressStranger = await node.add(stranger);
    assert.ok(await node.pings(a.netns, addressB), 'in the same network');
    assert.ok(await node.pings(b.netns, addressA), 'and back');
    assert.equal(await node.pings(stranger.netns, addressA), false, 'from another network');
    assert.equal(await node.pings(a.netns, addressStranger), false, 'into another network');
  });

  it('leaves a profile as somebody has changed it', async () => {
    const profile = await node.resources.get('Profile', 'red');
    await node.resources.update({ ...profile, spec: { ...profile.spec, ingress: [{ action: 'Allow' }] } });
    const container = { id: 'd', netns: node.createPod('d'), configuration: { name: 'red' } };
    const address = await node.add(container);
    assert.ok(await node.pings(netnsOf('a'), address));
    assert.deepEqual((await node.resources.get('Profile', 'red')).spec.ingress, [{ action: 'Allow' }]);
  });

  it('asks for another name when no Profile can have that of the network', async () => {
    const container = { id: 'e', netns: node.createPod('e'), configuration: { name: 'Red_Net' } };
    const refused = await node.cni('ADD', container);
    assert.equal(refused.status, 1);
    assert.match(refused.stdout, /no Profile can be named after the network \\"Red_Net\\"/);
    const named = { ...container, configuration: { name: 'Red_Net', args: { twill: { profiles: ['red'] } } } };
    assert.match(await node.add(named), /^10\.65\./);
  });

  const netnsOf = (pod: string): string => `${node.netns}-${pod}`;
});
