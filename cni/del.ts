// DEL: the link goes first, then the address and the endpoint in one transaction. Idempotent: whatever is gone already
// is fine, and it needs no network namespace. The host side of the link says by its mark whose it is.

import { resourceKey } from '../datastore/model/index.ts';
import { readAttachment, readConfiguration } from './config.ts';
import type { CniContext } from './context.ts';
import { decodeEndpoint } from './endpoint.ts';
import { identify, ipamHandle, linkMark } from './identity.ts';
import type { CniRequest } from './protocol.ts';
import { removeLink } from './wiring.ts';

export async function del(context: CniContext, request: CniRequest): Promise<string> {
  const configuration = readConfiguration(request.stdin);
  const attachment = readAttachment(request, { netnsOptional: true });
  const { namespace, name, hostInterface } = identify(attachment, context.nodeName);
  const key = resourceKey({ kind: 'WorkloadEndpoint', namespace, name });
  return context.inTurn(key, async () => {
    removeLink(context.host, hostInterface, linkMark(configuration.name, attachment));
    const entry = await context.store.get(key);
    const endpoint = decodeEndpoint(entry);
    // A new container of the same pod may own the endpoint by now; then only the old address goes.
    const isOurs =
      entry !== undefined && (endpoint?.spec.containerID ?? attachment.containerId) === attachment.containerId;
    const handle = ipamHandle(configuration.name, attachment);
    await context.allocator.releaseByHandle(handle, isOurs ? [{ kind: 'delete', key }] : []);
    return '';
  });
}
