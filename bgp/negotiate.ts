// What follows from both OPENs: refusal, or what both sides can do. RFC 4271 §6.2 and §4.2, 5492, 6286, 4760, 6793, 7911,
// 4724 and 8538, 9494, 8950, 8654.

import type { Negotiated, SessionConfig } from './session-types.ts';
import type { AddressFamily } from './settings.ts';
import {
  type Capability,
  fromWireFamily,
  type NotificationMessage,
  type OpenMessage,
  toWireFamily,
} from './wire/message.ts';
import { ErrorCode, notification, OpenSubcode } from './wire/notification.ts';

export const openFor = ({ localAsn, routerId, peer, capabilities }: SessionConfig): OpenMessage => ({
  kind: 'open',
  version: 4,
  asn: localAsn,
  holdTimeSec: peer.holdTimeSec,
  routerId,
  capabilities,
});

export interface OpenRefusal {
  readonly notification: NotificationMessage;
  /** In words, with both values: for "why is it down". */
  readonly problem: string;
}

/** RFC 4271 §6.2: what is wrong with the peer's OPEN; undefined when nothing is. */
export function checkOpen(config: SessionConfig, open: OpenMessage): OpenRefusal | undefined {
  const refuse = (subcode: number, problem: string, data?: Uint8Array): OpenRefusal => ({
    notification: notification(ErrorCode.openMessage, subcode, data),
    problem,
  });
  // RFC 7607 §2.
  if (open.asn === 0) return refuse(OpenSubcode.badPeerAs, 'the peer says AS 0');
  if (config.peerAsn !== undefined && open.asn !== config.peerAsn) {
    return refuse(OpenSubcode.badPeerAs, `the peer says AS ${open.asn}, AS ${config.peerAsn} is configured`);
  }
  if (open.routerId === 0) return refuse(OpenSubcode.badBgpIdentifier, 'the peer says router id 0.0.0.0');
  // RFC 6286 §2.1: unique within an AS only.
  if (open.routerId === config.routerId && open.asn === config.localAsn) {
    return refuse(OpenSubcode.badBgpIdentifier, 'the peer has the same router id as we have');
  }
  if (open.holdTimeSec === 1 || open.holdTimeSec === 2) {
    return refuse(
      OpenSubcode.unacceptableHoldTime,
      `the peer wants a hold time of ${open.holdTimeSec} s, not 0 or 3 or more`,
    );
  }
  const ours = familiesOf(config.capabilities);
  if (commonFamilies(config, open).length === 0) {
    const problem = `no address family in common: ours ${ours.join(' ')}, theirs ${familiesOf(open.capabilities).join(' ')}`;
    // RFC 5492 §5: the data lists the capabilities that we miss.
    const missing = ours.map(toWireFamily).flatMap(({ afi, safi }) => [1, 4, 0, afi, 0, safi]);
    return refuse(OpenSubcode.unsupportedCapability, problem, Uint8Array.from(missing));
  }
  return undefined;
}

/** What holds between us and the peer, given its OPEN that checkOpen() let pass. */
export function negotiate(config: SessionConfig, open: OpenMessage): Negotiated {
  const { localAsn, peer, capabilities: ours } = config;
  const theirs = open.capabilities;
  const families = commonFamilies(config, open);
  const holdTimeSec = Math.min(peer.holdTimeSec, open.holdTimeSec);
  const both = (kind: Capability['kind']): boolean =>
    find(ours, kind) !== undefined && find(theirs, kind) !== undefined;
  const nextHops = (list: readonly Capability[]): boolean =>
    find(list, 'extended-next-hop')?.families.some(
      ({ afi, safi, nextHopAfi }) => afi === 1 && safi === 1 && nextHopAfi === 2,
    ) ?? false;
  return {
    localAsn,
    peerAsn: open.asn,
    peerRouterId: open.routerId,
    holdTimeSec,
    keepaliveTimeSec: keepaliveTime(holdTimeSec, peer.keepaliveTimeSec),
    families,
    fourOctetAs: both('four-octet-as'),
    routeRefresh: both('route-refresh'),
    enhancedRouteRefresh: both('enhanced-route-refresh'),
    extendedMessage: both('extended-message'),
    addPathSend: families.filter((family) => addsPaths(ours, family, 'send') && addsPaths(theirs, family, 'receive')),
    addPathReceive: families.filter(
      (family) => addsPaths(theirs, family, 'send') && addsPaths(ours, family, 'receive'),
    ),
    extendedNextHop: nextHops(ours) && nextHops(theirs),
    gracefulRestart: gracefulRestart(ours, theirs, families),
    longLivedStaleSec: longLived(ours, theirs, families),
    peerCapabilities: theirs,
  };
}

/** RFC 4271 §4.4: a third of the hold time; less when the operator wants less. */
function keepaliveTime(holdTimeSec: number, wantedSec: number): number {
  if (holdTimeSec === 0) return 0;
  const third = Math.max(1, Math.floor(holdTimeSec / 3));
  return wantedSec === 0 ? third : Math.min(wantedSec, third);
}

function find<K extends Capability['kind']>(
  list: readonly Capability[],
  kind: K,
): Extract<Capability, { readonly kind: K }> | undefined {
  // RFC 4724 §3: of several, all but the last are ignored; nobody sends other capabilities more than once.
  return list.findLast((one): one is Extract<Capability, { readonly kind: K }> => one.kind === kind);
}

/** RFC 4760 §8; an OPEN without the capability means IPv4 unicast. */
function familiesOf(capabilities: readonly Capability[]): readonly AddressFamily[] {
  const multiprotocol = capabilities.filter((one) => one.kind === 'multiprotocol');
  if (multiprotocol.length === 0) return ['ipv4-unicast'];
  return multiprotocol.flatMap(({ afi, safi }) => fromWireFamily(afi, safi) ?? []);
}

function commonFamilies(config: SessionConfig, open: OpenMessage): readonly AddressFamily[] {
  const theirs = familiesOf(open.capabilities);
  return familiesOf(config.capabilities).filter((family) => theirs.includes(family));
}

function addsPaths(list: readonly Capability[], family: AddressFamily, way: 'send' | 'receive'): boolean {
  const { afi, safi } = toWireFamily(family);
  return find(list, 'add-path')?.families.some((one) => one.afi === afi && one.safi === safi && one[way]) ?? false;
}

function gracefulRestart(
  ours: readonly Capability[],
  theirs: readonly Capability[],
  families: readonly AddressFamily[],
): Negotiated['gracefulRestart'] {
  const [own, promised] = [find(ours, 'graceful-restart'), find(theirs, 'graceful-restart')];
  if (!own || !promised) return undefined;
  const kept = promised.families.flatMap(({ afi, safi, forwarding }) => {
    const family = fromWireFamily(afi, safi);
    return family && families.includes(family) ? [[family, forwarding] as const] : [];
  });
  return {
    restarting: promised.restarting,
    notification: own.notification && promised.notification,
    restartTimeSec: promised.restartTimeSec,
    families: new Map(kept),
  };
}

function longLived(
  ours: readonly Capability[],
  theirs: readonly Capability[],
  families: readonly AddressFamily[],
): ReadonlyMap<AddressFamily, number> {
  // RFC 9494 §4.2: meaningless without graceful restart.
  const taken = find(ours, 'long-lived-graceful-restart') && find(theirs, 'graceful-restart');
  const promised = taken ? find(theirs, 'long-lived-graceful-restart') : undefined;
  return new Map(
    (promised?.families ?? []).flatMap(({ afi, safi, staleTimeSec }) => {
      const family = fromWireFamily(afi, safi);
      return family && families.includes(family) ? [[family, staleTimeSec] as const] : [];
    }),
  );
}
