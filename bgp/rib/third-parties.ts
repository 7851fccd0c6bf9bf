// Next hops that go out as they came and are not those of the peer that sent them: RFC 4271 §5.1.3 calls them third party.
// A peer must not be sent a route whose next hop is its own address; as BIRD does, we leave such a route out. Ourselves as
// next hop would be allowed, but the peer would send what it should deliver to us, and we would send it back.
//
// A withdrawal reaches that peer nevertheless, since withdrawals are not gathered by attribute set: of a route that it never
// had, which says nothing.
//
//     attribute set ─► its next hop, if third party ─► the member with that address ─► does not get it

import type { Address } from '../../net/address.ts';
import { grow32 } from './columns.ts';
import type { RouteExporter } from './exporter.ts';
import { keepsNextHops, type Treatment } from './treatment.ts';

/** One next hop. */
export interface ThirdParty {
  /** Member of the group whose address it is; -1: none. */
  member: number;
  /** Routes announced with it. */
  count: number;
}

/** What is noted of an attribute set: not asked yet, none, or the place of its third party behind these. */
const [UNKNOWN, NONE, FIRST] = [0, 1, 2] as const;

/** Those of one update group. */
export class ThirdParties {
  readonly #exporter: RouteExporter;
  readonly #treatment: Treatment;
  readonly #isPossible: boolean;
  readonly #all: ThirdParty[] = [];
  readonly #byAddress = new Map<Address, number>();
  readonly #byMember = new Map<number, ThirdParty>();
  /** By attribute set: a member that joins is asked about all of them. */
  #bySet: Uint32Array = new Uint32Array(64);

  constructor(exporter: RouteExporter, treatment: Treatment) {
    this.#exporter = exporter;
    this.#treatment = treatment;
    this.#isPossible = keepsNextHops(treatment);
  }

  /** That of an attribute set; undefined: it goes out with ourselves or its own source as next hop. */
  of(set: number): ThirdParty | undefined {
    if (!this.#isPossible || set === 0) return undefined;
    let noted = this.#bySet[set] ?? UNKNOWN;
    if (noted === UNKNOWN) noted = this.#ask(set);
    return noted === NONE ? undefined : this.#all[noted - FIRST];
  }

  #ask(set: number): number {
    const address = this.#exporter.thirdParty(set, this.#treatment);
    const noted = address === undefined ? NONE : this.#at(address) + FIRST;
    if (set >= this.#bySet.length) this.#bySet = grow32(this.#bySet, set + 1);
    this.#bySet[set] = noted;
    return noted;
  }

  #at(address: Address): number {
    const known = this.#byAddress.get(address);
    if (known !== undefined) return known;
    const place = this.#all.push({ member: -1, count: 0 }) - 1;
    this.#byAddress.set(address, place);
    return place;
  }

  join(member: number): void {
    if (!this.#isPossible) return;
    const own = this.#all[this.#at(this.#exporter.addressOf(member))];
    if (!own) return;
    own.member = member;
    this.#byMember.set(member, own);
  }

  leave(member: number): void {
    const own = this.#byMember.get(member);
    this.#byMember.delete(member);
    if (own?.member === member) own.member = -1;
  }

  /** Routes announced that a member does not get because of their next hop. */
  countFor(member: number): number {
    const own = this.#byMember.get(member);
    return own?.member === member ? own.count : 0;
  }

  /** Attribute set numbers are about to mean other sets. */
  forget(): void {
    this.#bySet.fill(UNKNOWN);
  }
}
