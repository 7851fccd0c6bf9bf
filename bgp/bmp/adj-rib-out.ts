// What one peer is sent, for monitoring stations: RFC 8671.
//
//     after policy    what is written to the peer's connection ─► its UPDATEs, as they are
//     before policy   an update group that treats routes as the peer's own does, but for the export filter ─► UPDATEs
//
// So a station can compare the two and sees what the filter did. The second group exists only while a station wants it.

import type { MonitoredPeer } from '../edges.ts';
import { acceptEverything } from '../rib/policy.ts';
import type { Rib } from '../rib/rib.ts';
import type { Treatment } from '../rib/treatment.ts';
import type { UpdateGroup } from '../rib/update-group.ts';
import type { AddressFamily, AdjRibOutView } from '../settings.ts';
import { HEADER_LENGTH, MessageType } from '../wire/message.ts';
import { encodeUpdate, endOfRib } from '../wire/update.ts';
import { type BmpMessage, updatePdu } from './messages.ts';

export class AdjRibOut {
  readonly #rib: Rib;
  readonly #peer: MonitoredPeer;
  readonly #tell: (view: AdjRibOutView, message: BmpMessage) => void;
  readonly #unfiltered = new Map<AddressFamily, UpdateGroup>();
  #views: ReadonlySet<AdjRibOutView> = new Set();

  /** `tell` hears of what is sent while it is watched. */
  constructor(rib: Rib, peer: MonitoredPeer, tell: (view: AdjRibOutView, message: BmpMessage) => void) {
    this.#rib = rib;
    this.#peer = peer;
    this.#tell = tell;
  }

  watch(views: ReadonlySet<AdjRibOutView>): void {
    this.#views = views;
    this.#peer.out.tap(views.has('post-policy') ? (bytes) => this.#hear('post-policy', bytes) : undefined);
    if (views.has('pre-policy')) {
      this.regroup();
      return;
    }
    for (const group of this.#unfiltered.values()) this.#rib.leave(this.#peer.source, group);
    this.#unfiltered.clear();
  }

  /** The peer has joined its groups, or others: true when a view begins with that, of which nobody has heard yet. */
  regroup(): boolean {
    if (!this.#views.has('pre-policy')) return false;
    const isNew = this.#unfiltered.size === 0;
    const outlet = { queuedBytes: 0, write: (bytes: Uint8Array) => this.#hear('pre-policy', bytes) };
    for (const { family, treatment } of this.#peer.out.groups()) {
      const before = this.#unfiltered.get(family);
      const wanted = withoutFilter(treatment);
      const group = before
        ? this.#rib.move(this.#peer.source, before, outlet, wanted)
        : this.#rib.follow(this.#peer.source, outlet, wanted);
      this.#unfiltered.set(family, group);
    }
    return isNew;
  }

  /** All that is announced, slice by slice, and that it was all. */
  *table(view: AdjRibOutView): Generator<readonly BmpMessage[]> {
    for (const group of this.#groups(view)) {
      for (const chunks of group.snapshot(this.#peer.source)) {
        yield chunks.flatMap((bytes) => updatesIn(bytes).map((update) => this.#message(view, update)));
      }
      yield [this.#message(view, updatePdu(encodeUpdate(endOfRib(group.family))))];
    }
  }

  countOf(view: AdjRibOutView): number {
    return this.#groups(view).reduce((sum, group) => sum + group.countFor(this.#peer.source), 0);
  }

  close(): void {
    this.watch(new Set());
  }

  #groups(view: AdjRibOutView): UpdateGroup[] {
    return view === 'pre-policy' ? [...this.#unfiltered.values()] : [...this.#peer.out.groups()];
  }

  #hear(view: AdjRibOutView, bytes: Uint8Array): void {
    for (const update of updatesIn(bytes)) this.#tell(view, this.#message(view, update));
  }

  #message(out: AdjRibOutView, update: Uint8Array): BmpMessage {
    const { about, twoOctetAs } = this.#peer;
    return { kind: 'route-monitoring', peer: about, update, twoOctetAs, out };
  }
}

/** No peer's own: those have the text of a filter. */
const withoutFilter = (treatment: Treatment): Treatment => ({
  ...treatment,
  filter: acceptEverything,
  filterKey: 'before policy',
});

/** The UPDATEs among whole messages, back to back. */
function updatesIn(bytes: Uint8Array): Uint8Array[] {
  const updates: Uint8Array[] = [];
  for (let at = 0; at + HEADER_LENGTH <= bytes.length; ) {
    const length = ((bytes[at + 16] ?? 0) << 8) | (bytes[at + 17] ?? 0);
    if (bytes[at + 18] === MessageType.update) updates.push(bytes.subarray(at, at + length));
    at += length;
  }
  return updates;
}
