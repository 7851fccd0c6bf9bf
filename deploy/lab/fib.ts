// What the kernel of a machine would do: its routes, as `ip route` shows them.

import { type Address, parseAddress } from '../../net/address.ts';
import { type Prefix, parsePrefix } from '../../net/prefix.ts';
import { must } from './shell.ts';
import { poolOf } from './topology.ts';

/** Blocks are /26: the pools' blockSize in 10-cluster.yaml. */
export const blockLength = 26;

export const poolPrefixes: readonly Prefix[] = Object.values(poolOf).flatMap((text) => parsePrefix(text) ?? []);

export interface FibEntry {
  /** Canonical: a host has its /32. */
  readonly prefix: string;
  readonly gateway: string | undefined;
  readonly device: string | undefined;
}

interface IpRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}

export async function fibRoutes(machine: string): Promise<readonly FibEntry[]> {
  const routes = JSON.parse(await must(['ip', '-j', '-4', 'route'], { inside: machine })) as readonly IpRoute[];
  return routes.map(({ dst, gateway, dev }) => ({
    prefix: dst.includes('/') || dst === 'default' ? dst : `${dst}/32`,
    gateway,
    device: dev,
  }));
}

/** Felix's memory of flows that it cut; it expires by itself and says nothing of who may talk to whom. */
export const flowMemory = 'revoked-answers';

/** All routes, and all rules without their counters and without flows that were cut: the same text forwards alike. */
export async function forwardingState(machine: string): Promise<{ routes: string; rules: string }> {
  const [routes, rules] = await Promise.all([
    must(['ip', 'route', 'show', 'table', 'all'], { inside: machine }),
    must(['nft', '--stateless', 'list', 'ruleset'], { inside: machine }),
  ]);
  return { routes, rules: rules.replaceAll(new RegExp(`\\tset ${flowMemory}[46] \\{[\\s\\S]*?\\n\\t\\}\\n`, 'g'), '') };
}

export function addressFromText(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`"${text}" is not an IP address`);
  return address;
}
