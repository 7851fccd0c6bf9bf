// DEL: the link is cut, then the address and the endpoint go in one transaction. Idempotent: whatever is gone already is
// fine, and it needs no network namespace. The host side of the link says by its mark whose it is.

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
  const started = performance.now();
  const elapsed = (): number => Math.round((performance.now() - started) * 10) / 10;
  const times = { linkMs: 0, releaseMs: 0 };
  // The link is cut at once and then removed; meanwhile the address may go.
  const removal = removeLink(context.host, target.identity.hostInterface, target.mark).then(() => {
    times.linkMs = elapsed();
  });
  const releasing = release(context, target).then(() => {
    times.releaseMs = elapsed();
  });
  const [, released] = await Promise.allSettled([removal, releasing]);
  await removal;
  if (released.status === 'rejected') throw released.reason;
  context.log.debug({ endpoint: target.endpointId, ...times }, 'pod detached');
}

async function release(context: CniContext, { endpointKey: key, handle, attachment }: Target): Promise<void> {
  const entry = await context.store.get(key);
  const owner = decodeEndpoint(entry)?.spec.containerID ?? attachment.containerId;
  // A new container of the same pod may own the endpoint by now; then only the old address goes.
  const isOurs = entry !== undefined && owner === attachment.containerId;
  await context.allocator.releaseByHandle(handle, isOurs ? [{ kind: 'delete', key }] : []);
}
