// ADD: an address, an endpoint in the datastore, a link, and policy in the kernel before the runtime hears of it.
//
//     check ─┬─► assign: block + handle + WorkloadEndpoint in one transaction ─┬─► addresses ──► Felix has it in the kernel
//            └─► link, the pod's side down ──────────────────────────────────┘     result ◄── pod's side up ◄──┘
//
// Whatever fails on the way: the link goes, the address and the endpoint go.

import { randomBytes } from 'node:crypto';
import { formatMac, parseMac } from '../linux/netlink/link.ts';
import type { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import { type Address, type Family, familyOf, formatAddress } from '../net/address.ts';
import { formatPrefix, hostPrefix } from '../net/prefix.ts';
import { assign } from './assign.ts';
import type { Attachment } from './attachment.ts';
import type { NetworkConfiguration } from './config.ts';
import type { CniContext } from './context.ts';
import { CniError } from './errors.ts';
import type { CniRequest } from './protocol.ts';
import { type CniResult, formatResult } from './result.ts';
import { readTarget, type Target } from './target.ts';
import {
  addAddresses,
  createLink,
  gatewayIpv4,
  gatewayIpv6,
  hostMac,
  type LinkPlan,
  openPod,
  PodNetns,
  prepareHost,
  removeLink,
  removeStale,
  setPodSwitches,
  uplinkMtu,
} from './wiring.ts';

interface Job extends Target {
  readonly plan: LinkPlan;
}

export async function add(context: CniContext, request: CniRequest): Promise<string> {
  const target = readTarget(request, context.nodeName, { netnsOptional: false });
  const { configuration, attachment, identity, mark } = target;
  const notReady = context.ready?.();
  if (notReady) throw new CniError('tryAgainLater', `the node is not ready for pods: ${notReady}`);
  const plan: LinkPlan = {
    netns: attachment.netns,
    ifname: attachment.ifname,
    hostInterface: identity.hostInterface,
    mark,
    mac: chooseMac(configuration, attachment),
    mtu: configuration.mtu ?? context.mtu ?? uplinkMtu(context.host),
  };
  return context.inTurn(target.endpointKey, () => addInTurn(context, { ...target, plan }));
}

async function addInTurn(context: CniContext, job: Job): Promise<string> {
  const pod = new PodNetns(job.plan.netns);
  try {
    const inside = pod.open();
    try {
      if (inside.link(job.plan.ifname)) {
        const problem = `an interface ${job.plan.ifname} is in the namespace ${job.plan.netns} already`;
        throw new CniError('interfaceExists', problem);
      }
      await removeStale(context.host, job.plan);
      const addresses = await attach(context, job, pod, inside);
      const { cniVersion, prevResult } = job.configuration;
      return formatResult(resultOf(job, addresses), cniVersion, prevResult);
    } finally {
      inside.close();
    }
  } finally {
    pod.close();
  }
}

async function attach(context: CniContext, job: Job, pod: PodNetns, inside: Rtnetlink): Promise<readonly Address[]> {
  const laps = [performance.now()];
  const lap = (): void => void laps.push(performance.now());
  // The datastore works while we make the link: it needs no address yet.
  const assigning = assign(context, job, job.plan.mac);
  const [assigned, linked] = await Promise.allSettled([assigning, makeLink(context, job, pod)]);
  lap();
  if (assigned.status === 'rejected') {
    await undoLink(context, job);
    throw assigned.reason;
  }
  const { addresses, revision } = assigned.value;
  try {
    if (linked.status === 'rejected') throw linked.reason;
    const families = familiesOf(addresses);
    prepareHost(context.host, families.includes(6));
    const { allowIpForwarding } = job.configuration;
    setPodSwitches(pod, job.plan.ifname, { ipv6: families.includes(6), allowIpForwarding });
    addAddresses(inside, job.plan, addresses);
    lap();
    await awaitPolicy(context, job, revision);
    lap();
    openPod(inside, job.plan, families);
    lap();
    logLaps(context, job, laps);
    return addresses;
  } catch (error) {
    await undo(context, job);
    throw error;
  }
}

/** A promise, although nothing in it waits: a failure must not keep the assignment from being undone. */
async function makeLink(context: CniContext, job: Job, pod: PodNetns): Promise<void> {
  createLink(context.host, pod, job.plan);
}

function logLaps(context: CniContext, job: Job, laps: readonly number[]): void {
  const times = laps.slice(1).map((end, i) => Math.round((end - (laps[i] ?? end)) * 10) / 10);
  const [assignAndLinkMs, addressMs, policyMs, openMs] = times;
  context.log.debug({ endpoint: job.endpointId, assignAndLinkMs, addressMs, policyMs, openMs }, 'pod attached');
}

const familiesOf = (addresses: readonly Address[]): Family[] => [...new Set(addresses.map(familyOf))];

/** Fails closed: a pod whose policy did not make it is no pod. */
async function awaitPolicy(context: CniContext, job: Job, revision: number): Promise<void> {
  const id = job.endpointId;
  try {
    await context.awaitEndpoint(id, revision, job.configuration.policyTimeoutMs);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CniError('tryAgainLater', `policy for ${id} did not get into the kernel: ${reason}`);
  }
}

/** Neither of the two throws: the first error is the one to report, and DEL repeats all of this. */
async function undo(context: CniContext, job: Job): Promise<void> {
  await undoLink(context, job);
  try {
    await context.allocator.releaseByHandle(job.handle, [{ kind: 'delete', key: job.endpointKey }]);
  } catch (error) {
    context.log.warn({ err: error, endpoint: job.identity.name }, 'a failed ADD was not cleaned up; DEL will');
  }
}

async function undoLink(context: CniContext, job: Job): Promise<void> {
  try {
    await removeLink(context.host, job.plan.hostInterface, job.plan.mark);
  } catch (error) {
    context.log.warn(
      { err: error, endpoint: job.identity.name },
      'the link of a failed ADD is left; DEL will remove it',
    );
  }
}

/** The runtime's wish, or a random one: locally administered, unicast. */
function chooseMac({ mac }: NetworkConfiguration, attachment: Attachment): string {
  const wanted = mac ?? attachment.arguments.get('MAC');
  if (wanted !== undefined) {
    const bytes = parseMac(wanted);
    if (bytes && ((bytes[0] ?? 1) & 1) === 0) return formatMac(bytes);
    throw new CniError('invalidConfiguration', `${JSON.stringify(wanted)} is no MAC address of one interface`);
  }
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return formatMac(bytes);
}

function resultOf({ plan, configuration }: Job, addresses: readonly Address[]): CniResult {
  const gatewayOf = (address: Address): string => formatAddress(familyOf(address) === 4 ? gatewayIpv4 : gatewayIpv6);
  return {
    interfaces: [
      { name: plan.hostInterface, mac: hostMac, mtu: plan.mtu, sandbox: '' },
      { name: plan.ifname, mac: plan.mac, mtu: plan.mtu, sandbox: plan.netns },
    ],
    ips: addresses.map((address) => ({
      address: formatPrefix(hostPrefix(address)),
      gateway: gatewayOf(address),
      interface: 1,
    })),
    routes: familiesOf(addresses).map((family) =>
      family === 4
        ? { dst: '0.0.0.0/0', gw: formatAddress(gatewayIpv4) }
        : { dst: '::/0', gw: formatAddress(gatewayIpv6) },
    ),
    dns: configuration.dns,
  };
}
