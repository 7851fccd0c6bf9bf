// The lab's data center, as data. Everything else in this folder reads it; nothing else knows an address.
//
//                        outside 198.51.100.10
//                           │
//                         spine   AS 64600 (FRR)
//                        ╱      ╲
//            AS 64601 tor-a    tor-b AS 64602 (BIRD)
//                     ╱  ╲        ╲
//                node-a1 node-a2  node-b1
//                  └ AS 64701 ┘    AS 64702 (twill-node)
//
// The nodes of a rack share an AS: they speak iBGP with each other and eBGP with their top-of-rack router.

export interface Link {
  readonly namespace: string;
  readonly interfaceName: string;
  /** "address/length"; absent for a port of a bridge. */
  readonly address?: string;
  /** Bridge in this namespace that the interface is a port of. */
  readonly bridge?: string;
}

export interface Neighbor {
  readonly name: string;
  readonly address: string;
  readonly asn: number;
}

export interface Router {
  readonly name: string;
  readonly kind: 'bird' | 'frr';
  readonly asn: number;
  readonly routerId: string;
  readonly neighbors: readonly Neighbor[];
}

export interface LabNode {
  readonly name: string;
  readonly rack: string;
  readonly asn: number;
  /** On the rack's LAN. */
  readonly address: string;
}

export interface LabPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Network namespace of a machine or pod: every name starts with this. */
export const namespacePrefix = 'twl-';
export const namespaceOf = (name: string): string => `${namespacePrefix}${name}`;
/** A pod among the machines. */
export const podMachine = (pod: Pick<LabPod, 'name'>): string => `pod-${pod.name}`;

export const spine: Router = {
  name: 'spine',
  kind: 'frr',
  asn: 64600,
  routerId: '10.10.0.1',
  neighbors: [
    { name: 'tor-a', address: '10.10.10.1', asn: 64601 },
    { name: 'tor-b', address: '10.10.10.3', asn: 64602 },
  ],
};

export const nodes: readonly LabNode[] = [
  { name: 'node-a1', rack: 'a', asn: 64701, address: '10.10.1.11' },
  { name: 'node-a2', rack: 'a', asn: 64701, address: '10.10.1.12' },
  { name: 'node-b1', rack: 'b', asn: 64702, address: '10.10.2.11' },
];

const nodeNeighbors = (rack: string): Neighbor[] =>
  nodes.filter((node) => node.rack === rack).map(({ name, address, asn }) => ({ name, address, asn }));

export const torA: Router = {
  name: 'tor-a',
  kind: 'bird',
  asn: 64601,
  routerId: '10.10.1.1',
  neighbors: [{ name: 'spine', address: '10.10.10.0', asn: 64600 }, ...nodeNeighbors('a')],
};

export const torB: Router = {
  name: 'tor-b',
  kind: 'bird',
  asn: 64602,
  routerId: '10.10.2.1',
  neighbors: [{ name: 'spine', address: '10.10.10.2', asn: 64600 }, ...nodeNeighbors('b')],
};

export const tors: readonly Router[] = [torA, torB];
export const routers: readonly Router[] = [spine, ...tors];

export const outside = { name: 'outside', address: '198.51.100.10' };
/** Holds twill-datastore; it needs no network, and in a namespace of its own it is found and ended like all the rest. */
export const store = { name: 'store' };

export const machines: readonly string[] = [
  ...routers.map((router) => router.name),
  outside.name,
  ...nodes.map((node) => node.name),
  store.name,
];

/** Both ends of every cable. */
export const links: readonly (readonly [Link, Link])[] = [
  [
    { namespace: 'spine', interfaceName: 'to-tor-a', address: '10.10.10.0/31' },
    { namespace: 'tor-a', interfaceName: 'uplink', address: '10.10.10.1/31' },
  ],
  [
    { namespace: 'spine', interfaceName: 'to-tor-b', address: '10.10.10.2/31' },
    { namespace: 'tor-b', interfaceName: 'uplink', address: '10.10.10.3/31' },
  ],
  [
    { namespace: 'spine', interfaceName: 'to-outside', address: '198.51.100.1/24' },
    { namespace: 'outside', interfaceName: 'eth0', address: '198.51.100.10/24' },
  ],
  ...nodes.map((node): [Link, Link] => [
    { namespace: `tor-${node.rack}`, interfaceName: `to-${node.name}`, bridge: 'rack' },
    { namespace: node.name, interfaceName: 'eth0', address: `${node.address}/24` },
  ]),
];

/** The LAN of each rack: a bridge in the top-of-rack router, whose address is the nodes' gateway. */
export const bridges: readonly { namespace: string; name: string; address: string }[] = [
  { namespace: 'tor-a', name: 'rack', address: '10.10.1.1/24' },
  { namespace: 'tor-b', name: 'rack', address: '10.10.2.1/24' },
];

export const defaultRoutes: readonly { namespace: string; via: string }[] = [
  { namespace: 'outside', via: '198.51.100.1' },
  ...nodes.map((node) => ({ namespace: node.name, via: `10.10.${node.rack === 'a' ? 1 : 2}.1` })),
];

/** Pool of each Kubernetes-like namespace; the pools themselves are in 10-cluster.yaml. */
export const poolOf: Readonly<Record<string, string>> = { shop: '10.50.0.0/16', dev: '10.60.0.0/16' };

export const pods: readonly LabPod[] = [
  { namespace: 'shop', name: 'web', node: 'node-a1', labels: { app: 'web' } },
  { namespace: 'shop', name: 'api', node: 'node-a2', labels: { app: 'api' } },
  { namespace: 'shop', name: 'db', node: 'node-b1', labels: { app: 'db' } },
  { namespace: 'dev', name: 'tester', node: 'node-a1', labels: { app: 'tester' } },
  { namespace: 'dev', name: 'runner', node: 'node-a2', labels: { app: 'runner' } },
  { namespace: 'dev', name: 'crawler', node: 'node-b1', labels: { app: 'crawler', risk: 'high' } },
];

/** Started, watched and deleted by the checks. */
export const latePod: LabPod = { namespace: 'shop', name: 'late', node: 'node-b1', labels: { app: 'api' } };

/** Asked for while the datastore is away, and refused. */
export const earlyPod: LabPod = { namespace: 'shop', name: 'early', node: 'node-a1', labels: { app: 'api' } };

/** Every pod listens on both. */
export const ports = [8080, 9090] as const;
