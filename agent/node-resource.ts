// This node's Node resource: made at the first start, kept in step with what the options say at later ones.
//
// What the options do not say stays as it is stored: labels, route-reflector cluster ids and AS numbers are often set by
// people. Only an address that nobody ever gave is found out by looking at the interfaces.

import { networkInterfaces } from 'node:os';
import type { DraftOf } from '../datastore/model/index.ts';
import { AlreadyExistsError, ConflictError, type Resources } from '../datastore/resources.ts';
import { firstFound } from './autodetect.ts';
import type { NodeOptions } from './options.ts';

type NodeDraft = DraftOf<'Node'>;

/** Creates or updates the resource; true when something was written. */
export async function ensureNode(
  resources: Resources,
  options: NodeOptions,
  interfaces = networkInterfaces(),
): Promise<boolean> {
  for (;;) {
    const found = await resources.find('Node', options.nodeName);
    const draft = wantedNode(found, options, interfaces);
    if (found && JSON.stringify(draft.spec) === JSON.stringify(found.spec)) return false;
    try {
      if (found) await resources.update<'Node'>(draft);
      else await resources.create<'Node'>(draft);
      return true;
    } catch (error) {
      // Somebody else wrote it meanwhile: look again.
      if (!(error instanceof AlreadyExistsError) && !(error instanceof ConflictError)) throw error;
    }
  }
}

/** The resource as it should be, given what is stored. */
export function wantedNode(
  found: NodeDraft | undefined,
  options: Pick<NodeOptions, 'nodeName' | 'ip' | 'ip6' | 'asNumber'>,
  interfaces: ReturnType<typeof networkInterfaces>,
): NodeDraft {
  const stored = found?.spec?.bgp;
  const ipv4Address = options.ip ?? stored?.ipv4Address ?? firstFound(interfaces, 4);
  const ipv6Address = options.ip6 ?? stored?.ipv6Address ?? firstFound(interfaces, 6);
  const asNumber = options.asNumber ?? stored?.asNumber;
  return {
    kind: 'Node',
    apiVersion: 'projectcalico.org/v3',
    metadata: found?.metadata ?? { name: options.nodeName },
    spec: {
      ...found?.spec,
      bgp: {
        ...stored,
        ...(asNumber === undefined ? {} : { asNumber }),
        ...(ipv4Address === undefined ? {} : { ipv4Address }),
        ...(ipv6Address === undefined ? {} : { ipv6Address }),
      },
    },
  };
}
