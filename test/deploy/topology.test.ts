// Shows that the topology and the YAML files say the same, and that the expected matrix is complete.

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { mayConnect } from '../../deploy/lab/checks/policy.ts';
import { manifest, standingManifests } from '../../deploy/lab/lab.ts';
import { parsePing } from '../../deploy/lab/ping.ts';
import { links, machines, nodes, pods, poolOf, ports, tors } from '../../deploy/lab/topology.ts';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec: {
    readonly bgp?: { readonly ipv4Address: string; readonly asNumber: number };
    readonly cidr?: string;
    readonly peerIP?: string;
    readonly asNumber?: number;
  };
}

const resources = standingManifests.flatMap((name) =>
  parseAllDocuments(readFileSync(manifest(name), 'utf8')).map((document) => document.toJS() as Manifest),
);
const ofKind = (kind: string): Manifest[] => resources.filter((resource) => resource.kind === kind);

describe('deploy/lab/topology', () => {
  it('has the nodes of 10-cluster.yaml', () => {
    deepStrictEqual(
      ofKind('Node').map(({ metadata, spec }) => ({
        name: metadata.name,
        rack: metadata.labels?.['rack'],
        asn: spec.bgp?.asNumber,
        address: spec.bgp?.ipv4Address.split('/')[0],
      })),
      nodes.map(({ name, rack, asn, address }) => ({ name, rack, asn, address })),
    );
  });

  it('has the pools and the routers of 10-cluster.yaml', () => {
    deepStrictEqual(new Set(ofKind('IPPool').map(({ spec }) => spec.cidr)), new Set(Object.values(poolOf)));
    const peers = ofKind('BGPPeer').filter(({ spec }) => spec.peerIP !== undefined);
    deepStrictEqual(
      peers.map(({ metadata, spec }) => ({ name: metadata.name, peerIP: spec.peerIP, asNumber: spec.asNumber })),
      tors.map((tor) => ({ name: tor.name, peerIP: tor.routerId, asNumber: tor.asn })),
    );
  });

  it('connects machines that exist', () => {
    for (const end of links.flat()) ok(machines.includes(end.namespace), end.namespace);
  });

  it('lets every pod reach itself and the quarantined one nobody', () => {
    for (const port of ports) {
      for (const pod of pods) {
        ok(mayConnect(pod.name, pod.name, port));
        strictEqual(mayConnect('crawler', pod.name, port), pod.name === 'crawler');
      }
    }
  });

  it('reads what ping counted', () => {
    deepStrictEqual(parsePing('200 packets transmitted, 199 received, 0.5% packet loss, time 1990ms'), {
      sent: 200,
      received: 199,
    });
    deepStrictEqual(parsePing(''), { sent: 0, received: 0 });
  });
});
