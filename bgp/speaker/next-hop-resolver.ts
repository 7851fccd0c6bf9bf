// How a BGP next hop is reached: by the longest route that holds it, of others or of ours. A route of ours leads on to its
// own next hops, and so on, until the kernel knows the way by itself (RFC 4271 §9.1.2.1).
//
//     next hop ─► longest route ─┬─ of others ─► ways: gateway and interface
//                                └─ of ours ───► its next hops, resolved the same way: at most `maxDepth` of them in a row
//
// A route does not count for an address that one of its own paths has as next hop, nor for one that is being resolved
// through it: it would lead to itself. The next shorter route is asked then.
//
// Every answer is kept, with the addresses that were looked up for it; a change of a route asks again for those inside
// its prefix only. Two routes can still depend on each other through the choice of best paths, each taking away what the
// other stands on. So an answer that keeps changing because of our own routes is held as unreachable for a while.

import { type Address, formatAddress, widthOf } from '../../net/address.ts';
import { PrefixMap } from '../../net/lpm.ts';
import { formatPrefix, hostPrefix, type Prefix, prefixOf } from '../../net/prefix.ts';
import type { FibNextHop, ForeignMatch, Millis } from '../edges.ts';

/** A route that we have, or want to have, in the kernel. */
export type OwnRoute =
  | { readonly kind: 'blackhole' }
  | {
      readonly kind: 'via';
      /** Next hops of the paths in use. */
      readonly nextHops: readonly Address[];
      /** Those of all paths, usable or not. */
      readonly all: readonly Address[];
    };

export interface RoutesView {
  /** The longest route of others; `onlyForeign` in the kernel's view. */
  foreign(address: Address): ForeignMatch | undefined;
  /** Our route of exactly this prefix, if it is, or would be, in the kernel beside a foreign one of that metric. */
  own(prefix: Prefix, foreignPriority: number | undefined): OwnRoute | undefined;
}

export type Resolution =
  /** Undefined gateways: the next hop itself is on the link. */
  | { readonly kind: 'reached'; readonly hops: readonly FibNextHop[]; readonly through: readonly Prefix[] }
  | { readonly kind: 'unreachable'; readonly reason: string };

interface Answer {
  readonly resolution: Resolution;
  /** Looked up on the way, the next hop itself included. */
  readonly asked: ReadonlySet<Address>;
}

export const maxDepth = 8;
/** All that one answer may ask: several paths at each of several steps. */
const maxQuestions = 64;
const maxFlips = 10;
const flipWindowMs = 10_000;
export const holdMs = 30_000;

interface Search {
  readonly asked: Set<Address>;
  questions: number;
}

interface Flips {
  readonly since: Millis;
  readonly count: number;
}

export class NextHopResolver {
  readonly #view: RoutesView;
  readonly #answers = new Map<Address, Answer>();
  /** By an address that was looked up: the next hops whose answers it had a part in. */
  readonly #watchers = new PrefixMap<Set<Address>>();
  /** How many of those IPv4 addresses begin with each octet: nearly all of a full table lies elsewhere. */
  readonly #firstOctets = new Uint32Array(256);
  readonly #flips = new Map<Address, Flips>();
  readonly #held = new Map<Address, Millis>();

  constructor(view: RoutesView) {
    this.#view = view;
  }

  resolve(nextHop: Address): Resolution {
    const known = this.#answers.get(nextHop);
    if (known) return known.resolution;
    const answer = this.#ask(nextHop);
    this.#keep(nextHop, answer);
    return answer.resolution;
  }

  /** True when a change of a route of ours at this prefix may change an answer. */
  watches(prefix: Prefix): boolean {
    const { address, length } = prefix;
    if (typeof address === 'number' && length >= 8 && this.#firstOctets[address >>> 24] === 0) return false;
    return this.#watchers.size > 0 && !this.#watchers.covered(prefix).next().done;
  }

  /** Routes of others changed for these addresses. Returns the next hops that are reached differently now. */
  foreignChanged(addresses: readonly Address[]): Address[] {
    const affected = new Set(addresses.flatMap((address) => [...(this.#watchers.get(hostPrefix(address)) ?? [])]));
    for (const nextHop of affected) {
      this.#flips.delete(nextHop);
      this.#held.delete(nextHop);
    }
    return [...affected].filter((nextHop) => this.#askAgain(nextHop));
  }

  /** Routes of ours changed at these prefixes. */
  ownChanged(prefixes: Iterable<Prefix>, now: Millis): Address[] {
    const affected = new Set<Address>();
    for (const prefix of prefixes) {
      for (const { value } of this.#watchers.covered(prefix)) for (const nextHop of value) affected.add(nextHop);
    }
    return [...affected].filter((nextHop) => !this.#held.has(nextHop) && this.#followOwn(nextHop, now));
  }

  /** Answers that were held for long enough are asked for again. */
  release(now: Millis): Address[] {
    const due = [...this.#held].filter(([, until]) => until <= now).map(([nextHop]) => nextHop);
    for (const nextHop of due) {
      this.#held.delete(nextHop);
      this.#flips.delete(nextHop);
    }
    return due.filter((nextHop) => this.#askAgain(nextHop));
  }

  /** When release() is to be called; undefined: nothing is held. */
  get deadline(): Millis | undefined {
    return this.#held.size === 0 ? undefined : Math.min(...this.#held.values());
  }

  #followOwn(nextHop: Address, now: Millis): boolean {
    const wasReached = this.#answers.get(nextHop)?.resolution.kind === 'reached';
    if (!this.#askAgain(nextHop)) return false;
    const isReached = this.#answers.get(nextHop)?.resolution.kind === 'reached';
    if (wasReached !== isReached) this.#countFlip(nextHop, now);
    return true;
  }

  #countFlip(nextHop: Address, now: Millis): void {
    const before = this.#flips.get(nextHop);
    const flips = before && now - before.since < flipWindowMs ? before : { since: now, count: 0 };
    this.#flips.set(nextHop, { ...flips, count: flips.count + 1 });
    if (flips.count + 1 < maxFlips) return;
    this.#held.set(nextHop, now + holdMs);
    const asked = this.#answers.get(nextHop)?.asked ?? new Set([nextHop]);
    const reason = 'the route to it keeps coming and going with the routes that need it';
    this.#keep(nextHop, { resolution: { kind: 'unreachable', reason }, asked });
  }

  /** True when the answer is another one. */
  #askAgain(nextHop: Address): boolean {
    const before = this.#answers.get(nextHop);
    if (!before) return false;
    const answer = this.#ask(nextHop);
    this.#keep(nextHop, answer);
    return textOf(answer.resolution) !== textOf(before.resolution);
  }

  #keep(nextHop: Address, answer: Answer): void {
    const before = this.#answers.get(nextHop);
    this.#answers.set(nextHop, answer);
    for (const address of before?.asked ?? []) {
      if (answer.asked.has(address)) continue;
      const prefix = hostPrefix(address);
      const watchers = this.#watchers.get(prefix);
      watchers?.delete(nextHop);
      if (watchers?.size !== 0) continue;
      this.#watchers.delete(prefix);
      this.#countOctet(address, -1);
    }
    for (const address of answer.asked) {
      const prefix = hostPrefix(address);
      const watchers = this.#watchers.get(prefix);
      if (watchers) {
        watchers.add(nextHop);
        continue;
      }
      this.#watchers.set(prefix, new Set([nextHop]));
      this.#countOctet(address, 1);
    }
  }

  #countOctet(address: Address, change: number): void {
    if (typeof address !== 'number') return;
    this.#firstOctets[address >>> 24] = (this.#firstOctets[address >>> 24] ?? 0) + change;
  }

  #ask(nextHop: Address): Answer {
    const search: Search = { asked: new Set(), questions: 0 };
    const resolution = this.#search(nextHop, [], search);
    return { resolution, asked: search.asked };
  }

  /** `stack`: what is being resolved through this address. */
  #search(address: Address, stack: readonly Address[], search: Search): Resolution {
    search.asked.add(address);
    search.questions++;
    if (stack.length >= maxDepth) return unreachable(`${maxDepth} routes in a row lead only to each other’s next hops`);
    if (search.questions > maxQuestions) return unreachable('there are too many ways to it to be tried');
    const foreign = this.#view.foreign(address);
    const width = widthOf(typeof address === 'number' ? 4 : 6);
    let obstacle: string | undefined;
    for (let length = width; length >= (foreign?.length ?? 0); length--) {
      const prefix = prefixOf(address, length);
      const route = this.#view.own(prefix, length === foreign?.length ? foreign.priority : undefined);
      if (!route) continue;
      if (route.kind === 'blackhole') return unreachable(`${formatPrefix(prefix)}, a block of this node, holds it`);
      const found = this.#follow(prefix, route, [...stack, address], search);
      if (found.kind === 'reached') return found;
      obstacle ??= found.reason;
    }
    if (!foreign) return unreachable(obstacle ?? 'no route leads to it');
    if (foreign.ways.length === 0) return unreachable('a route of somebody else says that it can not be reached');
    const hops = foreign.ways.map(({ interfaceIndex, gateway }) => ({ interfaceIndex, gateway }));
    return { kind: 'reached', hops, through: [] };
  }

  #follow(
    prefix: Prefix,
    route: Extract<OwnRoute, { kind: 'via' }>,
    stack: readonly Address[],
    search: Search,
  ): Resolution {
    const text = formatPrefix(prefix);
    const loop = route.all.find((nextHop) => stack.includes(nextHop));
    if (loop !== undefined) return unreachable(`the route to it, ${text}, leads back to ${formatAddress(loop)}`);
    const hops: FibNextHop[] = [];
    const through: Prefix[] = [prefix];
    let obstacle = `${text} has no next hop that is reached`;
    for (const nextHop of route.nextHops) {
      const found = this.#search(nextHop, stack, search);
      if (found.kind === 'unreachable') {
        obstacle = `the route to it, ${text}, needs ${formatAddress(nextHop)}: ${found.reason}`;
        continue;
      }
      through.push(...found.through);
      // On the link there: here it is the gateway.
      for (const hop of found.hops) hops.push({ ...hop, gateway: hop.gateway ?? nextHop });
    }
    return hops.length === 0 ? unreachable(obstacle) : { kind: 'reached', hops, through };
  }
}

const unreachable = (reason: string): Resolution => ({ kind: 'unreachable', reason });

const textOf = (resolution: Resolution): string =>
  resolution.kind === 'unreachable'
    ? resolution.reason
    : [
        ...resolution.hops.map(
          ({ gateway, interfaceIndex }) => `${gateway === undefined ? '' : formatAddress(gateway)}%${interfaceIndex}`,
        ),
        ...resolution.through.map(formatPrefix),
      ].join(' ');

/** For people: " through 192.0.2.0/24"; empty when no route of ours is needed. */
export const describeThrough = (resolution: Resolution): string =>
  resolution.kind === 'reached' && resolution.through.length > 0
    ? ` through ${resolution.through.map(formatPrefix).join(', ')}`
    : '';
