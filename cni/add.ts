// ADD: an address, an endpoint in the datastore, a link, and policy in the kernel before the runtime hears of it.
//
//     check ──► assign: block + handle + WorkloadEndpoint in one transaction ──► link, the pod's side down
//                 │                                          result ◄── pod's side up ◄── Felix has it in the kernel
//                 └── whatever fails from here on: the link goes, the address and the endpoint go

import { randomBytes } from 'node:crypto';
import { handleKey } from '../datastore/model/index.ts';
import type { AssignResult } from '../ipam/allocator.ts';
import { formatMac, parseMac } from '../linux/netlink/link.ts';
import type { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import { type Address, type Family, familyOf, formatAddress } from '../net/address.ts';
import { formatPrefix, hostPrefix } from '../net/prefix.ts';
import { type Attachment, type NetworkConfiguration, requestedAddresses } from './config.ts';
import type { CniContext } from './context.ts';
import { decodeEndpoint, encodeEndpoint } from './endpoint.ts';
import { CniError } from './errors.ts';
import { attachmentAttributes } from './gc.ts';
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
      const assigned = await assign(context, job);
      try {
        build(context, job, pod, inside, assigned.addresses);
        await awaitPolicy(context, job, assigned.revision);
        openPod(inside, job.plan, familiesOf(assigned.addresses));
      } catch (error) {
        await undo(context, job);
        throw error;
      }
      return formatResult(resultOf(job, assigned.addresses), job.configuration.cniVersion);
    } finally {
      inside.close();
    }
  } finally {
    pod.close();
  }
}

async function assign(context: CniContext, job: Job): Promise<AssignResult & { kind: 'assigned' }> {
  const { store, allocator, nodeName } = context;
  const { attachment, configuration, identity, handle } = job;
  const [previousEntry, handleEntry] = await Promise.all([store.get(job.endpointKey), store.get(handleKey(handle))]);
  // What an ADD left that nobody cleaned up after.
  if (handleEntry) await allocator.releaseByHandle(handle);
  const previous = decodeEndpoint(previousEntry);
  const result = await allocator.assign({
    handle,
    count: { 4: configuration.assignIpv4 ? 1 : 0, 6: configuration.assignIpv6 ? 1 : 0 },
    addresses: requestedAddresses(attachment, configuration),
    ...(configuration.pools && { pools: configuration.pools }),
    attributes: {
      node: nodeName,
      ...(attachment.pod && { pod: attachment.pod.name, namespace: attachment.pod.namespace }),
      [attachmentAttributes.network]: configuration.name,
      [attachmentAttributes.containerId]: attachment.containerId,
      [attachmentAttributes.ifname]: attachment.ifname,
      timestamp: new Date().toISOString(),
    },
    also: (addresses) => {
      const facts = { attachment, configuration, identity, nodeName, mac: job.plan.mac, addresses, previous };
      const value = encodeEndpoint({ ...facts, now: Date.now() });
      return {
        compare: [{ key: job.endpointKey, target: 'modRevision', is: previousEntry?.modRevision ?? 0 }],
        then: [{ kind: 'put', key: job.endpointKey, value }],
      };
    },
  });
  if (result.kind === 'assigned') return result;
  throw new CniError(result.reason === 'conflict' ? 'tryAgainLater' : 'noAddress', result.message);
}

function build(context: CniContext, job: Job, pod: PodNetns, inside: Rtnetlink, addresses: readonly Address[]): void {
  const ipv6 = familiesOf(addresses).includes(6);
  prepareHost(context.host, ipv6);
  createLink(context.host, pod, job.plan);
  setPodSwitches(pod, job.plan.ifname, { ipv6, allowIpForwarding: job.configuration.allowIpForwarding });
  addAddresses(inside, job.plan, addresses);
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

/** Never throws: the first error is the one to report, and DEL repeats all of this. */
async function undo(context: CniContext, job: Job): Promise<void> {
  try {
    removeLink(context.host, job.plan.hostInterface, job.plan.mark);
    await context.allocator.releaseByHandle(job.handle, [{ kind: 'delete', key: job.endpointKey }]);
  } catch (error) {
    context.log.warn({ err: error, endpoint: job.identity.name }, 'a failed ADD was not cleaned up; DEL will');
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
