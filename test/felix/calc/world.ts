// Datastore contents for the graph's tests, written briefly.

import type { RawUpdate } from '../../../felix/calc/graph.ts';

/** Stored text by key. */
export type World = ReadonlyMap<string, string>;

export interface Given {
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

const plurals = {
  ClusterInformation: 'clusterinformations',
  FelixConfiguration: 'felixconfigurations',
  GlobalNetworkPolicy: 'globalnetworkpolicies',
  GlobalNetworkSet: 'globalnetworksets',
  HostEndpoint: 'hostendpoints',
  IPPool: 'ippools',
  NetworkPolicy: 'networkpolicies',
  NetworkSet: 'networksets',
  Node: 'nodes',
  Profile: 'profiles',
  StagedNetworkPolicy: 'stagednetworkpolicies',
  Tier: 'tiers',
  WorkloadEndpoint: 'workloadendpoints',
} as const;

export type TestKind = keyof typeof plurals;

/** `path` is `<name>` or `<namespace>/<name>`. */
export function key(kind: TestKind, path: string): string {
  return `/calico/resources/v3/projectcalico.org/${plurals[kind]}/${path}`;
}

export function entry(kind: TestKind, path: string, { labels, spec = {} }: Given = {}): [string, string] {
  const [first = '', second] = path.split('/');
  const metadata = {
    name: second ?? first,
    ...(second !== undefined && { namespace: first }),
    ...(labels && { labels }),
  };
  return [key(kind, path), JSON.stringify({ kind, apiVersion: 'projectcalico.org/v3', metadata, spec })];
}

/** A pod's endpoint, called after its node and pod; its interface is `cali-<pod>`. */
export function pod(
  node: string,
  path: string,
  address: string,
  labels: Readonly<Record<string, string>>,
  spec: Readonly<Record<string, unknown>> = {},
): [string, string] {
  const [namespace = '', name = ''] = path.split('/');
  return entry('WorkloadEndpoint', `${namespace}/${node}-k8s-${name}-eth0`, {
    labels,
    spec: {
      orchestrator: 'k8s',
      node,
      pod: name,
      endpoint: 'eth0',
      ipNetworks: address.split(',').map((one) => `${one}/${one.includes(':') ? 128 : 32}`),
      profiles: [`kns.${namespace}`],
      interfaceName: `cali-${name}`,
      ...spec,
    },
  });
}

/** A namespace as the profile that stands for it. */
export function namespace(name: string, labels: Readonly<Record<string, string>> = {}): [string, string] {
  const given = Object.entries({ 'projectcalico.org/name': name, ...labels });
  return entry('Profile', `kns.${name}`, {
    spec: {
      ingress: [{ action: 'Allow' }],
      egress: [{ action: 'Allow' }],
      labelsToApply: Object.fromEntries(given.map(([label, value]) => [`pcns.${label}`, value])),
    },
  });
}

/** The updates that lead from one world to another. */
export function steps(from: World, to: World, revision: number): RawUpdate[] {
  const updates: RawUpdate[] = [];
  for (const [at, value] of to) if (from.get(at) !== value) updates.push({ key: at, value, revision });
  for (const at of from.keys()) if (!to.has(at)) updates.push({ key: at, value: undefined, revision });
  return updates;
}
