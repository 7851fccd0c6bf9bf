// The link of a pod:
//
//     pod namespace                              node
//     eth0  10.0.0.5/32                          cali1234…  ee:ee:ee:ee:ee:ee, fe80::ecee:eeff:feee:eeee
//       169.254.1.1 dev eth0 scope link            proxy ARP
//       default via 169.254.1.1                    169.254.1.1 dev lo   (once for all pods)
//
// The gateway has no interface of its own. Linux answers ARP for it by proxy, but only for an address that it has a route
// to by another interface: an explicit host route, so that it does not take a default route. And the pod gets a permanent
// neighbour entry, so that it need not ask at all.
//
// All calls are synchronous and take about a millisecond together. The route to the pod is Felix's: it comes with policy.

import { closeSync, openSync } from 'node:fs';
import { hasCode } from '../linux/errors.ts';
import { addAddress } from '../linux/netlink/address.ts';
import { changeLink, createVeth, deleteLink, ipv4Setting, type Link } from '../linux/netlink/link.ts';
import { setNeighbour } from '../linux/netlink/neighbour.ts';
import { addRoute, deleteRoute, tableMain } from '../linux/netlink/route.ts';
import { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import type { NetlinkRequest } from '../linux/netlink/socket.ts';
import { netnsIdentity } from '../linux/netns.ts';
import { writeSysctls, writeSysctlsIfPresent } from '../linux/sysctl.ts';
import { type Address, type Family, familyOf, parseIpv4, parseIpv6, widthOf } from '../net/address.ts';
import { hostPrefix, type Prefix } from '../net/prefix.ts';
import { CniError } from './errors.ts';

export const hostMac = 'ee:ee:ee:ee:ee:ee';
/** The gateway of every pod. */
export const gatewayIpv4 = known(parseIpv4('169.254.1.1'));
/** The host side's link-local address, which follows from its MAC (RFC 4291 Appendix A). */
export const gatewayIpv6 = known(parseIpv6('fe80::ecee:eeff:feee:eeee'));

/** rtm_protocol of the gateway's host route. */
export const gatewayRouteProtocol = 82;
/**
 * As felix/rules/static.ts has it. felix sees to it too, but once a link is up, changing its group has the kernel go through
 * all routes of the node.
 */
export const workloadLinkGroup = 0x7477;
/** RTPROT_BOOT, as any other tool inside the pod would use. */
const podRouteProtocol = 3;

const everywhere: Record<4 | 6, Prefix> = { 4: { address: 0, length: 0 }, 6: { address: 0n, length: 0 } };

export interface LinkPlan {
  readonly netns: string;
  /** Name inside the pod. */
  readonly ifname: string;
  readonly hostInterface: string;
  /** Alias of the host side. */
  readonly mark: string;
  /** Of the pod's side. */
  readonly mac: string;
  readonly mtu: number;
}

/** An open pod namespace, checked to be one. */
export class PodNetns {
  readonly fd: number;
  readonly #path: string;

  /** Throws CniError when there is no such namespace, or it is the node's own. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.fd = openSync(path, 'r');
    } catch (error) {
      throw new CniError('unknownContainer', `network namespace ${path} can not be opened`, String(error));
    }
    if (netnsIdentity(this.fd) === netnsIdentity(undefined)) {
      this.close();
      throw new CniError('invalidEnvironment', `CNI_NETNS ${path} is the node's own network namespace`);
    }
  }

  /** The links and routes inside; the caller closes it. */
  open(): Rtnetlink {
    try {
      return new Rtnetlink({ netns: this.fd });
    } catch (error) {
      // setns refuses descriptors of other things with EINVAL.
      if (!hasCode(error, 'EINVAL')) throw error;
      throw new CniError('unknownContainer', `CNI_NETNS ${this.#path} is no network namespace`);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** What routes pods on this node need once: forwarding, and the gateway's host route. */
export function prepareHost(host: Rtnetlink, ipv6: boolean): void {
  const loopback = host.link('lo');
  if (loopback && !loopback.up) host.run(changeLink(loopback.index, { up: true }));
  host.runUnless(
    addRoute({
      prefix: hostPrefix(gatewayIpv4),
      protocol: gatewayRouteProtocol,
      nextHops: [{ interfaceIndex: loopback?.index ?? 1 }],
    }),
    'EEXIST',
  );
  writeSysctls({ 'net/ipv4/ip_forward': 1 });
  if (ipv6) writeSysctls({ 'net/ipv6/conf/all/forwarding': 1 });
}

/**
 * Creates the pair, the host side up, the pod's side down and with its addresses. The pod's side stays down until policy is
 * in the kernel, so that not even an agent that never got that far leaves a way open.
 */
export function createLink(host: Rtnetlink, pod: PodNetns, plan: LinkPlan): void {
  try {
    host.run(
      createVeth({
        end: { name: unmarkedName, mac: hostMac },
        peer: { name: plan.ifname, mac: plan.mac, netnsFd: pod.fd },
        mtu: plan.mtu,
      }),
    );
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    throw new CniError('interfaceExists', `an interface ${plan.ifname} is in the namespace ${plan.netns} already`);
  }
  const link = host.link(unmarkedName);
  if (!link) throw new CniError('internal', `the new link ${plan.hostInterface} is gone again`);
  // Whatever goes wrong from here on, DEL and GC find the link by its mark.
  try {
    host.run(changeLink(link.index, { name: plan.hostInterface, alias: plan.mark, group: workloadLinkGroup }));
  } catch (error) {
    removeUnmarked(host);
    throw error;
  }
  prepareHostSide(host, { ...link, name: plan.hostInterface });
}

/**
 * A link can not be made with its alias, only be given one. Until then it has this name, and gets its own together with the
 * alias: an agent that is killed in between leaves what the next one knows for its own. There is never more than one, for
 * createLink() does not wait for anything.
 */
const unmarkedName = 'twill-unmarked';

/** Removes what an agent has left that was killed while it made a link. */
export function removeUnmarked(host: Rtnetlink): void {
  const link = host.link(unmarkedName);
  if (link?.kind === 'veth' && link.mac === hostMac) host.runUnless(deleteLink(link.index), 'ENODEV');
}

/** A link of our name that an earlier pod of the same name left. One that is not ours is not touched. */
export async function removeStale(host: Rtnetlink, plan: LinkPlan): Promise<void> {
  const stale = host.link(plan.hostInterface);
  if (!stale) return;
  if (stale.kind !== 'veth' || stale.mac !== hostMac) {
    const problem = `an interface ${plan.hostInterface} is there already, and not of our making`;
    throw new CniError('interfaceExists', problem, 'remove or rename it');
  }
  await host.runInThreadUnless(deleteLink(stale.index), 'ENODEV');
}

function prepareHostSide(host: Rtnetlink, link: Link): void {
  const { index, name } = link;
  // Without the delay of up to 0.8 s by which a proxy answers after the address's real owner.
  writeSysctls({ [`net/ipv4/neigh/${name}/proxy_delay`]: 0 });
  writeSysctlsIfPresent({
    [`net/ipv6/conf/${name}/disable_ipv6`]: 0,
    [`net/ipv6/conf/${name}/accept_dad`]: 0,
    [`net/ipv6/conf/${name}/accept_ra`]: 0,
  });
  const ipv4Settings = new Map([
    [ipv4Setting.forwarding, 1],
    [ipv4Setting.proxyArp, 1],
  ]);
  host.run(changeLink(index, { up: true, ipv4Settings }));
}

/** Gives the pod its addresses. */
export function addAddresses(inside: Rtnetlink, plan: LinkPlan, addresses: readonly Address[]): void {
  const { index } = podLink(inside, plan);
  executeAll(
    inside,
    addresses.map((address) => {
      const length = widthOf(familyOf(address));
      return addAddress({ interfaceIndex: index, address, length, noDuplicateDetection: true });
    }),
  );
}

/** Opens the pod's side: up, and the way out. */
export function openPod(inside: Rtnetlink, plan: LinkPlan, families: readonly Family[]): void {
  const interfaceIndex = podLink(inside, plan).index;
  const requests: NetlinkRequest[] = [changeLink(interfaceIndex, { up: true })];
  for (const family of families) {
    const gateway = family === 4 ? gatewayIpv4 : gatewayIpv6;
    requests.push(setNeighbour({ interfaceIndex, address: gateway, mac: hostMac }));
    if (family === 4) {
      const toGateway = { prefix: hostPrefix(gateway), protocol: podRouteProtocol, nextHops: [{ interfaceIndex }] };
      requests.push(addRoute(toGateway));
    }
    const nextHops = [{ gateway, interfaceIndex }];
    requests.push(addRoute({ prefix: everywhere[family], protocol: podRouteProtocol, nextHops }));
  }
  executeAll(inside, requests);
}

function podLink(inside: Rtnetlink, plan: LinkPlan): Link {
  const link = inside.link(plan.ifname);
  if (link) return link;
  throw new CniError('tryAgainLater', `interface ${plan.ifname} disappeared from ${plan.netns}`);
}

function executeAll(links: Rtnetlink, requests: readonly NetlinkRequest[]): void {
  const [failure] = links.execute(requests);
  if (failure) throw failure.error;
}

export interface PodSwitches {
  readonly ipv6: boolean;
  readonly allowIpForwarding: boolean;
}

/** Before the addresses: a pod whose runtime turned IPv6 off refuses IPv6 addresses. */
export function setPodSwitches(pod: PodNetns, ifname: string, { ipv6, allowIpForwarding }: PodSwitches): void {
  const forwarding = allowIpForwarding ? 1 : 0;
  writeSysctls({ 'net/ipv4/ip_forward': forwarding }, pod.fd);
  if (!ipv6) return;
  writeSysctls(
    {
      'net/ipv6/conf/all/disable_ipv6': 0,
      'net/ipv6/conf/default/disable_ipv6': 0,
      [`net/ipv6/conf/${ifname}/disable_ipv6`]: 0,
      'net/ipv6/conf/all/forwarding': forwarding,
    },
    pod.fd,
  );
}

/**
 * Removes the host side, and the pod's with it, when it bears this mark. False when there was none. No packet passes from
 * the moment of the call; the kernel takes 20 ms for the rest, during which other work goes on.
 */
export async function removeLink(host: Rtnetlink, hostInterface: string, mark: string): Promise<boolean> {
  const link = host.link(hostInterface);
  if (link?.alias !== mark) return false;
  host.runUnless(changeLink(link.index, { up: false }), 'ENODEV');
  return host.runInThreadUnless(deleteLink(link.index), 'ENODEV');
}

/** Takes the gateway's host route away again. */
export const removeGatewayRoute = (host: Rtnetlink): boolean =>
  host.runUnless(
    deleteRoute({ prefix: hostPrefix(gatewayIpv4), protocol: gatewayRouteProtocol, table: tableMain }),
    'ESRCH',
  );

/** Addresses for documentation (RFC 5737, RFC 3849): the way to them is the default route. */
const farAway = [known(parseIpv4('198.51.100.1')), known(parseIpv6('2001:db8::1'))];

/** The MTU of the node's uplinks: the least one of those with a default route; without one, of all that lead out. */
export function uplinkMtu(host: Rtnetlink): number {
  const uplinks = farAway.flatMap((address) => {
    const index = host.interfaceTowards(address);
    const link = index === undefined ? undefined : host.link(index);
    return link && !link.loopback ? [link] : [];
  });
  const links = uplinks.length > 0 ? uplinks : host.links().filter(leadsOut);
  return links.length > 0 ? Math.min(...links.map((link) => link.mtu)) : 1500;
}

const leadsOut = (link: Link): boolean => link.up && !link.loopback && link.mac !== hostMac;

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('a constant address is malformed');
  return value;
}
