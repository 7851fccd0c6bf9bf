// Shows that the shortest way in for remote endpoints says what the long way says, or nothing: whatever the text.

import assert from 'node:assert/strict';
import { parseResourceKey } from '../../../datastore/model/index.ts';
import { workloadSource } from '../../../felix/calc/inputs.ts';
import type { SourceInput } from '../../../felix/calc/ip-sets.ts';
import { RemoteSources } from '../../../felix/calc/remote-sources.ts';
import { readRemoteWorkload } from '../../../felix/calc/remote-workload.ts';
import { randomInt, seededRandom } from '../../net/random.ts';
import { key } from './world.ts';

const endpointKey = key('WorkloadEndpoint', 'prod/node--1-k8s-web-eth0');
const isLocal = (_: unknown, node: string | undefined): boolean => node === 'here';

interface Given {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** As Calico stores an endpoint: in the order of its fields. */
const stored = ({ metadata, spec }: Given = {}): string =>
  JSON.stringify({
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name: 'node--1-k8s-web-eth0',
      namespace: 'prod',
      uid: 'b7f4a3c2-0000-4000-8000-000000000001',
      creationTimestamp: '2026-11-28T12:00:00Z',
      labels: { app: 'web', 'example.com/tier': 'front' },
      annotations: { note: 'any text, {even} [this]' },
      ...metadata,
    },
    spec: {
      orchestrator: 'k8s',
      node: 'node-1',
      containerID: '00000000000003e8',
      pod: 'web',
      endpoint: 'eth0',
      serviceAccountName: 'default',
      ipNetworks: ['10.0.3.232/32', 'fd00::3/128'],
      profiles: ['kns.prod', 'ksa.prod.default'],
      interfaceName: 'cali0123456789a',
      mac: 'ee:ee:ee:ee:ee:ee',
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
      ...spec,
    },
  });

const read = (text: string, at = endpointKey): SourceInput | undefined => new RemoteSources(isLocal).read(at, text);

function readTheLongWay(text: string, at = endpointKey): SourceInput | undefined {
  const id = parseResourceKey(at);
  const workload = id && readRemoteWorkload(id, text, isLocal);
  return workload && workloadSource(workload);
}

describe('remote sources', () => {
  it('read an endpoint as it is stored', () => {
    const source = read(stored());
    assert.ok(source);
    assert.deepEqual(source, readTheLongWay(stored()));
  });

  it('give endpoints that differ only in what is their own the same shape', () => {
    const sources = new RemoteSources(isLocal);
    const other = stored({ spec: { ipNetworks: ['10.0.3.233/32'], pod: 'web-2', containerID: '1' } });
    const shape = sources.read(endpointKey, stored())?.shape;
    assert.ok(shape);
    assert.equal(sources.read(endpointKey, other)?.shape, shape);
    for (const different of [
      { metadata: { labels: { app: 'api' } } },
      { spec: { serviceAccountName: 'other' } },
      { spec: { profiles: ['kns.prod'] } },
      { spec: { ports: [] } },
      { spec: { orchestrator: 'cni' } },
    ]) {
      assert.notEqual(sources.read(endpointKey, stored(different))?.shape, shape, JSON.stringify(different));
    }
    assert.notEqual(sources.read(key('WorkloadEndpoint', 'test/node--1-k8s-web-eth0'), stored())?.shape, shape);
  });

  it('leave to others what is not plain, of this node, or something else', () => {
    const cases: readonly (readonly [string, string, string?])[] = [
      ['of this node', stored({ spec: { node: 'here' } })],
      ['an escape', stored({ metadata: { annotations: { note: 'a "quoted" word' } } })],
      ['blanks', JSON.stringify(JSON.parse(stored()), undefined, 1)],
      ['a network without length', stored({ spec: { ipNetworks: ['10.0.3.232'] } })],
      ['no address at all', stored({ spec: { ipNetworks: ['10.0.3.232/33'] } })],
      ['a label that is no text', stored({ metadata: { labels: { app: 7 } } })],
      ['a port without name', stored({ spec: { ports: [{ protocol: 'TCP', port: 1 }] } })],
      ['a comma too many', stored().replace('"mac":"ee:ee:ee:ee:ee:ee",', '"mac":"ee:ee:ee:ee:ee:ee",,')],
      ['a status behind', stored().replace(/\}$/, ',"status":{}}')],
      ['a field twice', stored().replace('"pod":', '"node":"here","pod":')],
      ['another kind', stored().replace('WorkloadEndpoint', 'HostEndpoint')],
      ['another key', stored(), key('HostEndpoint', 'a')],
      ['a key with a part too many', stored(), `${endpointKey}/more`],
      ['a key with a part too few', stored(), key('WorkloadEndpoint', 'prod')],
    ];
    for (const [what, text, at] of cases) assert.equal(read(text, at), undefined, what);
  });

  it('never say anything else than the long way', () => {
    const seed = Math.trunc(Date.now() % 1e9);
    const random = seededRandom(seed);
    const pieces = ['"', ',', '{', '}', '[', ']', ':', '\\', ' ', '0', '1', '/', 'null', 'node', '"node":"here",', 'é'];
    const whole = stored();
    let followed = 0;
    for (let round = 0; round < 20_000; round++) {
      let text = whole;
      for (let edits = 1 + randomInt(random, 2); edits > 0; edits--) {
        const at = randomInt(random, text.length);
        const piece = randomInt(random, 2) === 0 ? '' : (pieces[randomInt(random, pieces.length)] ?? '');
        text = text.slice(0, at) + piece + text.slice(at + randomInt(random, 3));
      }
      const source = read(text);
      if (!source) continue;
      followed++;
      assert.deepEqual(source, readTheLongWay(text), `seed ${seed}: ${text}`);
    }
    assert.ok(followed > 1000, `only ${followed} texts were followed`);
  });
});
