// Names that follow from an attachment: the same for ADD, DEL and CHECK, without remembering anything.

import { createHash } from 'node:crypto';
import { workloadEndpointName } from '../datastore/model/index.ts';
import type { Attachment, ContainerInterface } from './attachment.ts';
import { CniError } from './errors.ts';

/** The interface that pods have by convention; names are Calico's for it, and longer for further interfaces. */
const usualIfname = 'eth0';

const hostInterfacePrefix = 'cali';

export interface Identity {
  readonly namespace: string;
  /** Name of the WorkloadEndpoint. */
  readonly name: string;
  readonly hostInterface: string;
  readonly orchestrator: 'k8s' | 'cni';
}

/** Throws CniError when names of the node, pod or container can not stand in a WorkloadEndpoint's name. */
export function identify(attachment: Attachment, nodeName: string): Identity {
  const { pod, containerId, ifname } = attachment;
  const orchestrator = pod ? 'k8s' : 'cni';
  const namespace = pod?.namespace ?? 'default';
  const name = workloadEndpointName({
    node: nodeName,
    orchestrator,
    pod: pod?.name,
    containerID: containerId,
    endpoint: ifname,
  });
  if (name === undefined) {
    const which = pod ? `pod ${JSON.stringify(pod.name)}` : `container id ${JSON.stringify(containerId)}`;
    const problem = `${which} or interface ${JSON.stringify(ifname)} begins or ends with "-"`;
    throw new CniError('invalidEnvironment', `no endpoint can be named after it: ${problem}`);
  }
  const workload = `${namespace}.${pod?.name ?? containerId}`;
  return { namespace, name, orchestrator, hostInterface: hostInterfaceName(workload, ifname) };
}

/** `cali` and 11 digits of SHA-1 over `<namespace>.<pod>`. */
export function hostInterfaceName(workload: string, ifname: string): string {
  const text = ifname === usualIfname ? workload : `${workload}.${ifname}`;
  return hostInterfacePrefix + createHash('sha1').update(text).digest('hex').slice(0, 11);
}

/** The IPAM handle: `<network>.<container id>`, so that an address outlives nothing but its container. */
export const ipamHandle = (network: string, { containerId, ifname }: ContainerInterface): string =>
  ifname === usualIfname ? `${network}.${containerId}` : `${network}.${containerId}.${ifname}`;

/** What we write on the host side of a link (its alias), to know it for ours: which container, which interface. */
export const linkMark = (network: string, { containerId, ifname }: ContainerInterface): string =>
  `twill ${network} ${containerId} ${ifname}`;

/** The reverse of linkMark; undefined for links that are not ours. */
export function parseLinkMark(alias: string | undefined): (ContainerInterface & { network: string }) | undefined {
  const [word, network, containerId, ifname, ...rest] = (alias ?? '').split(' ');
  if (word !== 'twill' || !network || !containerId || !ifname || rest.length > 0) return undefined;
  return { network, containerId, ifname };
}
