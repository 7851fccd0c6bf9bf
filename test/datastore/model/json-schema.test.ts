// The schemas for editors accept what twillctl accepts: every sample of a manifest, in the forms that people write.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { checkResource, declarationOf, type Kind, kinds } from '../../../datastore/model/index.ts';
import { isObject } from '../../../datastore/model/schema/check.ts';
import { resourceSchema } from '../../../datastore/model/schema/json-schema.ts';
import { schemaFaults } from './json-schema.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The manifests of projectcalico.org/v3 in a folder's YAML files, lists taken apart. */
function manifestsIn(folder: string): readonly (readonly [where: string, manifest: Record<string, unknown>])[] {
  const files = readdirSync(`${root}/${folder}`).filter((name) => /\.ya?ml$/.test(name));
  return files.flatMap((file) =>
    parseAllDocuments(readFileSync(`${root}/${folder}/${file}`, 'utf8')).flatMap((document, i) => {
      const value: unknown = 'toJS' in document ? document.toJS() : undefined;
      const items = isObject(value) && Array.isArray(value['items']) ? value['items'] : [value];
      return items
        .filter(isObject)
        .filter(({ kind, apiVersion }) => String(kind) in kinds && apiVersion === 'projectcalico.org/v3')
        .map((manifest) => [`${file}, document ${i + 1}`, manifest] as const);
    }),
  );
}

const isKind = (kind: unknown): kind is Kind => typeof kind === 'string' && kind in kinds;

function faultsOf(manifest: Readonly<Record<string, unknown>>): readonly string[] {
  const { kind } = manifest;
  assert.ok(isKind(kind));
  return schemaFaults(resourceSchema(declarationOf(kind)), manifest);
}

describe('schemas for editors', () => {
  for (const folder of ['test/cli/samples', 'deploy/lab', 'docs/examples']) {
    it(`accept the manifests of ${folder}`, () => {
      const manifests = manifestsIn(folder);
      assert.ok(manifests.length > 0);
      for (const [where, manifest] of manifests) assert.deepEqual(faultsOf(manifest), [], where);
    });
  }

  const peer = (spec: object): Record<string, unknown> => ({
    kind: 'BGPPeer',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'a', labels: { tier: 1, old: true }, creationTimestamp: null },
    spec: { peerIP: '10.0.0.1', ...spec },
  });

  it('accept and refuse as twillctl does: unquoted text, dotted AS numbers, empty fields', () => {
    const cases: readonly (readonly [object, boolean])[] = [
      [{ asNumber: 64512 }, true],
      [{ asNumber: '64512' }, true],
      [{ asNumber: '1.10' }, true],
      [{ asNumber: 1.5 }, false],
      [{ asNumber: 'x' }, false],
      [{ asNumber: -1 }, false],
      [{ asNumber: 1, nextHopMode: null, filters: null, maxRestartTime: null }, true],
      [{ asNumber: 1, nextHopMode: 'Shelf' }, false],
      [{ asNumber: 1, node: 12 }, true],
      [{ asNumber: 1, node: true }, true],
      [{ asNumber: 1, filters: [12] }, true],
      [{ asNumber: 1, filters: [{}] }, false],
      [{ asNumber: 1, colour: 'red' }, false],
    ];
    for (const [spec, accepted] of cases) {
      const manifest = peer(spec);
      const what = JSON.stringify(spec);
      assert.equal(checkResource(manifest).kind === 'valid', accepted, `twillctl: ${what}`);
      assert.equal(faultsOf(manifest).length === 0, accepted, `the schema: ${what}`);
    }
  });
});
