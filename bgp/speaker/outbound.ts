// A peer's routes on their way out, for the length of a session: the update groups that it is in, one for each family, and the
// ends of RIBs that wait for the end of our own restart.

import type { UpdateGroup } from '../rib/update-group.ts';
import type { UpdateWriter } from '../rib/update-writer.ts';
import type { Negotiated } from '../session-types.ts';
import type { AddressFamily, PeerSettings } from '../settings.ts';
import { encodeMessage } from '../wire/codec.ts';
import { toWireFamily } from '../wire/message.ts';
import type { Line } from './line.ts';
import type { PeerHost } from './peer-host.ts';
import { treatmentFor } from './treatment-for.ts';

export interface OutboundOptions {
  readonly host: PeerHost;
  /** The peer's number among the route sources. */
  readonly source: number;
  readonly line: Line;
  readonly negotiated: Negotiated;
}

export class Outbound {
  readonly groups = new Map<AddressFamily, UpdateGroup>();
  readonly #host: PeerHost;
  readonly #source: number;
  readonly #line: Line;
  readonly #negotiated: Negotiated;
  readonly #heldEndOfRib = new Set<AddressFamily>();

  constructor({ host, source, line, negotiated }: OutboundOptions) {
    this.#host = host;
    this.#source = source;
    this.#line = line;
    this.#negotiated = negotiated;
  }

  /** Begins to send all that the peer is to have. */
  join(peer: PeerSettings): void {
    for (const family of this.#negotiated.families) {
      const onDone = (writer: UpdateWriter): void => this.#endOfRib(family, writer);
      this.groups.set(family, this.#host.rib.join(this.#source, this.#line, this.#treatment(family, peer), onDone));
    }
  }

  /** The treatment changed: joins the groups that fit now. */
  regroup(peer: PeerSettings): void {
    for (const [family, group] of this.groups) {
      const moved = this.#host.rib.move(this.#source, group, this.#line, this.#treatment(family, peer));
      this.groups.set(family, moved);
    }
  }

  #treatment(family: AddressFamily, peer: PeerSettings) {
    const { settings, draining } = this.#host;
    const { connection } = this.#line;
    return treatmentFor(family, { settings, draining, peer, negotiated: this.#negotiated, connection });
  }

  /** Initial routes are out. While this speaker restarts, its promise of completeness has to wait (RFC 4724 §4.1). */
  #endOfRib(family: AddressFamily, writer: UpdateWriter): void {
    if (this.#host.restarting) this.#heldEndOfRib.add(family);
    else writer.endOfRib(family);
  }

  /** The restart is over: everything that we have is what we say. */
  releaseEndOfRib(): void {
    for (const family of this.#heldEndOfRib) {
      this.groups.get(family)?.finish(this.#source, (writer) => writer.endOfRib(family));
    }
    this.#heldEndOfRib.clear();
  }

  /** RFC 2918 §4: the peer asks for everything again. */
  sendAgain(family: AddressFamily): void {
    const group = this.groups.get(family);
    const member = group?.members.get(this.#source);
    if (!group || !member) return;
    // No beginning of a refresh before End-of-RIB (RFC 7313 §4), which has to wait while this speaker restarts.
    const isMarked = this.#negotiated.enhancedRouteRefresh && !this.#heldEndOfRib.has(family);
    const mark = (subtype: number) => (writer: UpdateWriter) => {
      if (!isMarked) return;
      writer.raw(encodeMessage({ kind: 'route-refresh', ...toWireFamily(family), subtype }));
    };
    group.refresh(member, { begin: mark(1), end: mark(2) });
  }

  /** The connection has taken what was written. */
  pump(): void {
    for (const group of this.groups.values()) {
      const member = group.members.get(this.#source);
      if (member) group.pump(member);
    }
  }

  /** UPDATEs sent. */
  get updates(): number {
    let updates = 0;
    for (const group of this.groups.values()) updates += group.members.get(this.#source)?.updates ?? 0;
    return updates;
  }

  leave(): void {
    for (const group of this.groups.values()) this.#host.rib.leave(this.#source, group);
  }
}
