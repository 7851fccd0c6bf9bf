// What a request is about: the attachment, and every name that follows from it.

import { resourceKey } from '../datastore/model/index.ts';
import { type Attachment, readAttachment } from './attachment.ts';
import { type NetworkConfiguration, readConfiguration } from './config.ts';
import { type Identity, identify, ipamHandle, linkMark } from './identity.ts';
import type { CniRequest } from './protocol.ts';

export interface Target {
  readonly configuration: NetworkConfiguration;
  readonly attachment: Attachment;
  readonly identity: Identity;
  /** Key of the WorkloadEndpoint in the datastore. */
  readonly endpointKey: string;
  /** `<namespace>/<name>` of it, as Felix calls it. */
  readonly endpointId: string;
  /** IPAM handle. */
  readonly handle: string;
  /** Alias of the host side of the link. */
  readonly mark: string;
}

export function readTarget(
  request: CniRequest,
  nodeName: string,
  options: { readonly netnsOptional: boolean },
): Target {
  const configuration = readConfiguration(request.stdin);
  return targetOf(configuration, readAttachment(request, options), nodeName);
}

export function targetOf(configuration: NetworkConfiguration, attachment: Attachment, nodeName: string): Target {
  const identity = identify(attachment, nodeName);
  const { namespace, name } = identity;
  return {
    configuration,
    attachment,
    identity,
    endpointKey: resourceKey({ kind: 'WorkloadEndpoint', namespace, name }),
    endpointId: `${namespace}/${name}`,
    handle: ipamHandle(configuration.name, attachment),
    mark: linkMark(configuration.name, attachment),
  };
}
