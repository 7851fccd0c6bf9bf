// RFC 4271 §9.2.1.1, MinRouteAdvertisementInterval: to groups whose peers want it, changes go out together, at most once in an
// interval. The first after a quiet time goes at once. Off unless a peer's settings say so: what waits is late for everybody
// behind the peer too.
//
//   changed prefixes ─► hold() ─► set of prefixes, until the group's time ─► release() ─► UpdateGroup.update()

import { IdList } from './columns.ts';
import type { UpdateGroup } from './update-group.ts';

/** RFC 4271 §10: an interval is this long at least, of what was asked for, so that speakers do not fall into step. */
const LEAST_OF_INTERVAL = 0.75;

interface Pace {
  readonly held: Set<number>;
  /** Milliseconds; not before then. */
  nextAt: number;
}

export class Pacer {
  readonly #paces = new Map<UpdateGroup, Pace>();

  /** True while a prefix waits: its id must stay its own. */
  get isHolding(): boolean {
    for (const { held } of this.#paces.values()) if (held.size > 0) return true;
    return false;
  }

  /** When release() has something to do; Infinity: nothing waits. */
  get nextAt(): number {
    let earliest = Infinity;
    for (const { held, nextAt } of this.#paces.values()) if (held.size > 0) earliest = Math.min(earliest, nextAt);
    return earliest;
  }

  hold(group: UpdateGroup, { ids, length }: IdList): void {
    const pace = this.#paces.get(group) ?? { held: new Set(), nextAt: -Infinity };
    this.#paces.set(group, pace);
    for (let i = 0; i < length; i++) pace.held.add(ids[i] ?? 0);
  }

  /** Tells the groups whose time has come. `random`: 0 ≤ x < 1. */
  release(best: Uint32Array, now: number, random: () => number): void {
    for (const [group, pace] of this.#paces) {
      if (pace.held.size === 0 || pace.nextAt > now) continue;
      const changed = new IdList();
      for (const prefix of pace.held) changed.push(prefix);
      pace.held.clear();
      const share = LEAST_OF_INTERVAL + (1 - LEAST_OF_INTERVAL) * random();
      pace.nextAt = now + (group.treatment.advertisementIntervalMs ?? 0) * share;
      group.update(changed, best);
    }
  }

  forget(group: UpdateGroup): void {
    this.#paces.delete(group);
  }
}
