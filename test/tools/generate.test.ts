// The reference pages, JSON schemas and CRDs in the repository are those that the declarations give.

import assert from 'node:assert/strict';
import { declarationOf, type Kind, kinds } from '../../datastore/model/index.ts';
import { isObject } from '../../datastore/model/schema/check.ts';
import { jsonSchemaOf } from '../../datastore/model/schema/json-schema.ts';
import { generatedFiles, outdatedFiles } from '../../tools/generate.ts';

describe('generated files', () => {
  it('are up to date (else: npm run generate)', () => {
    assert.deepEqual(outdatedFiles(generatedFiles()), []);
  });

  it('hold schemas that a Kubernetes API server accepts: structural', () => {
    const walk = (schema: unknown, path: string): void => {
      if (!isObject(schema)) return;
      const intOrString = schema['x-kubernetes-int-or-string'] === true;
      const anything = schema['x-kubernetes-preserve-unknown-fields'] === true;
      assert.ok(intOrString || anything || typeof schema['type'] === 'string', `${path} has a type`);
      assert.ok(!(intOrString && 'type' in schema), `${path}: int-or-string stands without type`);
      assert.ok(!('additionalProperties' in schema && 'properties' in schema), `${path}: not both`);
      for (const keyword of ['$ref', 'const', 'deprecated', 'uniqueItems'])
        assert.ok(!(keyword in schema), `${path}: ${keyword}`);
      assert.doesNotMatch(String(schema['pattern']), /\(\?[=!<]/, `${path}: Go knows no look-around`);
      const properties = isObject(schema['properties']) ? schema['properties'] : {};
      for (const [name, below] of Object.entries(properties)) walk(below, `${path}.${name}`);
      if ('items' in schema) walk(schema['items'], `${path}[]`);
      if ('additionalProperties' in schema) walk(schema['additionalProperties'], `${path}.*`);
    };
    let definitions = 0;
    for (const [path, text] of generatedFiles()) {
      if (!path.startsWith('deploy/crds/')) continue;
      definitions++;
      assert.match(text, /^apiVersion: apiextensions\.k8s\.io\/v1\nkind: CustomResourceDefinition\n/);
    }
    assert.equal(definitions, 23);
    for (const kind of Object.keys(kinds) as Kind[]) walk(jsonSchemaOf(declarationOf(kind).spec, 'crd'), kind);
  });
});
