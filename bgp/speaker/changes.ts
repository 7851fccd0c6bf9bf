// What a change of settings is about: who we are, what is said in OPEN, how received routes are judged. The speaker does no more
// than that needs.

import type { Ipv4 } from '../../net/address.ts';
import type { PeerSettings, SpeakerSettings } from '../settings.ts';
import type { Peer } from './peer.ts';

export const plainJson = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value);

export const isSame = (a: unknown, b: unknown): boolean =>
  JSON.stringify(a, plainJson) === JSON.stringify(b, plainJson);

export const hasSameIdentity = (a: SpeakerSettings, b: SpeakerSettings): boolean => {
  const clusterId = (settings: SpeakerSettings): Ipv4 => settings.clusterId ?? settings.routerId;
  return a.routerId === b.routerId && a.asn === b.asn && clusterId(a) === clusterId(b);
};

/** What of the speaker's settings is said in OPEN. */
export const sessionPart = ({ gracefulRestart }: SpeakerSettings) => ({ gracefulRestart });

/**
 * Families change with a new session only. One more is not worth the routes of a peer that drops them meanwhile and may not
 * take the family anyway: such a peer is asked when a session begins for another reason.
 */
export function changesFamilies({ negotiated }: Peer, was: PeerSettings, next: PeerSettings): boolean {
  if (isSame(was.families, next.families)) return false;
  const isGentle = negotiated?.gracefulRestart?.notification ?? true;
  return isGentle || was.families.some((family) => !next.families.includes(family));
}

/**
 * What can not change while a session is up: what was said in OPEN, and what the connection is. Passwords can, since the
 * transport changes keys of live connections. Who connects, and how often keepalives go, counts from the next session on.
 */
export function openPart(peer: PeerSettings) {
  const {
    importFilter: _importFilter,
    exportFilter: _exportFilter,
    password: _password,
    nextHop: _nextHop,
    ownIpv4Address: _ownIpv4Address,
    ownIpv6Address: _ownIpv6Address,
    fallbackFor: _fallbackFor,
    families: _families,
    maxPrefixes: _maxPrefixes,
    connectRetrySec: _connectRetrySec,
    delayOpenSec: _delayOpenSec,
    advertisementIntervalSec: _advertisementIntervalSec,
    keepaliveTimeSec: _keepaliveTimeSec,
    passive: _passive,
    bfd: _bfd,
    allowedOwnAsns: _allowedOwnAsns,
    routeReflectorClient: _routeReflectorClient,
    maxRestartTimeSec: _maxRestartTimeSec,
    ...rest
  } = peer;
  return rest;
}

/** What says how routes that were received are judged. */
export const importPart = ({ importFilter, allowedOwnAsns, routeReflectorClient }: PeerSettings) => {
  return { importFilter, allowedOwnAsns, routeReflectorClient };
};
