// Validation: each faulty field of each kind with the message it gives (golden/faults.txt, rewritten with UPDATE_GOLDEN=1),
// and that a valid resource of each kind has none.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { checkResource, declarationOf, formatFault, type Kind, kinds } from '../../../datastore/model/index.ts';
import type { Type } from '../../../datastore/model/schema/types.ts';
import { faultCases, validSpecs } from './validation-cases.ts';

const goldenPath = new URL('./golden/faults.txt', import.meta.url);
const apiVersion = 'projectcalico.org/v3';

function manifest(kind: Kind, spec: unknown, metadata: Readonly<Record<string, unknown>> = {}): unknown {
  const namespace = kinds[kind].namespaced ? { namespace: 'prod' } : {};
  const name = nameFor(kind);
  return { kind, apiVersion, metadata: { name, ...namespace, ...metadata }, spec };
}

const nameFor = (kind: Kind): string => (kind === 'WorkloadEndpoint' ? 'node--1-k8s-web-eth0' : 'default');

function faultsOf(value: unknown): readonly string[] {
  const result = checkResource(value);
  return result.kind === 'valid' ? [] : result.faults.map(formatFault);
}

describe('validation', () => {
  for (const kind of Object.keys(kinds) as Kind[]) {
    it(`accepts a full ${kind}, and what it made of it`, () => {
      const value = manifest(kind, validSpecs[kind]);
      const result = checkResource(value);
      assert.deepEqual(faultsOf(value), []);
      assert.ok(result.kind === 'valid');
      assert.deepEqual(checkResource(JSON.parse(JSON.stringify(result.resource))), result);
    });
  }

  it('names every fault', () => {
    const lines: string[] = [];
    for (const [kind, cases] of Object.entries(faultCases) as [Kind, (typeof faultCases)[Kind]][]) {
      for (const { spec, metadata } of cases) {
        const shown = JSON.stringify(metadata ? { metadata, spec } : spec);
        lines.push(`${kind} ${shown.length > 150 ? `${shown.slice(0, 149)}…` : shown}`);
        const faults = faultsOf(manifest(kind, { ...baseFor(kind), ...spec }, metadata));
        assert.notEqual(faults.length, 0, `${kind} ${shown} has no fault`);
        lines.push(...faults.map((fault) => `  ${fault}`));
      }
    }
    const text = `${lines.join('\n')}\n`;
    if (process.env['UPDATE_GOLDEN']) writeFileSync(goldenPath, text);
    assert.equal(text, readFileSync(goldenPath, 'utf8'));
  });

  it('refuses a wrong value of every field of every kind, at its path', () => {
    let fields = 0;
    for (const kind of Object.keys(kinds) as Kind[]) {
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

interface Leaf {
  readonly path: string;
  /** The spec with this value at the path, and nothing else. */
  readonly build: (value: unknown) => unknown;
}

/** Every scalar below a type; of lists the first entry, of maps the key `a`. */
function leaves(type: Type, path: string): readonly Leaf[] {
  const through = (below: readonly Leaf[], wrap: (value: unknown) => unknown): readonly Leaf[] =>
    below.map((leaf) => ({ path: leaf.path, build: (value) => wrap(leaf.build(value)) }));
  switch (type.kind) {
    case 'any':
      return [];
    case 'scalar':
      return [{ path, build: (value) => value }];
    case 'list':
      return through(leaves(type.of, `${path}[0]`), (value) => [value]);
    case 'map':
      return through(leaves(type.of, `${path}.a`), (value) => ({ a: value }));
    case 'object':
      return Object.entries(type.fields).flatMap(([name, field]) =>
        through(leaves(field.type, `${path}.${name}`), (value) => ({ [name]: value })),
      );
  }
}

const baseFor = (kind: Kind): Readonly<Record<string, unknown>> => faultCases[kind][0]?.base ?? {};
