// All faults at once: the rules between fields run on what is good of a faulty resource, and never on what is wrong.

import assert from 'node:assert/strict';
import { checkResource, declarationOf, type Kind } from '../../../datastore/model/index.ts';

import { allKinds, faultsOf, leaves, manifest } from './manifests.ts';
import { faultCases, validSpecs } from './validation-cases.ts';

interface Case {
  readonly kind: Kind;
  readonly spec: Readonly<Record<string, unknown>>;
  /** Paths of the faults. */
  readonly paths: readonly string[];
}

const mesh = { nodeToNodeMeshEnabled: false, nodeMeshMaxRestartTime: '3m' };
const cases: Readonly<Record<string, Case>> = {
  'two encapsulations beside a bad cidr': {
    kind: 'IPPool',
    spec: { cidr: '10.0.0.1/16', ipipMode: 'Always', vxlanMode: 'Always' },
    paths: ['cidr', 'vxlanMode'],
  },
  'the block size does not follow from a bad cidr': {
    kind: 'IPPool',
    spec: { cidr: 'fd00::x/64', natOutgoing: 1 },
    paths: ['cidr', 'natOutgoing'],
  },
  'a LoadBalancer pool whose encapsulation is not known': {
    kind: 'IPPool',
    spec: {
      cidr: '10.0.0.0/16',
      allowedUses: ['LoadBalancer'],
      ipipMode: 'On',
      vxlanMode: 'Always',
      nodeSelector: 'has(a)',
    },
    paths: ['ipipMode', 'vxlanMode', 'nodeSelector'],
  },
  'a peer with two ways and a bad AS': {
    kind: 'BGPPeer',
    spec: { asNumber: 'x', peerIP: '10.0.0.1', peerSelector: 'all()', node: 'a', nodeSelector: 'all()' },
    paths: ['asNumber', 'node', 'peerSelector'],
  },
  'a gateway of another family than a peer that is bad': {
    kind: 'BGPPeer',
    spec: { peerIP: '10.0.0.300', reachableBy: 'fd00::1', keepOriginalNextHop: true, nextHopMode: 'Self' },
    paths: ['peerIP', 'keepOriginalNextHop'],
  },
  'mesh options and an unknown community beside a bad one': {
    kind: 'BGPConfiguration',
    spec: { ...mesh, listenPort: 0, prefixAdvertisements: [{ cidr: '10.0.0.0/8', communities: ['1:x:y', 'red'] }] },
    paths: [
      'prefixAdvertisements[0].communities[0]',
      'listenPort',
      'prefixAdvertisements[0].communities[1]',
      'nodeMeshMaxRestartTime',
    ],
  },
  'ports without a protocol, in a rule whose action is missing': {
    kind: 'NetworkPolicy',
    spec: { ingress: [{ destination: { ports: [80] } }] },
    paths: ['ingress[0].action', 'ingress[0].destination.ports'],
  },
  'ports with a protocol that is not known': {
    kind: 'NetworkPolicy',
    spec: { ingress: [{ action: 'Allow', protocol: 'HTTP', destination: { ports: [80] } }] },
    paths: ['ingress[0].protocol'],
  },
  'networks of two families, one of them bad': {
    kind: 'NetworkPolicy',
    spec: { ingress: [{ action: 'Allow', source: { nets: ['10.0.0.0/8', '10.0.0.0/33', 'fd00::/8'] } }] },
    paths: ['ingress[0].source.nets[1]', 'ingress[0].source.nets[2]'],
  },
  'services in their wrong place, behind a bad rule': {
    kind: 'NetworkPolicy',
    spec: { egress: ['Allow', { action: 'Allow', source: { services: { name: 'a' } } }], selector: '=' },
    paths: ['egress[0]', 'selector', 'egress[1].source.services'],
  },
  'a global policy before DNAT with bad rules': {
    kind: 'GlobalNetworkPolicy',
    spec: { preDNAT: true, doNotTrack: true, egress: 'Allow' },
    paths: ['egress', 'preDNAT', 'applyOnForward'],
  },
  'a staged deletion with a bad selector and an order': {
    kind: 'StagedNetworkPolicy',
    spec: { stagedAction: 'Delete', order: 1, selector: 'a =' },
    paths: ['selector', 'order'],
  },
  'a host endpoint without interface, on a bad node': {
    kind: 'HostEndpoint',
    spec: { node: 'A b', ports: [{ name: '80', protocol: 'ICMP', port: 1 }] },
    paths: ['node', 'ports[0].name', 'ports[0].protocol', 'interfaceName'],
  },
  'a host endpoint whose interface is only misspelt': {
    kind: 'HostEndpoint',
    spec: { node: 'a', interfacename: 'eth0' },
    paths: ['interfacename'],
  },
  'NAT to an address of a bad list': {
    kind: 'WorkloadEndpoint',
    spec: {
      node: 'node-1',
      orchestrator: 'k8s',
      pod: 'web',
      endpoint: 'eth0',
      ipNetworks: ['10.0.0.0/24', 'x'],
      ipNATs: [{ internalIP: '10.0.0.9', externalIP: 'fd00::1' }],
    },
    paths: ['ipNetworks[1]', 'ipNetworks[0]', 'ipNATs[0].externalIP'],
  },
  'a filter rule without operator, with a bad action': {
    kind: 'BGPFilter',
    spec: { exportV4: [{ action: 'Allow', cidr: '10.0.0.0/8' }] },
    paths: ['exportV4[0].action', 'exportV4[0].matchOperator'],
  },
  'blocks without strict affinity, with a bad cooldown': {
    kind: 'IPAMConfiguration',
    spec: { ipCooldownSeconds: 'x', maxBlocksPerHost: 3, autoAllocateBlocks: false },
    paths: ['ipCooldownSeconds', 'autoAllocateBlocks', 'maxBlocksPerHost'],
  },
};

const samples: readonly unknown[] = [null, true, 0, -1.5, '', 'x', '10.0.0.0/8', [], [null], ['x'], [[]], {}, { x: 1 }];

/** The value with everything below the path replaced; what is missing on the way is made. */
function replaced(value: unknown, path: readonly string[], by: unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return by;
  if (/^\d+$/.test(name)) {
    const list: readonly unknown[] = Array.isArray(value) ? value : [];
    return [replaced(list[Number(name)], rest, by), ...list.slice(1)];
  }
  const fields: Readonly<Record<string, unknown>> = typeof value === 'object' && value !== null ? { ...value } : {};
  return { ...fields, [name]: replaced(fields[name], rest, by) };
}

/** Every field, list and entry of a spec, not only the scalars. */
function placesOf(kind: Kind): readonly (readonly string[])[] {
  const places = new Map<string, readonly string[]>();
  for (const { path } of leaves(declarationOf(kind).spec, 'spec')) {
    const segments = path.replaceAll('[0]', '.0').split('.').slice(1);
    for (let length = 0; length <= segments.length; length++) {
      const place = segments.slice(0, length);
      places.set(place.join('.'), place);
    }
  }
  return [...places.values()];
}

const breaksRule =
  (kind: Kind) =>
  (spec: unknown): boolean => {
    const result = checkResource(manifest(kind, spec));
    return result.kind === 'invalid' && result.faults.some((fault) => fault.betweenFields);
  };

describe('all faults at once', () => {
  for (const [name, { kind, spec, paths }] of Object.entries(cases)) {
    it(`${kind}: ${name}`, () => {
      const result = checkResource(manifest(kind, spec));
      assert.ok(result.kind === 'invalid');
      assert.deepEqual(
        result.faults.map((fault) => fault.path),
        paths.map((path) => `spec.${path}`),
      );
    });
  }

  it('names what is wrong between metadata and spec beside a bad label and a bad field', () => {
    const given = manifest(
      'BGPConfiguration',
      { asNumber: 1, listenPort: 0 },
      { name: 'node.a', labels: { 'a b': '' } },
    );
    assert.deepEqual(
      faultsOf(given).map((fault) => fault.split(': ')[0]),
      ['metadata.labels[a b]', 'spec.listenPort', 'spec.asNumber'],
    );
  });

  for (const kind of allKinds) {
    it(`no rule of ${kind} trips over a wrong value anywhere`, () => {
      const breaking = faultCases[kind].map(({ spec, base }) => ({ ...base, ...spec })).filter(breaksRule(kind));
      const bases = [validSpecs[kind], ...breaking];
      for (const place of placesOf(kind)) {
        for (const base of bases.slice(0, place.length > 2 ? 1 : bases.length)) {
          for (const sample of samples) {
            const given = manifest(kind, replaced(base, place, sample));
            try {
              checkResource(given);
            } catch (error) {
              assert.fail(`${JSON.stringify(given)}: ${error}`);
            }
          }
        }
      }
    });

    it(`${kind} loses no fault to an unrelated one`, () => {
      for (const { spec, base, metadata } of faultCases[kind]) {
        const whole = { ...(base ?? faultCases[kind][0]?.base), ...spec };
        const alone = faultsOf(manifest(kind, whole, metadata));
        const beside = faultsOf(manifest(kind, { ...whole, somethingElseEntirely: 1 }, metadata));
        assert.deepEqual(
          alone.filter((fault) => !beside.includes(fault)),
          [],
          JSON.stringify(spec),
        );
        assert.equal(beside.length, alone.length + 1);
      }
    });
  }
});
