// What we offer a peer in OPEN: RFC 5492 and the RFCs of each capability.

import type { PeerSettings, SpeakerSettings } from '../settings.ts';
import type { Capability } from '../wire/message.ts';
import { toWireFamily } from '../wire/message.ts';

/** @param restarting - RFC 4724 R bit: we are back from a restart, and wait for the routes of others. */
export function capabilitiesFor(ours: SpeakerSettings, peer: PeerSettings, restarting: boolean): Capability[] {
  const families = peer.families.map(toWireFamily);
  const list: Capability[] = families.map((family) => ({ kind: 'multiprotocol', ...family }));
  list.push({ kind: 'route-refresh' }, { kind: 'enhanced-route-refresh' }, { kind: 'extended-message' });
  list.push({ kind: 'four-octet-as', asn: peer.localAs?.asn ?? ours.asn });
  if (peer.families.includes('ipv4-unicast')) {
    list.push({ kind: 'extended-next-hop', families: [{ afi: 1, safi: 1, nextHopAfi: 2 }] });
  }
  if (ours.gracefulRestart && peer.gracefulRestart) {
    const restartTimeSec = peer.restartTimeSec ?? ours.gracefulRestart.restartTimeSec;
    // The FIB outlives us, by design: routes stay in the kernel when the process dies. So the F bits are always set.
    const kept = families.map((family) => ({ ...family, forwarding: true }));
    list.push({ kind: 'graceful-restart', restarting, notification: true, restartTimeSec, families: kept });
    const { longLivedStaleSec: staleTimeSec } = peer;
    if (staleTimeSec !== undefined) {
      const lasting = families.map((family) => ({ ...family, forwarding: true, staleTimeSec }));
      list.push({ kind: 'long-lived-graceful-restart', families: lasting });
    }
  }
  if (peer.addPathSend || peer.addPathReceive) {
    const both = families.map((family) => ({ ...family, send: peer.addPathSend, receive: peer.addPathReceive }));
    list.push({ kind: 'add-path', families: both });
  }
  return list;
}
