// DEL: the link goes first, then the address and the endpoint in one transaction. Idempotent: whatever is gone already
// is fine, and it needs no network namespace. The host side of the link says by its mark whose it is.

import type { CniContext } from './context.ts';
import { decodeEndpoint } from './endpoint.ts';
import type { CniRequest } from './protocol.ts';
import { readTarget, type Target } from './target.ts';
import { removeLink } from './wiring.ts';

export async function del(context: CniContext, request: CniRequest): Promise<string> {
  const target = readTarget(request, context.nodeName, { netnsOptional: true });
  await context.inTurn(target.endpointKey, () => detach(context, target));
  return '';
}

/** Takes away all that ADD made. To be called in the attachment's turn. */
export async function detach(context: CniContext, target: Target): Promise<void> {
  const { endpointKey: key, identity, attachment } = target;
  const [entry] = await Promise.all([
    context.store.get(key),
    removeLink(context.host, identity.hostInterface, target.mark),
  ]);
  const owner = decodeEndpoint(entry)?.spec.containerID ?? attachment.containerId;
  // A new container of the same pod may own the endpoint by now; then only the old address goes.
  const isOurs = entry !== undefined && owner === attachment.containerId;
  await context.allocator.releaseByHandle(target.handle, isOurs ? [{ kind: 'delete', key }] : []);
}
