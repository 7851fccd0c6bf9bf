// Next hops that go out as they came and are not those of the peer that sent them: RFC 4271 §5.1.3 calls them third party.
// A peer must not be sent a route whose next hop is its own address; as BIRD does, we leave such a route out. Ourselves as
// next hop would be allowed, but the peer would send what it should deliver to us, and we would send it back.
//
// A withdrawal reaches that peer nevertheless, since withdrawals are not gathered by attribute set: of a route that it never
// had, which says nothing.
//
//     attribute set ─► its next hop, if third party ─► the member with that address ─► does not get it

import type { Address } from '../../net/address.ts';
import type { RouteExporter } from './exporter.ts';
import { keepsNextHops, type Treatment } from './treatment.ts';

/** One next hop. */
export interface ThirdParty {
  /** Member of the group whose address it is; -1: none. */
  member: number;
  /** Routes announced with it. */
  count: number;
}

/** Those of one update group. */
export class ThirdParties {
  readonly #exporter: RouteExporter;
  readonly #treatment: Treatment;
  readonly #isPossible: boolean;
  readonly #byAddress = new Map<Address, ThirdParty>();
  readonly #byMember = new Map<number, ThirdParty>();
  // Routes come in runs of one attribute set.
  #lastSet = 0;
  #last: ThirdParty | undefined;

  constructor(exporter: RouteExporter, treatment: Treatment) {
    this.#exporter = exporter;
    this.#treatment = treatment;
    this.#isPossible = keepsNextHops(treatment);
  }

  /** That of an attribute set; undefined: it goes out with ourselves or its own source as next hop. */
  of(set: number): ThirdParty | undefined {
    if (!this.#isPossible || set === 0) return undefined;
    if (set === this.#lastSet) return this.#last;
    const address = this.#exporter.thirdParty(set, this.#treatment);
    this.#lastSet = set;
    this.#last = address === undefined ? undefined : this.#at(address);
    return this.#last;
  }

  #at(address: Address): ThirdParty {
    const known = this.#byAddress.get(address);
    if (known) return known;
    const added = { member: -1, count: 0 };
    this.#byAddress.set(address, added);
    return added;
  }

  join(member: number): void {
    if (!this.#isPossible) return;
    const own = this.#at(this.#exporter.addressOf(member));
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
    this.#lastSet = 0;
  }
}
