// Shows that looking at what endpoints have in common finds every endpoint that is not valid, whatever is wrong with it.

import assert from 'node:assert/strict';
import { decode, type RawUpdate } from '../../../felix/calc/decode.ts';
import { networkTexts } from '../../../felix/calc/inputs.ts';
import { Workloads } from '../../../felix/explain/workloads.ts';
import { parseAddress } from '../../../net/address.ts';
import { randomInt, seededRandom } from '../../net/random.ts';
import { key } from '../calc/world.ts';

const stored = (i: number): string =>
  JSON.stringify({
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name: `node--1-k8s-web--${i}-eth0`,
      namespace: 'prod',
      uid: `b7f4a3c2-0000-4000-8000-${i.toString(16).padStart(12, '0')}`,
      creationTimestamp: `2026-11-28T12:00:${(i % 60).toString().padStart(2, '0')}Z`,
      labels: { app: 'web', name: 'web' },
    },
    spec: {
      orchestrator: 'k8s',
      node: 'node-1',
      containerID: i.toString(16).padStart(16, '0'),
      pod: `web-${i}`,
      endpoint: 'eth0',
      ipNetworks: [`10.0.${i >> 8}.${i & 255}/32`],
      profiles: ['kns.prod'],
      interfaceName: `cali${i.toString(16).padStart(11, '0')}`,
      mac: 'ee:ee:ee:ee:ee:ee',
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    },
  });

/** Every other one with a fault somewhere, or with something that looks like one. */
function mutated(seed: number): RawUpdate[] {
  const random = seededRandom(seed);
  const pieces = ['"', '8080', 'A', '.', '-', '_', ' ', '/', '300', '00', ':', 'x', '1', '{', ','];
  return Array.from({ length: 6000 }, (_, i) => {
    const text = stored(i);
    const isWhole = i % 2 === 0;
    const at = randomInt(random, text.length);
    const piece = pieces[randomInt(random, pieces.length)] ?? '';
    const value = isWhole ? text : text.slice(0, at) + piece + text.slice(at + randomInt(random, 2));
    return { key: key('WorkloadEndpoint', `prod/node--1-k8s-web--${i}-eth0`), value, revision: 1 };
  });
}

describe('workloads', () => {
  it('finds the faults that reading each completely finds', () => {
    const seed = Math.trunc(Date.now() % 1e9);
    const entries = mutated(seed);
    const workloads = new Workloads();
    for (const entry of entries) workloads.addEntry(entry);
    const found = new Set([...workloads.faults()].map(([at]) => at));
    const expected = entries.filter((entry) => (decode(entry, () => true)?.faults.length ?? 0) > 0);
    assert.deepEqual(found, new Set(expected.map((entry) => entry.key)), `seed ${seed}`);
    assert.ok(found.size > 100 && found.size < 3000, `${found.size} are not valid`);
  });

  it('finds who has an address, and whole networks, without reading the others', () => {
    const seed = Math.trunc(Date.now() % 1e9);
    const given = (i: number, networks: string, escaped = false): RawUpdate => {
      const { key: at } = mutated(1)[0] ?? assert.fail();
      const value = stored(i).replace(
        /"ipNetworks":\[[^\]]*\]/,
        `"${escaped ? 'ipNetwork\\u0073' : 'ipNetworks'}":${networks}`,
      );
      return { key: at.replace('web--0', `other--${i}`), value, revision: 1 };
    };
    const entries = [
      ...mutated(seed),
      given(1, '["10.0.0.0/28"]'),
      given(2, '["10.9.9.9/32","10.0.1.4/32"]'),
      given(3, '["fd00::1/128"]'),
      given(4, '["10.0.1.4/32"]', true),
      given(5, '["10.9.9.9/32"],"other":{"ipNetworks":["10.0.1.4/32"]}'),
    ];
    const workloads = new Workloads();
    for (const entry of entries) workloads.addEntry(entry);
    const addresses = new Set(['10.0.1.4', '10.0.0.7', 'fd00::1'].map((text) => parseAddress(text) ?? assert.fail()));
    const ids = new Set(['prod/node--1-k8s-web--100-eth0']);
    const found = new Set([...workloads.entriesFor(ids, addresses)].map((entry) => entry.key));
    const isMeant = (entry: RawUpdate): boolean => {
      const resource = decode(entry, () => true)?.resource;
      if (entry.key.endsWith('web--100-eth0')) return true;
      if (resource?.kind !== 'WorkloadEndpoint') return false;
      return networkTexts(resource.spec.ipNetworks).some(
        ({ address, length }) => addresses.has(address) || (length !== 32 && length !== 128),
      );
    };
    const missing = entries.filter((entry) => isMeant(entry) && !found.has(entry.key)).map((entry) => entry.value);
    assert.deepEqual(missing, [], `seed ${seed}`);
    assert.ok(found.size >= 6 && found.size < 60, `${found.size} of ${entries.length} were read`);
  });
});
