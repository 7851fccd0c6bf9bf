// From the best path to what a peer is sent: export rules, filters and outgoing attributes, for all update groups.

import { type Address, isLinkLocal } from '../../net/address.ts';
import type { AttributeStore } from './attribute-store.ts';
import { ExportAttributes } from './export-attributes.ts';
import type { Sources } from './source.ts';
import { setsOwnNextHop, type Treatment, withheld } from './treatment.ts';
import { fitsMessage } from './update-writer.ts';

export interface RouteExporter {
  /** The attribute set to announce in place of `attributes` (the same, or what a filter made of it); 0: nothing. */
  outgoing(attributes: number, prefix: number, treatment: Treatment): number;
  sourceOf(attributes: number): number;
  /** The peer's address on its session. */
  addressOf(source: number): Address;
  /** The next hop, if it goes out as it came and is not its source's own address. */
  thirdParty(attributes: number, treatment: Treatment): Address | undefined;
  /** Valid until the next call. */
  build(attributes: number, treatment: Treatment): ExportAttributes;
}

/** Applies the treatment's filter; returns the set to announce or 0. */
export type FilterRoute = (attributes: number, prefix: number, treatment: Treatment) => number;

export class Exporter implements RouteExporter {
  readonly #store: AttributeStore;
  readonly #sources: Sources;
  readonly #filter: FilterRoute;
  readonly #built: ExportAttributes;
  // Changed prefixes come in runs of one attribute set, so the last verdict is nearly always the next one too.
  #lastAttributes = 0;
  #lastTreatment: Treatment | undefined;
  #lastVerdict = 0;

  constructor(store: AttributeStore, sources: Sources, filter: FilterRoute) {
    this.#store = store;
    this.#sources = sources;
    this.#filter = filter;
    this.#built = new ExportAttributes(store, sources);
  }

  outgoing(attributes: number, prefix: number, treatment: Treatment): number {
    const set = this.#judged(attributes, prefix, treatment);
    return set !== 0 && this.isTooLong(set, treatment) ? 0 : set;
  }

  /** Whether what goes out does not fit into one message beside a prefix: whoever had such a route must not keep it. */
  isTooLong(attributes: number, treatment: Treatment): boolean {
    // Towards speakers of 2-octet numbers there are two paths; little else is ever added.
    if (this.#store.lengthOf(attributes) * 2 + ADDED_BYTES <= treatment.maxMessageLength) return false;
    return !fitsMessage(this.build(attributes, treatment), treatment);
  }

  #judged(attributes: number, prefix: number, treatment: Treatment): number {
    if (attributes !== this.#lastAttributes || treatment !== this.#lastTreatment) {
      this.#lastAttributes = attributes;
      this.#lastTreatment = treatment;
      this.#lastVerdict = withheld(attributes, this.#store, this.#sources, treatment) === undefined ? attributes : 0;
    }
    if (this.#lastVerdict === 0 || treatment.filter.acceptsAll) return this.#lastVerdict;
    return this.#filter(attributes, prefix, treatment);
  }

  /** Attribute set numbers are about to mean other sets. */
  forget(): void {
    this.#lastAttributes = 0;
  }

  sourceOf(attributes: number): number {
    return this.#store.source[attributes] ?? 0;
  }

  addressOf(source: number): Address {
    return this.#sources.get(source).address;
  }

  thirdParty(attributes: number, treatment: Treatment): Address | undefined {
    const nextHop = this.#store.nextHop[attributes] ?? 0;
    // Own routes have none.
    if (nextHop === 0) return undefined;
    const source = this.#sources.get(this.sourceOf(attributes));
    const { address } = this.#store.nextHops.get(nextHop);
    if (setsOwnNextHop(source, treatment, isLinkLocal(address))) return undefined;
    const unmapped = withoutMapping(address);
    return unmapped === source.address ? undefined : unmapped;
  }

  build(attributes: number, treatment: Treatment): ExportAttributes {
    this.#built.build(attributes, treatment);
    return this.#built;
  }
}

/** IPv6 next hops of a session over IPv4 may be the IPv4 address in the form of RFC 4798 §2. */
const withoutMapping = (address: Address): Address =>
  typeof address === 'bigint' && address >> 32n === 0xffffn ? Number(address & 0xffffffffn) : address;

/** More than what export adds to a set: own AS, next hops, reflection, headers, and the message around it. */
const ADDED_BYTES = 192;
