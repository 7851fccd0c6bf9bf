// In a chain: the tuning plugin of the CNI project after ours changes the pod's MAC address and a sysctl; CHECK passes with
// the final result and notices when it is not true any more; DEL in reverse order leaves nothing.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleClient, compileClient } from './clients.ts';
import { type Client, TestNode } from './node.ts';

const tuning = '/usr/lib/cni/tuning';
const folder = mkdtempSync(join(tmpdir(), 'tw-cni-client-'));

describe('CNI plugin in a chain', function () {
  this.timeout(30_000);
  let node: TestNode;
  let client: Client;

  before(async function () {
    // Debian's containernetworking-plugins, which deploy/setup.sh installs for tests.
    if (!existsSync(tuning)) return this.skip();
    client = compileClient(folder) ?? bundleClient(folder);
    node = await TestNode.start();
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('works in front of tuning', async () => {
    node.createPod('web');
    const base = { cniVersion: '1.0.0', name: 'twill' };
    const mac = '02:00:00:00:00:42';
    const tune = { ...base, type: 'tuning', mac, sysctl: { 'net.ipv4.conf.eth0.arp_filter': '1' } };
    const ours = await node.plugin(client, { command: 'ADD', configuration: base });
    assert.equal(ours.status, 0, ours.stdout);
    const tuned = await node.plugin([tuning], { command: 'ADD', configuration: { ...tune, prevResult: ours.json } });
    assert.equal(tuned.status, 0, tuned.stdout);
    const prevResult = tuned.json;
    assert.match(JSON.stringify(prevResult), new RegExp(mac));

    for (const [plugin, configuration] of [
      [client, base],
      [[tuning], tune],
    ] as const) {
      const check = await node.plugin(plugin, { command: 'CHECK', configuration: { ...configuration, prevResult } });
      assert.equal(check.status, 0, check.stdout);
    }
    const outdated = await node.plugin(client, { command: 'CHECK', configuration: { ...base, prevResult: ours.json } });
    assert.equal(outdated.status, 1, 'the MAC address is not that of our own result any more');

    for (const [plugin, configuration] of [
      [[tuning], tune],
      [client, base],
    ] as const) {
      const del = await node.plugin(plugin, { command: 'DEL', configuration: { ...configuration, prevResult } });
      assert.equal(del.status, 0, del.stdout);
    }
    assert.deepEqual(await node.owned(), []);
    assert.deepEqual(await node.links(), []);
  });
});
