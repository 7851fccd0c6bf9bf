// An update group that announces the best path of each prefix: Adj-RIB-Out is one attribute set per prefix.

import { CatchUp } from './catch-up.ts';
import { grow32, IdList } from './columns.ts';
import { Buckets, type Member, UpdateGroup } from './update-group.ts';

export class BestPathGroup extends UpdateGroup {
  /** By prefix: the attribute set that was announced; 0: nothing. */
  #adjOut: Uint32Array = new Uint32Array(1024);

  // One turn's work: prefixes by what is announced, by whose routes are withdrawn, and by who must be told in private.
  readonly #entries = new IdList();
  readonly #announcements = new Buckets();
  readonly #withdrawals = new Buckets();
  readonly #private = new Buckets();

  protected collect(changed: IdList, best: Uint32Array): number {
    const { exporter, treatment } = this;
    if (this.#adjOut.length < this.prefixes.end) this.#adjOut = grow32(this.#adjOut, this.prefixes.end);
    const adjOut = this.#adjOut;
    const { ids, length } = changed;
    this.#entries.clear();
    for (let i = 0; i < length; i++) {
      const prefix = ids[i] ?? 0;
      const attributes = best[prefix] ?? 0;
      const after = attributes === 0 ? 0 : exporter.outgoing(attributes, prefix, treatment);
      const before = adjOut[prefix] ?? 0;
      if (before === after) continue;
      adjOut[prefix] = after;
      this.#note(prefix, before, after);
    }
    return this.#entries.length;
  }

  #note(prefix: number, before: number, after: number): void {
    this.#entries.push(prefix);
    const entry = this.#entries.length;
    this.recount(before, after);
    if (after === 0) {
      this.#withdrawals.put(this.exporter.sourceOf(before) + 1, entry);
      return;
    }
    this.#announcements.put(after, entry);
    if (before !== 0) this.#noteLosers(prefix, entry, before, after);
  }

  #noteLosers(prefix: number, entry: number, before: number, after: number): void {
    const source = this.sourceLoses(before, after);
    if (source !== -1) this.#private.put(source + 1, entry);
    const atNextHop = this.nextHopLoses(before, after);
    if (atNextHop === -1) return;
    // An entry is in one bucket only.
    this.#entries.push(prefix);
    this.#private.put(atNextHop + 1, this.#entries.length);
  }

  protected writeNoted(): void {
    const { writer } = this;
    this.#withdrawals.drain((owner, entry) => {
      this.#unchain(this.#withdrawals, entry);
      writer.address(owner - 1);
      this.withdraw(writer);
    });
    this.#private.drain((owner, entry) => {
      this.#unchain(this.#private, entry);
      writer.address(-1, owner - 1);
      this.withdraw(writer);
    });
    this.#announcements.drain((set, entry) => {
      this.#unchain(this.#announcements, entry);
      writer.address(this.exporter.sourceOf(set), -1, this.besides(set));
      this.announce(set);
    });
  }

  #unchain(buckets: Buckets, entry: number): void {
    this.ids.clear();
    for (let at = entry; at !== 0; at = buckets.before(at)) this.ids.push(this.#entries.ids[at - 1] ?? 0);
  }

  protected remember(behind: Set<number>): void {
    const { ids, length } = this.#entries;
    for (let i = 0; i < length; i++) behind.add(ids[i] ?? 0);
  }

  #announced = (prefix: number): number => this.#adjOut[prefix] ?? 0;

  protected catchUpWith(behind: ReadonlySet<number>, onDone: Member['onDone']): CatchUp {
    const prefixes = Uint32Array.from(behind);
    return new CatchUp({ prefixes, announced: this.#announced, withdraws: true, onDone });
  }

  protected catchUpAll(onDone: Member['onDone']): CatchUp {
    const adjOut = this.#adjOut;
    const prefixes = new Uint32Array(this.count);
    let count = 0;
    for (let prefix = 1; prefix < adjOut.length && count < prefixes.length; prefix++) {
      if (adjOut[prefix] !== 0) prefixes[count++] = prefix;
    }
    return new CatchUp({ prefixes, announced: this.#announced, withdraws: false, onDone });
  }

  hasAnnounced(prefix: number): boolean {
    return this.#announced(prefix) !== 0;
  }

  announcedOf(prefix: number, source: number): readonly number[] {
    const attributes = this.#announced(prefix);
    return this.isFor(attributes, source) ? [attributes] : [];
  }

  protected routesTo(source: number): Set<number> {
    const routes = new Set<number>();
    for (let prefix = 1; prefix < this.#adjOut.length; prefix++) {
      if (this.announcedOf(prefix, source).length > 0) routes.add(prefix);
    }
    return routes;
  }

  protected isAnnouncedTo(source: number, route: number): boolean {
    return this.announcedOf(route, source).length > 0;
  }

  protected routeNumber(prefix: number): number {
    return prefix;
  }

  protected markAnnounced(inUse: Uint8Array): void {
    const adjOut = this.#adjOut;
    for (let prefix = 0; prefix < adjOut.length; prefix++) inUse[adjOut[prefix] ?? 0] = 1;
  }
}
