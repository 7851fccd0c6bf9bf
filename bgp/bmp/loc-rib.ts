// This speaker as a peer of its own, whose routes are the best ones: RFC 9069. Monitoring stations that ask for it hear what was
// chosen, after policy, beside what peers said.
//
//     FamilyRib.flush() ─► changed prefixes ─► UPDATEs of what is best now ─► stations

import type { IdList } from '../rib/columns.ts';
import { families, type Rib } from '../rib/rib.ts';
import type { SpeakerSettings } from '../settings.ts';
import { encodeMessage } from '../wire/codec.ts';
import { toWireFamily } from '../wire/message.ts';
import { encodeUpdate, endOfRib } from '../wire/update.ts';
import { type BmpMessage, type BmpPeer, updatePdu } from './messages.ts';
import { locRibChanges, locRibUpdates } from './table.ts';

export interface LocRibSource {
  readonly rib: Rib;
  readonly settings: Pick<SpeakerSettings, 'asn' | 'routerId'>;
}

export class LocRibMonitor {
  readonly #rib: Rib;
  readonly #peer: BmpPeer;

  /** `tell` hears of all changes from now on, until close(). */
  constructor({ rib, settings }: LocRibSource, tell: (message: BmpMessage) => void) {
    this.#rib = rib;
    this.#peer = { address: undefined, asn: settings.asn, routerId: settings.routerId };
    for (const family of families) {
      const familyRib = rib.family(family);
      familyRib.onMonitored = ({ ids, length }: IdList) => {
        for (const body of locRibChanges(familyRib, ids.subarray(0, length))) tell(this.#routes(body));
      };
    }
  }

  /** Whether this is still the table of that speaker. */
  isOf({ rib, settings }: LocRibSource): boolean {
    return rib === this.#rib && settings.asn === this.#peer.asn && settings.routerId === this.#peer.routerId;
  }

  get up(): BmpMessage {
    const { asn, routerId } = this.#peer;
    const capabilities = [
      ...families.map((family) => ({ kind: 'multiprotocol', ...toWireFamily(family) }) as const),
      { kind: 'four-octet-as', asn } as const,
    ];
    const open = encodeMessage({ kind: 'open', version: 4, asn, holdTimeSec: 0, routerId, capabilities });
    // A copy: the encoder's buffer is used again.
    return { kind: 'loc-rib-up', peer: this.#peer, open: open.slice() };
  }

  get down(): BmpMessage {
    return { kind: 'peer-down', peer: this.#peer, reason: { kind: 'table-closed' } };
  }

  get statistics(): BmpMessage {
    const routes = families.reduce((sum, family) => sum + this.#rib.family(family).count, 0);
    return { kind: 'loc-rib-statistics', peer: this.#peer, routes };
  }

  /** All that there is, slice by slice, and that it was all. */
  *table(): Generator<readonly BmpMessage[]> {
    for (const bodies of locRibUpdates(this.#rib)) yield bodies.map((body) => this.#routes(body));
    yield families.map((family) => this.#routes(encodeUpdate(endOfRib(family))));
  }

  close(): void {
    for (const family of families) this.#rib.family(family).onMonitored = undefined;
  }

  #routes(body: Uint8Array): BmpMessage {
    return { kind: 'route-monitoring', peer: this.#peer, update: updatePdu(body), twoOctetAs: false };
  }
}
