// Keeps the kernel's table equal to the Loc-RIB: notes which prefixes were decided anew, and writes in batches, one at a
// time, whatever has come together meanwhile. Next hops are resolved here too, as the kernel would reach them.
//
// What a predecessor of this process left in the table stays until the speaker knows better: sweep() removes what no
// route stands for, once all peers have sent what they have.

import { type Address, formatAddress } from '../../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix, prefixCovers } from '../../net/prefix.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Fib, FibFailure, FibNextHop, FibRoute } from '../edges.ts';
import { grow32, type IdList } from '../rib/columns.ts';
import { chooseSeveral } from '../rib/decision.ts';
import type { FamilyRib } from '../rib/family-rib.ts';
import { findPrefix } from '../rib/prefixes.ts';
import { families, type Rib } from '../rib/rib.ts';
import type { AddressFamily, FibSettings } from '../settings.ts';

/** How many prefixes one batch takes at most, so that others get their turn. */
const BATCH = 16384;

interface FamilyState {
  readonly rib: FamilyRib;
  /** By prefix: number of the form its route has in the kernel; 0: none. */
  installed: Uint32Array;
  readonly dirty: Set<number>;
}

export class FibSync {
  readonly #fib: Fib;
  readonly #rib: Rib;
  readonly #log: Logger;
  readonly #maxPaths: number;
  readonly #settings: FibSettings;
  readonly #states: ReadonlyMap<AddressFamily, FamilyState>;
  /** Forms of routes ("via 10.0.0.1 dev 3") as numbers from 1. */
  readonly #forms = new Map<string, number>();
  /** Routes of the predecessor that nothing stands for yet, by prefix text. */
  readonly #inherited = new Map<string, FibRoute>();
  readonly #failures = new Map<string, FibFailure>();
  #running = false;
  #closed = false;
  #count = 0;
  #idle: (() => void)[] = [];

  constructor(fib: Fib, rib: Rib, settings: FibSettings, maxPaths: number, log: Logger) {
    this.#fib = fib;
    this.#rib = rib;
    this.#settings = settings;
    this.#maxPaths = maxPaths;
    this.#log = log;
    this.#states = new Map(
      families.map((family) => [family, { rib: rib.family(family), installed: new Uint32Array(64), dirty: new Set() }]),
    );
  }

  /** Reads what is there, then follows the RIB. */
  async start(): Promise<void> {
    for (const route of await this.#fib.dump()) this.#inherited.set(formatPrefix(route.prefix), route);
    const { nextHops } = this.#rib.store;
    nextHops.onNew = (index, { address }) => this.#resolve(index, address);
    for (let index = 1; index < nextHops.end; index++) this.#resolve(index, nextHops.get(index).address);
    this.#fib.onChange(() => this.#onChange());
    this.#fib.onLost?.((prefixes) => this.#onLost(prefixes));
    for (const state of this.#states.values()) {
      state.rib.onDecided = (changed) => this.#note(state, changed);
      state.rib.holds = (prefix) => state.dirty.has(prefix) || (state.installed[prefix] ?? 0) !== 0;
      state.rib.touchAll();
    }
    this.#log.info({ inherited: this.#inherited.size }, 'kernel routes read');
  }

  get routeCount(): number {
    return this.#count;
  }

  get failures(): readonly FibFailure[] {
    return [...this.#failures.values()];
  }

  /** How many of the predecessor's routes are still there without anybody standing for them. */
  get inheritedCount(): number {
    return this.#inherited.size;
  }

  /** Removes the predecessor's routes that nothing stands for. */
  async sweep(): Promise<void> {
    await this.settled();
    const gone = [...this.#inherited.values()].map((route) => route.prefix);
    this.#inherited.clear();
    if (gone.length === 0 || this.#closed) return;
    this.#log.info({ routes: gone.length }, 'kernel routes of the last run removed');
    await this.#fib.apply([], gone);
  }

  /** Resolves when the kernel has what the Loc-RIB says now. */
  settled(): Promise<void> {
    if (!this.#running && !this.#hasDirty) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  close(): void {
    this.#closed = true;
    for (const state of this.#states.values()) {
      state.rib.onDecided = undefined;
      state.rib.holds = () => false;
    }
    this.#fib.close();
  }

  /** What the kernel was told about a prefix, for people. */
  describe(family: AddressFamily, prefix: number, text: string): string {
    const failure = this.#failures.get(text);
    if (failure) return `refused by the kernel: ${failure.error}`;
    const state = this.#states.get(family);
    if (!state || (state.installed[prefix] ?? 0) === 0) return 'not in the kernel';
    const form = [...this.#forms].find(([, number]) => number === state.installed[prefix])?.[0];
    return form ?? 'installed';
  }

  get #hasDirty(): boolean {
    for (const state of this.#states.values()) if (state.dirty.size > 0) return true;
    return false;
  }

  /** RFC 4271 §9.1.2.1: a route is usable only when its next hop can be reached. */
  #resolve(index: number, address: Address): boolean {
    const { nextHops } = this.#rib.store;
    const usable = this.#fib.resolve(address) ? 1 : 0;
    const changed = nextHops.usable[index] !== usable;
    nextHops.usable[index] = usable;
    return changed;
  }

  /** Links or foreign routes changed: decide anew wherever a next hop is reached differently. */
  #onChange(): void {
    if (this.#closed) return;
    const { nextHops, nextHop } = this.#rib.store;
    for (let index = 1; index < nextHops.end; index++) this.#resolve(index, nextHops.get(index).address);
    for (const { rib } of this.#states.values()) {
      const { paths } = rib;
      for (let prefix = 1; prefix < rib.prefixes.end; prefix++) {
        for (let path = paths.heads[prefix] ?? 0; path !== 0; path = paths.next[path] ?? 0) {
          if ((nextHop[paths.attributes[path] ?? 0] ?? 0) === 0) continue;
          rib.touch(prefix);
          break;
        }
      }
    }
    this.onWork();
  }

  /** What the kernel has lost is to be written again. */
  #onLost(prefixes: readonly Prefix[]): void {
    if (this.#closed) return;
    this.#log.info({ routes: prefixes.length }, 'kernel routes were removed by somebody else');
    for (const prefix of prefixes) {
      const state = this.#states.get(familyOfPrefix(prefix) === 4 ? 'ipv4-unicast' : 'ipv6-unicast');
      const id = state ? findPrefix(state.rib.prefixes, prefix) : 0;
      if (!state || (state.installed[id] ?? 0) === 0) continue;
      state.installed[id] = 0;
      this.#count--;
      state.dirty.add(id);
    }
    void this.#run();
  }

  /** The RIB has something to flush. Set by the speaker. */
  onWork: () => void = () => {};

  #note(state: FamilyState, changed: IdList): void {
    for (let i = 0; i < changed.length; i++) state.dirty.add(changed.ids[i] ?? 0);
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      // Let the whole turn's changes come together.
      await Promise.resolve();
      while (this.#hasDirty && !this.#closed) for (const state of this.#states.values()) await this.#batch(state);
    } catch (error) {
      this.#log.error({ error: String(error) }, 'kernel routes could not be written');
    }
    this.#running = false;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  async #batch(state: FamilyState): Promise<void> {
    const replace: FibRoute[] = [];
    const remove: Prefix[] = [];
    state.installed = grow32(state.installed, state.rib.prefixes.end);
    let taken = 0;
    for (const prefix of state.dirty) {
      if (taken++ === BATCH) break;
      state.dirty.delete(prefix);
      this.#plan(state, prefix, replace, remove);
    }
    if (replace.length === 0 && remove.length === 0) return;
    for (const prefix of remove) this.#failures.delete(formatPrefix(prefix));
    for (const { prefix } of replace) this.#failures.delete(formatPrefix(prefix));
    for (const failure of await this.#fib.apply(replace, remove)) {
      this.#failures.set(formatPrefix(failure.prefix), failure);
      this.#log.warn({ prefix: formatPrefix(failure.prefix), error: failure.error }, 'kernel refused a route');
    }
  }

  #plan(state: FamilyState, prefix: number, replace: FibRoute[], remove: Prefix[]): void {
    const route = this.#wanted(state, prefix);
    const before = state.installed[prefix] ?? 0;
    if (!route) {
      if (before === 0) return;
      state.installed[prefix] = 0;
      this.#count--;
      remove.push(state.rib.prefixes.prefixOf(prefix));
      return;
    }
    const text = formOf(route);
    const form = this.#forms.get(text) ?? this.#newForm(text);
    if (before === form) return;
    state.installed[prefix] = form;
    if (before === 0) this.#count++;
    if (before === 0 && this.#isInherited(route, text)) return;
    replace.push(route);
  }

  /** True when the predecessor left exactly this route: nothing has to be written. */
  #isInherited(route: FibRoute, text: string): boolean {
    const key = formatPrefix(route.prefix);
    const inherited = this.#inherited.get(key);
    this.#inherited.delete(key);
    return inherited !== undefined && formOf(inherited) === text;
  }

  #newForm(text: string): number {
    const form = this.#forms.size + 1;
    this.#forms.set(text, form);
    return form;
  }

  #wanted(state: FamilyState, id: number): FibRoute | undefined {
    const { rib } = state;
    if ((rib.best[id] ?? 0) === 0) return undefined;
    const prefix = rib.prefixes.prefixOf(id);
    const { only, except = [] } = this.#settings;
    if (except.some((outer) => prefixCovers(outer, prefix))) return undefined;
    if (only.length > 0 && !only.some((outer) => prefixCovers(outer, prefix))) return undefined;
    const paths = chooseSeveral(id, rib, this.#maxPaths);
    const [best] = paths;
    if (best === undefined) return undefined;
    if (rib.sources.get(rib.paths.sourceOf(best)).local) {
      const own = this.#rib.originatedRoute(rib.family, id);
      return own?.blackhole ? { kind: 'blackhole', prefix } : undefined;
    }
    const nextHops = paths.flatMap((path) => this.#nextHopOf(rib, path));
    return nextHops.length === 0 ? undefined : { kind: 'unicast', prefix, nextHops: distinct(nextHops) };
  }

  #nextHopOf(rib: FamilyRib, path: number): FibNextHop[] {
    const { store } = rib;
    const { address, linkLocal } = store.nextHops.get(store.nextHop[rib.paths.attributes[path] ?? 0] ?? 0);
    const reached = this.#fib.resolve(address);
    if (!reached) return [];
    const gateway = reached.gateway ?? linkLocal ?? address;
    return [{ gateway, interfaceIndex: reached.interfaceIndex }];
  }
}

const hopText = ({ gateway, interfaceIndex }: FibNextHop): string =>
  `via ${gateway === undefined ? 'link' : formatAddress(gateway)}${interfaceIndex === undefined ? '' : ` dev ${interfaceIndex}`}`;

const formOf = (route: FibRoute): string =>
  route.kind === 'blackhole' ? 'blackhole' : route.nextHops.map(hopText).sort().join(', ');

function distinct(nextHops: readonly FibNextHop[]): FibNextHop[] {
  return [...new Map(nextHops.map((hop) => [hopText(hop), hop])).values()];
}
