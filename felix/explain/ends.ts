// The two ends of a question: what "prod/web", "10.0.0.7" or "prod:app=web" means in a cluster.

import type { HostEndpoint, Node, Profile, WorkloadEndpoint } from '../../datastore/model/index.ts';
import { type Address, type Family, familyOf, formatAddress, parseAddress } from '../../net/address.ts';
import { hostInput, networkTexts } from '../calc/inputs.ts';
import { NAMESPACE_LABEL, ORCHESTRATOR_LABEL, SERVICE_ACCOUNT_LABEL } from '../calc/selectors.ts';
import type { Workloads } from './workloads.ts';

export type End =
  | {
      readonly kind: 'workload';
      /** `<namespace>/<pod>`, or what else a person would call it. */
      readonly name: string;
      /** Its resource's `<namespace>/<name>`. */
      readonly id: string;
      readonly node: string;
      readonly addresses: readonly Address[];
    }
  | {
      readonly kind: 'host';
      readonly name: string;
      readonly node: string;
      /** Given when one is meant by name. */
      readonly hostEndpoint?: string;
      readonly addresses: readonly Address[];
    }
  | { readonly kind: 'outside'; readonly name: string; readonly addresses: readonly Address[] };

export type EndResult =
  | { readonly kind: 'found'; readonly end: End }
  | { readonly kind: 'hypothetical'; readonly endpoint: WorkloadEndpoint; readonly end: End }
  | { readonly kind: 'problem'; readonly problem: string; readonly remedy: string };

/** The resources among which ends are found. */
export interface Inventory {
  readonly workloads: Pick<Workloads, 'in' | 'withAddress'>;
  readonly hostEndpoints: readonly HostEndpoint[];
  readonly nodes: readonly Node[];
  readonly profiles: ReadonlyMap<string, Profile>;
}

const remedy =
  'give namespace/pod, an address, node:NAME, or namespace:label=value,… for a pod that does not exist yet';

/**
 * Understands `namespace/pod`, `namespace/endpoint`, a pod alone (in `defaultNamespace`), an address, `node:NAME`,
 * `hostendpoint:NAME`, and `namespace:a=b,c=d` for a pod with these labels. `serial` keeps the addresses of such pods apart.
 */
export function findEnd(text: string, inventory: Inventory, defaultNamespace: string, serial: number): EndResult {
  const address = parseAddress(text);
  if (address !== undefined) return { kind: 'found', end: endAt(address, inventory) };
  const [, nodeName] = /^node:(.+)$/.exec(text) ?? [];
  if (nodeName !== undefined) return findNode(nodeName, inventory);
  const [, endpointName] = /^hostendpoint:(.+)$/.exec(text) ?? [];
  if (endpointName !== undefined) return findHostEndpoint(endpointName, inventory);
  const [, namespace, labels] = /^([a-z0-9][-a-z0-9]*):(.*)$/.exec(text) ?? [];
  if (namespace !== undefined && labels !== undefined) return hypothetical(text, namespace, labels, serial);
  return findWorkload(text.includes('/') ? text : `${defaultNamespace}/${text}`, inventory);
}

function endAt(address: Address, inventory: Inventory): End {
  const owner = inventory.workloads.withAddress(address);
  if (owner) return { ...workloadEnd(owner), addresses: [address] };
  const node = inventory.nodes.find((candidate) => hostInput(candidate).addresses.includes(address));
  const name = formatAddress(address);
  if (node) return { kind: 'host', name: `node ${node.metadata.name}`, node: node.metadata.name, addresses: [address] };
  const interfaceOwner = inventory.hostEndpoints.find(({ spec }) =>
    (spec.expectedIPs ?? []).some((text) => parseAddress(text) === address),
  );
  if (interfaceOwner) {
    const { node: owning } = interfaceOwner.spec;
    return { kind: 'host', name: `${name} of node ${owning}`, node: owning, addresses: [address] };
  }
  return { kind: 'outside', name, addresses: [address] };
}

function findNode(name: string, inventory: Inventory): EndResult {
  const node = inventory.nodes.find((candidate) => candidate.metadata.name === name);
  if (!node) return { kind: 'problem', problem: `there is no node ${name}`, remedy };
  const { addresses } = hostInput(node);
  return { kind: 'found', end: { kind: 'host', name: `node ${name}`, node: name, addresses } };
}

function findHostEndpoint(name: string, inventory: Inventory): EndResult {
  const found = inventory.hostEndpoints.find(({ metadata }) => metadata.name === name);
  if (!found) return { kind: 'problem', problem: `there is no host endpoint ${name}`, remedy };
  const { node, expectedIPs = [] } = found.spec;
  const own = expectedIPs.flatMap((text) => parseAddress(text) ?? []);
  const ofNode = inventory.nodes.find(({ metadata }) => metadata.name === node);
  const addresses = own.length > 0 || !ofNode ? own : hostInput(ofNode).addresses;
  return { kind: 'found', end: { kind: 'host', name: `host endpoint ${name}`, node, hostEndpoint: name, addresses } };
}

function findWorkload(text: string, inventory: Inventory): EndResult {
  const [namespace = '', name = ''] = text.split('/');
  const inNamespace = inventory.workloads.in(namespace);
  const found =
    inNamespace.find(({ metadata }) => metadata.name === name) ??
    inNamespace.find(({ spec }) => spec.pod === name || spec.workload === name);
  if (!found) return { kind: 'problem', problem: `there is no endpoint ${text}`, remedy };
  return { kind: 'found', end: workloadEnd(found) };
}

function workloadEnd(workload: WorkloadEndpoint): End {
  const { metadata, spec } = workload;
  return {
    kind: 'workload',
    name: `${metadata.namespace ?? ''}/${spec.pod || spec.workload || metadata.name}`,
    id: `${metadata.namespace ?? ''}/${metadata.name}`,
    node: spec.node ?? '',
    addresses: addressesOf(workload),
  };
}

const addressesOf = ({ spec }: WorkloadEndpoint): readonly Address[] =>
  networkTexts(spec.ipNetworks).map((prefix) => prefix.address);

/** Addresses for pods that do not exist: 240.0.0.0/4 is reserved (RFC 1112 §4), and 0100::/64 leads nowhere (RFC 6666). */
const hypotheticalAddresses = (serial: number): readonly [string, string] => [
  `240.0.0.${serial}`,
  `100::${serial.toString(16)}`,
];

function hypothetical(text: string, namespace: string, labelText: string, serial: number): EndResult {
  const labels: Record<string, string> = {};
  for (const pair of labelText.split(',').filter((part) => part !== '')) {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(pair) ?? [];
    if (name === undefined || value === undefined) {
      return { kind: 'problem', problem: `${pair} is not label=value`, remedy };
    }
    labels[name] = value;
  }
  const { [SERVICE_ACCOUNT_LABEL]: account, ...own } = labels;
  const [v4, v6] = hypotheticalAddresses(serial);
  const node = `hypothetical-${serial}`;
  const endpoint: WorkloadEndpoint = {
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: `hypothetical-${serial}`, namespace, labels: own },
    spec: {
      node,
      orchestrator: 'k8s',
      interfaceName: `hypothetical${serial}`,
      ipNetworks: [`${v4}/32`, `${v6}/128`],
      profiles: [`kns.${namespace}`, ...(account === undefined ? [] : [`ksa.${namespace}.${account}`])],
      ...(account !== undefined && { serviceAccountName: account }),
    },
  };
  return { kind: 'hypothetical', endpoint, end: { ...workloadEnd(endpoint), name: text } };
}

/** Addresses of one family for both ends, IPv4 when both have it; undefined when they have none in common. */
export function commonAddresses(
  source: End,
  destination: End,
  family?: Family,
): readonly [Address, Address] | undefined {
  for (const wanted of family ? [family] : ([4, 6] as const)) {
    const from = source.addresses.find((address) => familyOf(address) === wanted);
    const to = destination.addresses.find((address) => familyOf(address) === wanted);
    if (from !== undefined && to !== undefined) return [from, to];
  }
  return undefined;
}

/** All labels that selectors see at a workload: those of the system, its own, and its profiles'. */
export function labelsOf(
  workload: WorkloadEndpoint,
  profiles: ReadonlyMap<string, Profile>,
): ReadonlyMap<string, string> {
  const { metadata, spec } = workload;
  const inherited = (spec.profiles ?? []).toReversed().map((name) => profiles.get(name)?.spec.labelsToApply ?? {});
  const labels = new Map([...inherited, metadata.labels ?? {}].flatMap((each) => Object.entries(each)));
  labels.set(NAMESPACE_LABEL, metadata.namespace ?? '');
  if (spec.orchestrator) labels.set(ORCHESTRATOR_LABEL, spec.orchestrator);
  if (spec.serviceAccountName) labels.set(SERVICE_ACCOUNT_LABEL, spec.serviceAccountName);
  return labels;
}
