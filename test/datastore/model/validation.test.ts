// Validation: each faulty field of each kind with the message it gives (golden/faults.txt, rewritten with UPDATE_GOLDEN=1),
// and that a valid resource of each kind has none.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import {
  checkChange,
  checkResource,
  declarationOf,
  decodeResource,
  encodeResource,
  type Kind,
} from '../../../datastore/model/index.ts';
import { metadataType } from '../../../datastore/model/kinds/common.ts';
import { fieldsOf } from '../../../datastore/model/schema/describe.ts';
import type { Field, Type } from '../../../datastore/model/schema/types.ts';
import { fieldCases, placed } from './field-cases.ts';
import { allKinds, apiVersion, faultsOf, leaves, manifest } from './manifests.ts';
import { faultCases, validSpecs } from './validation-cases.ts';

const goldenPath = new URL('./golden/faults.txt', import.meta.url);
/** Each faulty resource of a kind, with what is shown of it. */
function faultyManifests(kind: Kind): readonly { readonly shown: string; readonly manifest: unknown }[] {
  const base = faultCases[kind][0]?.base ?? {};
  return [
    ...faultCases[kind].map(({ spec, metadata }) => ({
      shown: JSON.stringify(metadata ? { metadata, spec } : spec),
      manifest: manifest(kind, { ...base, ...spec }, metadata),
    })),
    ...Object.entries(fieldCases[kind]).map(([path, value]) => {
      const { metadata, spec = {}, ...others } = placed(path, value);
      const whole = manifest(kind, { ...base, ...asRecord(spec) }, asRecord(metadata ?? {}));
      return { shown: `${path} = ${JSON.stringify(value)}`, manifest: { ...asRecord(whole), ...others } };
    }),
  ];
}

const asRecord = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? { ...value } : {};

/** The fields on the way to a path such as "spec.ingress[0].source.nets": the last one is what it names. */
function fieldAt(kind: Kind, path: string): Field | undefined {
  let at: Field | undefined;
  let fields = roots(kind);
  for (const name of path.replaceAll(/\[[^\]]*\]/g, '').split('.')) {
    at = fields[name];
    if (!at) return undefined;
    fields = fieldsOf(at.type) ?? {};
  }
  return at;
}

/** What is in a resource of the kind. */
function roots(kind: Kind): Readonly<Record<string, Field>> {
  const { spec, status } = declarationOf(kind);
  const field = (type: Type): Field => ({ type, presence: 'optional', doc: '' });
  return { metadata: field(metadataType), spec: field(spec), ...(status && { status: field(status) }) };
}

/** Every field below, once, with its path. What kinds share is one field. */
function collectFields(fields: Readonly<Record<string, Field>>, path: string, found: Map<Field, string>): void {
  for (const [name, field] of Object.entries(fields)) {
    if (!found.has(field)) found.set(field, `${path}.${name}`);
    collectFields(fieldsOf(field.type) ?? {}, `${path}.${name}`, found);
  }
}

/** An unknown field in every object below: what a newer version may have added. Maps of free names have none. */
function withFutureFields(value: unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map((entry) => withFutureFields(entry));
  if (typeof value !== 'object' || value === null || freeNames.includes(name)) return value;
  const fields = Object.entries(value).map(([field, below]) => [field, withFutureFields(below, field)]);
  return { ...Object.fromEntries(fields), fromTheFuture: { colour: 'green' } };
}
const freeNames = ['labels', 'annotations', 'labelsToApply', 'matchLabels'];

describe('validation', () => {
  for (const kind of allKinds) {
    it(`accepts a full ${kind}, and what it made of it`, () => {
      const value = manifest(kind, validSpecs[kind]);
      const result = checkResource(value);
      assert.deepEqual(faultsOf(value), []);
      assert.ok(result.kind === 'valid');
      assert.deepEqual(checkResource(JSON.parse(JSON.stringify(result.resource))), result);
    });
  }

  for (const kind of allKinds) {
    it(`keeps what a newer version wrote into a ${kind}, through reading, changing and writing`, () => {
      const checked = checkResource(manifest(kind, validSpecs[kind]));
      assert.ok(checked.kind === 'valid');
      const stored = { ...asRecord(withFutureFields(JSON.parse(encodeResource(checked.resource)))), extra: [1] };
      const read = decodeResource(kind, { value: JSON.stringify(stored), modRevision: 7 });
      assert.ok(read.kind === 'valid', JSON.stringify(read));
      assert.equal(encodeResource(read.resource), JSON.stringify(stored), 'read and written back');
      const { metadata, ...others } = read.resource;
      const changed = checkChange({ ...others, metadata: { ...metadata, labels: { team: 'a' } } }, read.resource);
      assert.ok(changed.kind === 'valid', JSON.stringify(changed));
      const { labels, ...rest } = JSON.parse(encodeResource(changed.resource)).metadata;
      assert.deepEqual(labels, { team: 'a' });
      assert.deepEqual({ ...JSON.parse(encodeResource(changed.resource)), metadata: rest }, stored);
    });
  }

  it('names every fault', () => {
    const lines: string[] = [];
    for (const kind of allKinds) {
      for (const { shown, manifest } of faultyManifests(kind)) {
        lines.push(`${kind} ${shown.length > 150 ? `${shown.slice(0, 149)}…` : shown}`);
        const faults = faultsOf(manifest);
        assert.notEqual(faults.length, 0, `${kind} ${shown} has no fault`);
        lines.push(...faults.map((fault) => `  ${fault}`));
      }
    }
    const text = `${lines.join('\n')}\n`;
    if (process.env['UPDATE_GOLDEN']) writeFileSync(goldenPath, text);
    assert.equal(text, readFileSync(goldenPath, 'utf8'));
  });

  it('has a case with its message for every field of every kind', () => {
    const declared = new Map<Field, string>();
    const met = new Set<Field>();
    for (const kind of allKinds) {
      for (const [part, { type }] of Object.entries(roots(kind)))
        collectFields(fieldsOf(type) ?? {}, part === 'metadata' ? part : `${kind}.${part}`, declared);
      for (const { manifest } of faultyManifests(kind)) {
        const result = checkResource(manifest);
        assert.ok(result.kind === 'invalid');
        for (const { path } of result.faults) {
          const field = fieldAt(kind, path);
          if (field) met.add(field);
        }
      }
    }
    const without = [...declared].filter(([field]) => field.type.kind !== 'any' && !met.has(field));
    assert.deepEqual(
      without.map(([, path]) => path),
      [],
      'add a wrong value for each to field-cases.ts',
    );
    assert.ok(declared.size > 550, `${declared.size} fields`);
  });

  it('refuses a wrong value of every field of every kind, at its path', () => {
    let fields = 0;
    for (const kind of allKinds) {
      for (const { path, build } of leaves(declarationOf(kind).spec, 'spec')) {
        const result = checkResource(manifest(kind, build({ wrong: true })));
        assert.ok(result.kind === 'invalid', `${kind} ${path} takes an object`);
        const fault = result.faults.find((found) => found.path === path);
        assert.ok(fault, `${kind}: a fault at ${path}, not at ${result.faults.map((found) => found.path).join(', ')}`);
        assert.ok(fault.problem !== '' && fault.remedy !== '', `${kind} ${path} says what and how`);
        fields++;
      }
    }
    assert.ok(fields > 500, `${fields} fields`);
  });

  it('names what is wrong with the envelope', () => {
    const cases: readonly (readonly [unknown, string])[] = [
      [null, ': null is not a resource; give kind, apiVersion, metadata and spec'],
      [{ kind: 'IPool', apiVersion }, 'kind: "IPool" is not a kind of resource; did you mean IPPool?'],
      [{ kind: 'Tier', metadata: { name: 'a' } }, 'apiVersion: is missing; write projectcalico.org/v3'],
      [
        { kind: 'Tier', apiVersion: 'v1', metadata: { name: 'a' } },
        'apiVersion: "v1" is not served; write projectcalico.org/v3',
      ],
      [
        { kind: 'Tier', apiVersion, specs: {}, metadata: { name: 'a' } },
        'specs: is not a known field; did you mean spec?',
      ],
    ];
    for (const [value, expected] of cases) assert.deepEqual(faultsOf(value), [expected]);
  });

  it('lists all faults at once', () => {
    const spec = { cidr: '10.0.0.1/16', blockSize: '26', ipipMode: 'always', colour: 'red' };
    assert.equal(faultsOf(manifest('IPPool', spec)).length, 4);
  });
});
