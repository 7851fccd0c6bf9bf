// The WorkloadEndpoint resource of an attachment: how policy and routing learn of the pod.

import { randomUUID } from 'node:crypto';
import type { KvEntry } from '../datastore/kv.ts';
import {
  checkResourceOf,
  decodeResource,
  encodeResource,
  formatFault,
  type WorkloadEndpoint,
} from '../datastore/model/index.ts';
import type { Address } from '../net/address.ts';
import { formatPrefix, hostPrefix } from '../net/prefix.ts';
import type { Attachment } from './attachment.ts';
import type { NetworkConfiguration } from './config.ts';
import { CniError } from './errors.ts';
import type { Identity } from './identity.ts';

export interface EndpointFacts {
  readonly attachment: Attachment;
  readonly configuration: NetworkConfiguration;
  readonly identity: Identity;
  readonly nodeName: string;
  readonly mac: string;
  readonly addresses: readonly Address[];
  /** The endpoint of that name that is stored now: left by an earlier container of the same pod. */
  readonly previous: WorkloadEndpoint | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The JSON to store; throws CniError when labels, ports or names are not what the resource allows. */
export function encodeEndpoint(facts: EndpointFacts): string {
  const { attachment, configuration, identity, previous } = facts;
  const { serviceAccount, allowedSourcePrefixes } = configuration;
  const draft = {
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name: identity.name,
      namespace: identity.namespace,
      uid: previous?.metadata.uid ?? randomUUID(),
      creationTimestamp: previous?.metadata.creationTimestamp ?? `${new Date(facts.now).toISOString().slice(0, 19)}Z`,
      labels: {
        ...configuration.labels,
        'projectcalico.org/namespace': identity.namespace,
        'projectcalico.org/orchestrator': identity.orchestrator,
        ...(serviceAccount && { 'projectcalico.org/serviceaccount': serviceAccount }),
      },
    },
    spec: {
      orchestrator: identity.orchestrator,
      node: facts.nodeName,
      containerID: attachment.containerId,
      ...(attachment.pod ? { pod: attachment.pod.name } : { workload: attachment.containerId }),
      endpoint: attachment.ifname,
      ...(serviceAccount && { serviceAccountName: serviceAccount }),
      ipNetworks: facts.addresses.map((address) => formatPrefix(hostPrefix(address))),
      profiles: configuration.profiles ?? profilesOf(facts),
      interfaceName: identity.hostInterface,
      mac: facts.mac,
      ...(configuration.ports.length > 0 && { ports: configuration.ports }),
      ...(allowedSourcePrefixes.length > 0 && { allowSpoofedSourcePrefixes: allowedSourcePrefixes }),
    },
  };
  const checked = checkResourceOf('WorkloadEndpoint', draft);
  if (checked.kind === 'valid') return encodeResource(checked.resource);
  throw new CniError(
    'invalidConfiguration',
    'the pod can not be described as a WorkloadEndpoint',
    checked.faults.map(formatFault).join('; '),
  );
}

/** A pod has its namespace's and its service account's; anything else the profile named after its network. */
function profilesOf({ attachment, configuration, identity }: EndpointFacts): string[] {
  if (!attachment.pod) return [configuration.name];
  const ofNamespace = `kns.${identity.namespace}`;
  const { serviceAccount } = configuration;
  return serviceAccount ? [ofNamespace, `ksa.${identity.namespace}.${serviceAccount}`] : [ofNamespace];
}

/** The stored endpoint; undefined when there is none, or it can not be read (then it is overwritten, or deleted). */
export function decodeEndpoint(entry: KvEntry | undefined): WorkloadEndpoint | undefined {
  const decoded = entry && decodeResource('WorkloadEndpoint', entry);
  return decoded?.kind === 'valid' ? decoded.resource : undefined;
}
