// The short way in for endpoints of other nodes: of a quarter of a million, this is all that the graph reads.
//
// Only labels, profiles, addresses and named ports of such an endpoint matter here. Where one of these is not plainly what
// it should be, and for every endpoint of this node, the answer is undefined: then the full validation decides.

import { type Protocol, parseProtocol, type ResourceId, type WorkloadEndpoint } from '../../datastore/model/index.ts';
import { parseInterfaceAddress } from '../../net/prefix.ts';

type Json = Readonly<Record<string, unknown>>;

export function readRemoteWorkload(
  id: ResourceId,
  text: string,
  isLocal: (endpoint: ResourceId, node: string) => boolean,
): WorkloadEndpoint | undefined {
  const given = parse(text);
  if (given?.['kind'] !== 'WorkloadEndpoint' || given['apiVersion'] !== 'projectcalico.org/v3') return undefined;
  const { metadata, spec } = given;
  if (!isObject(metadata) || !isObject(spec)) return undefined;
  const { node, orchestrator, serviceAccountName, pod, workload, ipNetworks = [], profiles = [], ports = [] } = spec;
  const { labels = {} } = metadata;
  if (typeof node !== 'string' || isLocal(id, node)) return undefined;
  if (typeof orchestrator !== 'string' || !isOptionalText(serviceAccountName)) return undefined;
  if (!isLabels(labels) || !isNetworks(ipNetworks) || !isTexts(profiles) || !isPorts(ports)) return undefined;
  return {
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: id.name, namespace: id.namespace ?? '', labels },
    spec: {
      node,
      orchestrator,
      ...(serviceAccountName && { serviceAccountName }),
      // What people call it: explain/ looks for endpoints by name.
      ...(typeof pod === 'string' && { pod }),
      ...(typeof workload === 'string' && { workload }),
      ipNetworks,
      profiles,
      ports,
    },
  };
}

function parse(text: string): Json | undefined {
  try {
    const given: unknown = JSON.parse(text);
    return isObject(given) ? given : undefined;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isOptionalText = (value: unknown): value is string | undefined =>
  value === undefined || typeof value === 'string';

export const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string');

const isNetworks = (value: unknown): value is readonly string[] =>
  isTexts(value) && value.every((text) => parseInterfaceAddress(text) !== undefined);

export function isLabels(value: unknown): value is Readonly<Record<string, string>> {
  if (!isObject(value)) return false;
  for (const name in value) if (typeof value[name] !== 'string') return false;
  return true;
}

interface Port {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export const isPorts = (value: unknown): value is readonly Port[] => Array.isArray(value) && value.every(isPort);

function isPort(value: unknown): value is Port {
  if (!isObject(value)) return false;
  const { name, protocol, port } = value;
  if (typeof name !== 'string' || !Number.isInteger(port)) return false;
  return (typeof protocol === 'string' || typeof protocol === 'number') && parseProtocol(protocol) !== undefined;
}
