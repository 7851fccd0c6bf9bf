// Keeps the kernel's table equal to the Loc-RIB and the static routes: notes which prefixes were decided anew, and writes
// in batches, one at a time, whatever has come together meanwhile.
//
//     RIB ──decided──► note() ─┬─► dirty ──► batch() ──► fib.apply()
//                              └─► NextHopResolver ──next hops reached differently──► usable, touch() ──► RIB
//     fib.onChange ──────────────────────▲
//
// What a predecessor of this process left in the table stays until the speaker knows better: sweep() removes what no
// route stands for, once all peers have sent what they have.

import { type Address, formatAddress } from '../../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Clock, Fib, FibFailure, FibRoute } from '../edges.ts';
import { grow32, type IdList } from '../rib/columns.ts';
import { chooseSeveral } from '../rib/decision.ts';
import { findPrefix, internPrefix } from '../rib/prefixes.ts';
import { families, type Rib } from '../rib/rib.ts';
import type { AddressFamily, FibSettings, StaticRoute } from '../settings.ts';
import { describeThrough, maxDepth, NextHopResolver } from './next-hop-resolver.ts';
import { type FamilyRoutes, formOf, nextHopAt, WantedRoutes } from './wanted-routes.ts';

/** How many prefixes one batch takes at most, so that others get their turn: planning them takes some 50 ms. */
const BATCH = 4096;
/** What the kernel refused for a moment's reason, as a link that just went, is tried again. */
const retryMs = 5000;

interface FamilyState extends FamilyRoutes {
  /** By prefix: number of the form its route has in the kernel; 0: none. */
  installed: Uint32Array;
  readonly dirty: Set<number>;
  statics: ReadonlyMap<number, StaticRoute>;
}

export interface FibSyncOptions {
  readonly fib: Fib;
  readonly rib: Rib;
  readonly settings: FibSettings;
  readonly maxPaths: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class FibSync {
  readonly #fib: Fib;
  readonly #rib: Rib;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #maxPaths: number;
  readonly #states: ReadonlyMap<AddressFamily, FamilyState>;
  readonly #resolver: NextHopResolver;
  readonly #wanted: WantedRoutes;
  /** The RIB's numbers for a next hop: several when it came with different link-local addresses. */
  readonly #indexes = new Map<Address, number[]>();
  /** Forms of routes ("via 10.0.0.1 dev 3") as numbers from 1. */
  readonly #forms = new Map<string, number>();
  /** Routes of the predecessor that nothing stands for yet, by prefix text. */
  readonly #inherited = new Map<string, FibRoute>();
  readonly #failures = new Map<string, FibFailure>();
  #running = false;
  #started = false;
  #closed = false;
  #count = 0;
  #idle: (() => void)[] = [];
  #disarmRetry: (() => void) | undefined;
  #disarmRelease: (() => void) | undefined;

  constructor({ fib, rib, settings, maxPaths, clock, log }: FibSyncOptions) {
    this.#fib = fib;
    this.#rib = rib;
    this.#maxPaths = maxPaths;
    this.#clock = clock;
    this.#log = log;
    this.#states = new Map(
      families.map((family) => {
        const state = { rib: rib.family(family), installed: new Uint32Array(64), dirty: new Set<number>() };
        return [family, { ...state, statics: new Map<number, StaticRoute>() }];
      }),
    );
    this.#resolver = new NextHopResolver({
      foreign: (address) => fib.lookUp(address),
      own: (prefix, foreignPriority) => {
        const state = this.#states.get(familyOfPrefix(prefix) === 4 ? 'ipv4-unicast' : 'ipv6-unicast');
        return state && this.#wanted.own(state, prefix, foreignPriority);
      },
    });
    this.#wanted = new WantedRoutes({ rib, settings, maxPaths, resolver: this.#resolver });
  }

  /** Reads what is there, then follows the RIB. */
  async start(): Promise<void> {
    for (const route of await this.#fib.dump()) this.#inherited.set(formatPrefix(route.prefix), route);
    const { nextHops } = this.#rib.store;
    nextHops.onNew = (index, { address }) => this.#judge(index, address);
    for (let index = 1; index < nextHops.end; index++) this.#judge(index, nextHops.get(index).address);
    this.#rib.filtering.interfaceOf = (attributes) => this.#interfaceOf(attributes);
    // What has come before was judged without.
    this.#rib.reachedOtherwise(this.#nextHopsBy(() => true));
    this.#fib.onChange((addresses) => this.#onChange(addresses));
    this.#fib.onRenamed?.((interfaceIndex) => this.#onRenamed(interfaceIndex));
    this.#fib.onLost?.((prefixes) => this.#onLost(prefixes));
    this.#started = true;
    for (const state of this.#states.values()) {
      state.rib.onDecided = (changed) => this.#note(state, changed);
      state.rib.holds = (prefix) =>
        state.dirty.has(prefix) || (state.installed[prefix] ?? 0) !== 0 || state.statics.has(prefix);
      state.rib.touchAll();
    }
    void this.#run();
    this.#log.info({ inherited: this.#inherited.size }, 'kernel routes read');
  }

  /** Routes beside those that peers announce. */
  setStatics(routes: readonly StaticRoute[]): void {
    const changed: Prefix[] = [];
    for (const [family, state] of this.#states) {
      const before = state.statics;
      const after = new Map<number, StaticRoute>();
      for (const route of routes) {
        if (familyOfPrefix(route.prefix) !== (family === 'ipv4-unicast' ? 4 : 6)) continue;
        const id = internPrefix(state.rib.prefixes, route.prefix);
        if (!after.has(id)) after.set(id, route);
      }
      state.statics = after;
      for (const id of new Set([...before.keys(), ...after.keys()])) {
        if (before.get(id)?.gateway === after.get(id)?.gateway) continue;
        state.dirty.add(id);
        changed.push(state.rib.prefixes.prefixOf(id));
      }
    }
    if (changed.length === 0) return;
    this.#follow(this.#resolver.ownChanged(changed, this.#clock.now()));
    if (this.#started) void this.#run();
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
    // A next hop that has just become reachable lets routes be decided anew, which may do the same to others.
    for (let step = 0; step <= maxDepth && this.#rib.hasWork; step++) this.#rib.flush();
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
    this.#rib.filtering.interfaceOf = () => undefined;
    this.#disarmRetry?.();
    this.#disarmRelease?.();
    this.#fib.close();
  }

  /** What the kernel was told about a prefix, for people. */
  describe(family: AddressFamily, prefix: number, text: string): string {
    const failure = this.#failures.get(text);
    if (failure) return `refused by the kernel: ${failure.error}`;
    const state = this.#states.get(family);
    if (!state || (state.installed[prefix] ?? 0) === 0) return 'no route of ours';
    const form = [...this.#forms].find(([, number]) => number === state.installed[prefix])?.[0] ?? 'installed';
    const origin = state.statics.get(prefix)?.origin;
    const through = this.#describeRecursion(state, prefix);
    const waits = this.#fib.isWaiting?.(state.rib.prefixes.prefixOf(prefix))
      ? ', waiting: a route of somebody else with the same prefix has a better metric'
      : '';
    return `${this.#withNames(form)}${through}${origin === undefined ? '' : ` (${origin})`}${waits}`;
  }

  /** Forms tell interfaces apart by index, as the kernel does: names can be given to another. */
  #withNames(form: string): string {
    return form.replace(/ dev (\d+)/g, (_, index) => ` dev ${this.#fib.nameOf?.(Number(index)) ?? index}`);
  }

  /** The kernel's route has the next hop of this path, which is the best one or as good. */
  isUsed(family: AddressFamily, prefix: number, path: number): boolean {
    const state = this.#states.get(family);
    if (!state || (state.installed[prefix] ?? 0) === 0 || state.statics.has(prefix)) return false;
    return chooseSeveral(prefix, state.rib, this.#maxPaths).includes(path);
  }

  /** Why a next hop can not be used, for people; undefined when it can. */
  whyUnreachable(address: Address): string | undefined {
    const resolution = this.#resolver.resolve(address);
    return resolution.kind === 'unreachable' ? resolution.reason : undefined;
  }

  #describeRecursion({ rib }: FamilyState, prefix: number): string {
    const found = chooseSeveral(prefix, rib, this.#maxPaths).flatMap((path) => {
      const address = nextHopAt(rib, path);
      if (address === undefined) return [];
      const through = describeThrough(this.#resolver.resolve(address));
      return through === '' ? [] : [`${formatAddress(address)}${through}`];
    });
    return found.length === 0 ? '' : `, to reach ${[...new Set(found)].join(' and ')}`;
  }

  get #hasDirty(): boolean {
    for (const state of this.#states.values()) if (state.dirty.size > 0) return true;
    return false;
  }

  /** RFC 4271 §9.1.2.1: a route is usable only when its next hop can be reached. */
  #judge(index: number, address: Address): void {
    const known = this.#indexes.get(address);
    if (!known) this.#indexes.set(address, [index]);
    else if (!known.includes(index)) known.push(index);
    this.#rib.store.nextHops.usable[index] = this.#resolver.resolve(address).kind === 'reached' ? 1 : 0;
  }

  /** Links or foreign routes changed. */
  #onChange(addresses: readonly Address[]): void {
    if (!this.#closed) this.#follow(this.#resolver.foreignChanged(addresses));
  }

  /** Next hops are reached differently: decide anew about the routes that have them. */
  #follow(nextHops: readonly Address[]): void {
    this.#armRelease();
    if (nextHops.length === 0) return;
    const indexes = new Set<number>();
    for (const address of nextHops) {
      for (const index of this.#indexes.get(address) ?? []) {
        this.#judge(index, address);
        indexes.add(index);
      }
      this.#touchStatics(address);
    }
    this.#reachedOtherwise(indexes);
  }

  #reachedOtherwise(indexes: ReadonlySet<number>): void {
    if (indexes.size > 0) this.#rib.reachedOtherwise(indexes);
    this.#touchUsers(indexes);
    this.onWork();
  }

  #onRenamed(renamed: number): void {
    if (!this.#closed) this.#reachedOtherwise(this.#nextHopsBy((interfaceIndex) => interfaceIndex === renamed));
  }

  /** Next hops, by number, that are reached by such an interface. */
  #nextHopsBy(isMeant: (interfaceIndex: number) => boolean): ReadonlySet<number> {
    const { nextHops } = this.#rib.store;
    const found = new Set<number>();
    for (let index = 1; index < nextHops.end; index++) {
      const interfaceIndex = this.#interfaceIndexOf(nextHops.get(index).address);
      if (interfaceIndex !== undefined && isMeant(interfaceIndex)) found.add(index);
    }
    return found;
  }

  #touchStatics(gateway: Address): void {
    for (const state of this.#states.values()) {
      for (const [id, route] of state.statics) if (route.gateway === gateway) state.dirty.add(id);
    }
    if (this.#hasDirty && this.#started) void this.#run();
  }

  /** Looks through the routes of those peers alone that have sent such a next hop. */
  #touchUsers(indexes: ReadonlySet<number>): void {
    const { store } = this.#rib;
    const sources = new Set<number>();
    for (let id = 1; id < store.end; id++) if (indexes.has(store.nextHop[id] ?? 0)) sources.add(store.source[id] ?? 0);
    for (const { rib } of this.#states.values()) {
      const { paths } = rib;
      for (const source of sources) {
        paths.forEachOf(source, (path) => {
          if (indexes.has(store.nextHop[paths.attributes[path] ?? 0] ?? 0)) rib.touch(paths.prefixes[path] ?? 0);
        });
      }
    }
  }

  /** What was held for flapping gets another chance. */
  #armRelease(): void {
    const { deadline } = this.#resolver;
    if (deadline === undefined || this.#disarmRelease) return;
    this.#disarmRelease = this.#clock.after(Math.max(0, deadline - this.#clock.now()), () => {
      this.#disarmRelease = undefined;
      if (!this.#closed) this.#follow(this.#resolver.release(this.#clock.now()));
    });
  }

  /** What the kernel has lost is to be written again. */
  #onLost(prefixes: readonly Prefix[]): void {
    if (this.#closed) return;
    this.#log.info({ routes: prefixes.length }, 'kernel routes were changed by somebody else');
    this.#writeAgain(prefixes);
  }

  #writeAgain(prefixes: readonly Prefix[]): void {
    if (this.#closed) return;
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
    const watched: Prefix[] = [];
    for (let i = 0; i < changed.length; i++) {
      const id = changed.ids[i] ?? 0;
      state.dirty.add(id);
      const prefix = state.rib.prefixes.prefixOf(id);
      if (this.#resolver.watches(prefix)) watched.push(prefix);
    }
    if (watched.length > 0) this.#follow(this.#resolver.ownChanged(watched, this.#clock.now()));
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
    const before = this.#takeFailures([...remove, ...replace.map((route) => route.prefix)]);
    for (const failure of await this.#fib.apply(replace, remove)) {
      const text = formatPrefix(failure.prefix);
      this.#failures.set(text, failure);
      const isNew = before.get(text) !== failure.error;
      this.#log[isNew ? 'warn' : 'debug']({ prefix: text, error: failure.error }, 'kernel refused a route');
    }
    if (this.#failures.size > 0) this.#armRetry();
  }

  /** They are being written again; returns the errors of before. */
  #takeFailures(prefixes: readonly Prefix[]): ReadonlyMap<string, string> {
    const taken = new Map<string, string>();
    if (this.#failures.size === 0) return taken;
    for (const prefix of prefixes) {
      const text = formatPrefix(prefix);
      const failure = this.#failures.get(text);
      if (failure && this.#failures.delete(text)) taken.set(text, failure.error);
    }
    return taken;
  }

  /** What waits for somebody else's route to go is told by the kernel. */
  #armRetry(): void {
    this.#disarmRetry ??= this.#clock.after(retryMs, () => {
      this.#disarmRetry = undefined;
      const again = [...this.#failures.values()].filter(({ error }) => error !== 'EEXIST');
      if (again.length > 0) this.#writeAgain(again.map(({ prefix }) => prefix));
    });
  }

  #plan(state: FamilyState, prefix: number, replace: FibRoute[], remove: Prefix[]): void {
    const route = this.#wanted.route(state, prefix);
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

  #interfaceOf(attributes: number): string | undefined {
    const { nextHop, nextHops } = this.#rib.store;
    const index = nextHop[attributes] ?? 0;
    const interfaceIndex = index === 0 ? undefined : this.#interfaceIndexOf(nextHops.get(index).address);
    return interfaceIndex === undefined ? undefined : this.#fib.nameOf?.(interfaceIndex);
  }

  #interfaceIndexOf(nextHop: Address): number | undefined {
    const resolution = this.#resolver.resolve(nextHop);
    return resolution.kind === 'reached' ? resolution.hops[0]?.interfaceIndex : undefined;
  }
}
