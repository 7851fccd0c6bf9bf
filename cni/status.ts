// STATUS: could ADD succeed now? Silent when it could; otherwise error 50 with the reason. It changes nothing.

import { readConfiguration } from './config.ts';
import type { CniContext } from './context.ts';
import { CniError } from './errors.ts';
import type { CniRequest } from './protocol.ts';

export async function status(context: CniContext, request: CniRequest): Promise<string> {
  const configuration = readConfiguration(request.stdin);
  const reason = context.ready?.() ?? (await context.policyStatus?.()) ?? (await addressRefusal());
  if (reason) throw new CniError('notAvailable', `no pod can be added now: ${reason}`);
  return '';

  function addressRefusal(): Promise<string | undefined> {
    return context.allocator.refusal({
      handle: '',
      count: { 4: configuration.assignIpv4 ? 1 : 0, 6: configuration.assignIpv6 ? 1 : 0 },
      ...(configuration.pools && { pools: configuration.pools }),
      attributes: {},
    });
  }
}
