// This node's Node resource: made at the first start, kept in step with what the options say at later ones.
//
// What the options do not say stays as it is stored: labels, route-reflector cluster ids and AS numbers are often set by
// people. Only an address that nobody ever gave is found out by looking at the machine, or one that is to be found anew.

import { networkInterfaces } from 'node:os';
import type { DraftOf } from '../datastore/model/index.ts';
import { AlreadyExistsError, ConflictError, type Resources } from '../datastore/resources.ts';
import type { Family } from '../net/address.ts';
import { detectAddress, type Interfaces, type Method, sourceTowards, withLength } from './autodetect.ts';
import type { NodeOptions } from './options.ts';

type NodeDraft = DraftOf<'Node'>;

/** Creates or updates the resource; true when something was written. */
export async function ensureNode(
  resources: Resources,
  options: NodeOptions,
  interfaces: Interfaces = networkInterfaces(),
): Promise<boolean> {
  for (;;) {
    const found = await resources.find('Node', options.nodeName);
    const draft = await wantedNode(found, options, interfaces);
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
async function wantedNode(
  found: NodeDraft | undefined,
  options: NodeOptions,
  interfaces: Interfaces,
): Promise<NodeDraft> {
  const { ipv4Address: storedV4, ipv6Address: storedV6, ...stored } = found?.spec?.bgp ?? {};
  const addressOf = (family: Family, given: string | undefined, method: Method, before: string | undefined) =>
    wantedAddress({ family, given, method, stored: before }, found, interfaces);
  const ipv4Address = await addressOf(4, options.ip, options.ipAutodetectionMethod, storedV4);
  const ipv6Address = await addressOf(6, options.ip6, options.ip6AutodetectionMethod, storedV6);
  const asNumber = options.asNumber ?? stored.asNumber;
  const { asNumber: _, ...others } = stored;
  const bgp = {
    ...(asNumber === undefined ? {} : { asNumber }),
    ...(ipv4Address === undefined ? {} : { ipv4Address }),
    ...(ipv6Address === undefined ? {} : { ipv6Address }),
    ...others,
  };
  const { bgp: _before, ...spec } = found?.spec ?? {};
  return {
    kind: 'Node',
    apiVersion: 'projectcalico.org/v3',
    metadata: found?.metadata ?? { name: options.nodeName },
    // Without any address it takes no part in BGP.
    spec: { ...(Object.keys(bgp).length > 0 && { bgp }), ...spec },
  };
}

interface AddressWish {
  readonly family: Family;
  /** An address, "autodetect", "none", or nothing. */
  readonly given: string | undefined;
  readonly method: Method;
  readonly stored: string | undefined;
}

/** Throws when an address was to be found in a way that finds none: going on with another one would be a surprise. */
async function wantedAddress(
  { family, given, method, stored }: AddressWish,
  found: NodeDraft | undefined,
  interfaces: Interfaces,
): Promise<string | undefined> {
  if (given === 'none') return undefined;
  if (given !== undefined && given !== 'autodetect') return withLength(given, interfaces);
  if (given === undefined && stored !== undefined) return stored;
  const internalAddresses = (found?.spec?.addresses ?? []).flatMap(({ address, type }) =>
    type === 'InternalIP' ? [address] : [],
  );
  const detected = await detectAddress(method, family, { interfaces, sourceTowards, internalAddresses });
  if (detected !== undefined || (given === undefined && method.kind === 'first-found')) return detected;
  throw new Error(`no IPv${family} address found by ${method.kind}; give one, or another way to find it`);
}
