// What two speakers tell each other in OPEN and what follows from it.
//
// RFC 4271 §4.2 and §6.2, 5492 (capabilities), 6286 (router id), 6793 (4-octet AS), 4760, 2918, 7313, 4724 and 8538
// (graceful restart), 9494 (long-lived), 7911 (add-path), 8654 (extended messages), 8950 (IPv4 over IPv6 next hops).

import type { Ipv4 } from '../net/address.ts';
import type { AddressFamily, PeerSettings } from './settings.ts';

export interface OpenMessage {
  /** The real one: from the 4-octet capability when there is one, else My Autonomous System. */
  readonly asn: number;
  readonly holdTimeSec: number;
  readonly routerId: Ipv4;
  readonly capabilities: Capabilities;
}

export interface Capabilities {
  /** Multiprotocol; empty in an OPEN without the capability, which means IPv4 unicast. */
  readonly families: readonly AddressFamily[];
  readonly fourOctetAsn: boolean;
  readonly routeRefresh: boolean;
  readonly enhancedRouteRefresh: boolean;
  readonly extendedMessages: boolean;
  readonly gracefulRestart?: GracefulRestartCapability;
  readonly longLived: readonly LongLivedFamily[];
  readonly addPath: readonly AddPathFamily[];
  /** Families whose NLRI may come with an IPv6 next hop. */
  readonly extendedNextHop: readonly AddressFamily[];
  /** Codes that we do not know, for status. */
  readonly unknown: readonly number[];
}

export interface GracefulRestartCapability {
  /** R: this speaker has just restarted. */
  readonly restarting: boolean;
  /** N, RFC 8538: NOTIFICATION and hold timer expiry are restarts too. */
  readonly notification: boolean;
  readonly restartTimeSec: number;
  /** `forwarding` is F: the FIB survived the restart. */
  readonly families: readonly { readonly family: AddressFamily; readonly forwarding: boolean }[];
}

export interface LongLivedFamily {
  readonly family: AddressFamily;
  readonly forwarding: boolean;
  readonly staleTimeSec: number;
}

export interface AddPathFamily {
  readonly family: AddressFamily;
  readonly send: boolean;
  readonly receive: boolean;
}

export interface Notification {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

/** What both sides can do: fixed for the life of a session. */
export interface Negotiated {
  readonly peerAsn: number;
  readonly peerRouterId: Ipv4;
  /** AS number that we use towards this peer. */
  readonly localAsn: number;
  readonly internal: boolean;
  readonly families: readonly AddressFamily[];
  /** 0: neither KEEPALIVE nor hold timer. */
  readonly holdTimeSec: number;
  readonly keepaliveTimeSec: number;
  readonly fourOctetAsn: boolean;
  readonly routeRefresh: boolean;
  readonly enhancedRouteRefresh: boolean;
  readonly extendedMessages: boolean;
  /** Families in which we may send several paths, and in which the peer may. */
  readonly addPathSend: readonly AddressFamily[];
  readonly addPathReceive: readonly AddressFamily[];
  readonly extendedNextHop: readonly AddressFamily[];
  /** What the peer promised about its own restart; undefined when either side does not take part. */
  readonly gracefulRestart: GracefulRestartCapability | undefined;
  readonly longLived: readonly LongLivedFamily[];
}

/** Who we are, and how we stand after our own restart. */
export interface SpeakerIdentity {
  readonly routerId: Ipv4;
  readonly asn: number;
  readonly gracefulRestart: { readonly restartTimeSec: number } | undefined;
  /** True from the start until the first convergence: OPEN carries the R and F bits. */
  readonly restarting: boolean;
}

export const AS_TRANS = 23456;

/** The local AS number shown to this peer. */
export const localAsnFor = (identity: SpeakerIdentity, peer: PeerSettings): number => peer.localAsn ?? identity.asn;

/** Our OPEN to this peer. */
export function openFor(identity: SpeakerIdentity, peer: PeerSettings): OpenMessage {
  const { families } = peer;
  const restart = peer.gracefulRestart ? identity.gracefulRestart : undefined;
  return {
    asn: localAsnFor(identity, peer),
    holdTimeSec: peer.holdTimeSec,
    routerId: identity.routerId,
    capabilities: {
      families,
      fourOctetAsn: true,
      routeRefresh: true,
      enhancedRouteRefresh: true,
      extendedMessages: true,
      // Without families it says: we keep your routes while you restart (RFC 4724 §3).
      ...(peer.gracefulRestart
        ? {
            gracefulRestart: {
              restarting: restart !== undefined && identity.restarting,
              notification: true,
              restartTimeSec: Math.min(restart?.restartTimeSec ?? 0, 4095),
              // Our FIB outlives us, so F is always true: a 0 here after a restart loses routes (BGP facts, §4.10).
              families: restart ? families.map((family) => ({ family, forwarding: true })) : [],
            },
          }
        : {}),
      longLived: [],
      addPath:
        peer.addPathSend || peer.addPathReceive
          ? families.map((family) => ({ family, send: peer.addPathSend, receive: peer.addPathReceive }))
          : [],
      extendedNextHop: families.includes('ipv4-unicast') && families.includes('ipv6-unicast') ? ['ipv4-unicast'] : [],
      unknown: [],
    },
  };
}

/** RFC 4271 §6.2: what is wrong with the peer's OPEN, as the NOTIFICATION that it earns. */
export function checkOpen(
  identity: SpeakerIdentity,
  peer: PeerSettings,
  open: OpenMessage,
): { readonly notification: Notification; readonly problem: string } | undefined {
  const refuse = (subcode: number, problem: string, data: readonly number[] = []) => ({
    notification: { code: 2, subcode, data: Uint8Array.from(data) },
    problem,
  });
  if (peer.asn !== 0 && open.asn !== peer.asn) {
    return refuse(2, `the peer says it is AS ${open.asn}, AS ${peer.asn} is configured`);
  }
  if (open.routerId === 0) return refuse(3, 'the peer says router id 0.0.0.0');
  // RFC 6286: unique within an AS only.
  if (open.routerId === identity.routerId && open.asn === localAsnFor(identity, peer)) {
    return refuse(3, 'the peer has the same router id as this node');
  }
  if (open.holdTimeSec === 1 || open.holdTimeSec === 2) {
    return refuse(6, `the peer wants a hold time of ${open.holdTimeSec} s; 0 or at least 3 is allowed`);
  }
  if (commonFamilies(peer, open).length === 0) {
    // RFC 5492 §5: the data lists the capabilities that we miss. Code 1 is multiprotocol: AFI, reserved, SAFI.
    const wanted = peer.families.flatMap((family) => [1, 4, 0, family === 'ipv4-unicast' ? 1 : 2, 0, 1]);
    return refuse(7, `no address family in common: we want ${peer.families.join(' and ')}`, wanted);
  }
  return undefined;
}

function commonFamilies(peer: PeerSettings, open: OpenMessage): readonly AddressFamily[] {
  const theirs = open.capabilities.families.length > 0 ? open.capabilities.families : ['ipv4-unicast'];
  return peer.families.filter((family) => theirs.includes(family));
}

/** What holds between us and the peer, given its OPEN that checkOpen() let pass. */
export function negotiate(identity: SpeakerIdentity, peer: PeerSettings, remote: OpenMessage): Negotiated {
  const local = openFor(identity, peer);
  const [ours, theirs] = [local.capabilities, remote.capabilities];
  const families = commonFamilies(peer, remote);
  const holdTimeSec = Math.min(local.holdTimeSec, remote.holdTimeSec);
  const third = Math.max(1, Math.floor(holdTimeSec / 3));
  const wanted = peer.keepaliveTimeSec === 0 ? third : Math.min(peer.keepaliveTimeSec, third);
  const addPath = (sender: Capabilities, receiver: Capabilities): readonly AddressFamily[] =>
    families.filter(
      (family) =>
        sender.addPath.some((entry) => entry.family === family && entry.send) &&
        receiver.addPath.some((entry) => entry.family === family && entry.receive),
    );
  return {
    peerAsn: remote.asn,
    peerRouterId: remote.routerId,
    localAsn: local.asn,
    internal: remote.asn === local.asn,
    families,
    holdTimeSec,
    keepaliveTimeSec: holdTimeSec === 0 ? 0 : wanted,
    fourOctetAsn: theirs.fourOctetAsn,
    routeRefresh: theirs.routeRefresh,
    enhancedRouteRefresh: theirs.enhancedRouteRefresh,
    extendedMessages: theirs.extendedMessages,
    addPathSend: addPath(ours, theirs),
    addPathReceive: addPath(theirs, ours),
    extendedNextHop: ours.extendedNextHop.filter((family) => theirs.extendedNextHop.includes(family)),
    gracefulRestart: ours.gracefulRestart ? theirs.gracefulRestart : undefined,
    longLived: theirs.longLived,
  };
}
