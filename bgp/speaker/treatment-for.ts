// How a peer's routes go out, from its settings and what its session negotiated.

import type { Address } from '../../net/address.ts';
import type { Connection } from '../edges.ts';
import { compileFilter } from '../filter.ts';
import { ownNextHopBytes } from '../rib/rib.ts';
import type { Treatment } from '../rib/treatment.ts';
import type { Negotiated } from '../session-types.ts';
import type { AddressFamily, PeerSettings, SpeakerSettings } from '../settings.ts';
import { MAX_EXTENDED_MESSAGE_LENGTH, MAX_MESSAGE_LENGTH } from '../wire/message.ts';

export interface TreatmentInput {
  readonly settings: SpeakerSettings;
  readonly draining: boolean;
  readonly peer: PeerSettings;
  readonly negotiated: Negotiated;
  readonly connection: Pick<Connection, 'localAddress'>;
}

export function treatmentFor(family: AddressFamily, input: TreatmentInput): Treatment {
  const { settings, draining, peer, negotiated, connection } = input;
  const external = negotiated.peerAsn !== negotiated.localAsn;
  return {
    family,
    external,
    client: peer.routeReflectorClient,
    localAsn: negotiated.localAsn,
    ...asnBehind(peer, negotiated, settings),
    clusterId: settings.clusterId ?? settings.routerId,
    nextHop: peer.nextHop,
    ownNextHop: ownNextHopBytes([ownNextHop(family, connection.localAddress, peer, negotiated)]),
    extendedNextHop: negotiated.extendedNextHop,
    fourOctetAs: negotiated.fourOctetAs,
    addPath: negotiated.addPathSend.includes(family),
    maxMessageLength: negotiated.extendedMessage ? MAX_EXTENDED_MESSAGE_LENGTH : MAX_MESSAGE_LENGTH,
    longLived: negotiated.longLivedStaleSec.has(family),
    draining,
    ...(peer.advertisementIntervalSec ? { advertisementIntervalMs: peer.advertisementIntervalSec * 1000 } : {}),
    filter: compileFilter(peer.exportFilter, external ? 'ebgp' : 'ibgp'),
    filterKey: JSON.stringify(peer.exportFilter, (_key, value: unknown) =>
      typeof value === 'bigint' ? `${value}n` : value,
    ),
  };
}

function asnBehind({ localAs }: PeerSettings, { localAsn }: Negotiated, { asn }: SpeakerSettings) {
  return localAs && !localAs.replaceAs && localAsn !== asn ? { asnBehind: asn } : {};
}

/**
 * Our address for next hop self. Where the session runs over the other family: for IPv4 routes the IPv6 address if the peer
 * takes it (RFC 8950), for IPv6 routes without an IPv6 address the IPv4-mapped form of ours (RFC 4798 §2).
 */
function ownNextHop(
  family: AddressFamily,
  localAddress: Address,
  { ownIpv4Address, ownIpv6Address }: PeerSettings,
  { extendedNextHop }: Negotiated,
): Address {
  if (family === 'ipv4-unicast') {
    const isForeign = typeof localAddress === 'bigint' && !extendedNextHop;
    return isForeign ? (ownIpv4Address ?? localAddress) : localAddress;
  }
  if (typeof localAddress === 'bigint') return localAddress;
  return ownIpv6Address ?? 0xffff00000000n + BigInt(localAddress);
}
