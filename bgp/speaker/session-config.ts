// What a peer's state machine is told of both ends.

import type { SessionConfig } from '../session-types.ts';
import type { PeerSettings } from '../settings.ts';
import { capabilitiesFor } from './capabilities.ts';
import type { PeerMode } from './peer.ts';
import type { PeerHost } from './peer-host.ts';

export function sessionConfigFor(
  peer: PeerSettings,
  mode: PeerMode,
  { settings, restarting }: Pick<PeerHost, 'settings' | 'restarting'>,
): SessionConfig {
  const { localAs, asn } = peer;
  return {
    localAsn: localAs?.asn ?? settings.asn,
    ...(localAs?.dualAs ? { otherAsn: settings.asn } : {}),
    routerId: settings.routerId,
    peerAsn: asn === 0 ? undefined : asn,
    peer: mode === 'listens' ? { ...peer, passive: true } : peer,
    capabilities: capabilitiesFor(settings, peer, restarting),
  };
}
