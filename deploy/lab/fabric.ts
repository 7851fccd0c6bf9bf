// Namespaces, cables, addresses and forwarding: the fabric without its routing daemons.

import { existsSync } from 'node:fs';
import { recordNamespace } from './journal.ts';
import { ipBatch, must } from './shell.ts';
import {
  bridges,
  defaultRoutes,
  earlyPod,
  type Link,
  latePod,
  links,
  machines,
  namespaceOf,
  podMachine,
  pods,
} from './topology.ts';

/** A namespace of this name that is not ours. */
export class NamespaceTaken extends Error {
  override readonly name = 'NamespaceTaken';
}

/** Commands on their way: removal waits for them, so that none makes something behind its back. */
const making = new Set<Promise<unknown>>();

export const nothingInTheMaking = async (): Promise<void> => void (await Promise.allSettled(making));

function assertFree(name: string): void {
  const namespace = namespaceOf(name);
  if (existsSync(`/run/netns/${namespace}`)) {
    throw new NamespaceTaken(
      `the network namespace ${namespace} exists and is not the lab's: remove it with \`ip netns delete ${namespace}\``,
    );
  }
}

export async function makeNamespace(name: string): Promise<void> {
  assertFree(name);
  recordNamespace(namespaceOf(name));
  const made = must(['ip', 'netns', 'add', namespaceOf(name)]);
  making.add(made);
  await made.finally(() => making.delete(made));
  await ipBatch(name, ['link set lo up']);
}

export async function raiseFabric(): Promise<void> {
  for (const name of [...machines, ...[...pods, latePod, earlyPod].map(podMachine)]) assertFree(name);
  await Promise.all(machines.map(makeNamespace));
  await Promise.all(machines.map(forwardPackets));
  for (const { namespace, name, address } of bridges) {
    await ipBatch(namespace, [
      `link add ${name} type bridge forward_delay 0`,
      `address add ${address} dev ${name}`,
      `link set ${name} up`,
    ]);
  }
  for (const [one, other] of links) {
    await ipBatch(one.namespace, [
      `link add ${one.interfaceName} type veth peer name ${other.interfaceName} netns ${namespaceOf(other.namespace)}`,
    ]);
    await Promise.all([bringUp(one), bringUp(other)]);
  }
  await Promise.all(defaultRoutes.map(({ namespace, via }) => ipBatch(namespace, [`route add default via ${via}`])));
}

async function bringUp(link: Link): Promise<void> {
  await ipBatch(link.namespace, [
    ...(link.address === undefined ? [] : [`address add ${link.address} dev ${link.interfaceName}`]),
    ...(link.bridge === undefined ? [] : [`link set ${link.interfaceName} master ${link.bridge}`]),
    `link set ${link.interfaceName} up`,
  ]);
}

/** Settings of the namespace alone. Without IPv6 no router advertisement or neighbor discovery disturbs the counts. */
async function forwardPackets(name: string): Promise<void> {
  const settings = {
    'net/ipv4/ip_forward': 1,
    'net/ipv4/fib_multipath_hash_policy': 1,
    'net/ipv4/conf/all/rp_filter': 0,
    'net/ipv4/conf/default/rp_filter': 0,
    // Kernels limit the ICMP errors that they send; probes should not be lost to that.
    'net/ipv4/icmp_ratelimit': 0,
  };
  const script = Object.entries(settings).map(([path, value]) => `echo ${value} >/proc/sys/${path}`);
  await must(['sh', '-c', script.join(' && ')], { inside: name });
}

/** Takes a cable out and puts it back, at one end. */
export const setLink = (namespace: string, interfaceName: string, state: 'up' | 'down'): Promise<void> =>
  ipBatch(namespace, [`link set ${interfaceName} ${state}`]);
