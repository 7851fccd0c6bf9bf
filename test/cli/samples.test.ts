// Manifests of every kind, in the forms that people have them: they apply unchanged, and what comes back applies too.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { kinds } from '../../datastore/model/index.ts';
import { Cli } from './harness.ts';

const samples = fileURLToPath(new URL('./samples', import.meta.url));
const files = ['addresses.yaml', 'bgp.yaml', 'nodes.yaml', 'policy.yaml'];

describe('sample manifests', () => {
  it('apply as a directory, and again from what get shows', async () => {
    const cli = await Cli.start();
    for (const file of files) cli.files.set(`${samples}/${file}`, readFileSync(`${samples}/${file}`, 'utf8'));
    const applied = await cli.run(`apply -f ${samples}`);
    assert.equal(applied.err, '');
    assert.match(applied.out, /^Successfully applied \d+ resource\(s\)\n$/);
    const used = new Set(
      [...cli.files.values()].flatMap((text) => [...text.matchAll(/^kind: (\w+)$/gm)].map(([, kind]) => kind)),
    );
    for (const { kind, readOnly } of Object.values(kinds)) {
      if (!readOnly && kind !== 'ClusterInformation') assert.ok(used.has(kind), `there is a sample of ${kind}`);
    }
    for (const { plural, namespaced, readOnly } of Object.values(kinds)) {
      if (readOnly || plural === 'clusterinformations') continue;
      const shown = await cli.run(`get ${plural} -o yaml${namespaced ? ' -A' : ''}`);
      assert.equal(shown.err, '');
      const again = await cli.run('apply --skip-empty -f -', shown.out);
      assert.equal(again.err, '');
    }
  });

  it('show in tables of every kind', async () => {
    const cli = await Cli.start();
    for (const file of files) cli.files.set(`${samples}/${file}`, readFileSync(`${samples}/${file}`, 'utf8'));
    await cli.run(`apply -f ${samples}`);
    const tables: string[] = [];
    for (const { plural, namespaced } of Object.values(kinds)) {
      for (const output of ['ps', 'wide']) {
        const line = `get ${plural} -o ${output}${namespaced ? ' -A' : ''}`;
        const { out, err } = await cli.run(line);
        // Made at random for each datastore.
        tables.push(`$ twillctl ${line}\n${out.replace(/\b[0-9a-f]{32}\b/g, '0'.repeat(32))}${err}`);
      }
    }
    const golden = new URL('./golden/tables.txt', import.meta.url);
    if (process.env['UPDATE_GOLDEN']) writeFileSync(golden, tables.join(''));
    assert.equal(tables.join(''), readFileSync(golden, 'utf8'));
  });

  it('keep numbers where text is wanted as the text that was written', async () => {
    const cli = await Cli.start();
    cli.files.set('nodes.yaml', readFileSync(`${samples}/nodes.yaml`, 'utf8'));
    cli.files.set('policy.yaml', readFileSync(`${samples}/policy.yaml`, 'utf8'));
    const manifests = [...cli.files.values()].join('---\n');
    assert.equal((await cli.run('apply -f -', manifests)).err, '');
    const endpoint = JSON.parse((await cli.run('get wep node1-k8s-frontend--5gs43-eth0 -o json')).out);
    assert.equal(endpoint.spec.containerID, '1337495556942031415926535');
    const policy = JSON.parse((await cli.run('get np database-from-frontend -n shop -o json')).out);
    assert.equal(policy.metadata.labels.version, '2');
    assert.deepEqual(policy.spec.ingress[0].destination.ports, [6379, '7000:7010', 'metrics']);
  });
});
