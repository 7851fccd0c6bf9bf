// What one IP set holds: members counted by their sources, and the change since the set was last delivered.
//
// Two sources may give the same address (a pod's address handed over, a network set that lists it): it is a member while
// at least one does. And prefixes that another member covers are not passed on: kernel interval sets refuse overlaps.

import type { Address } from '../../net/address.ts';
import { CoverTrie } from './cover-trie.ts';
import type { IpSetMember } from './output.ts';
import type { PooledPrefix } from './prefix-pool.ts';

export interface MemberDelta {
  readonly added: readonly IpSetMember[];
  readonly removed: readonly IpSetMember[];
}

/** Members that come and go; going and coming back cancels. */
class Pending<K> {
  readonly #changes = new Map<K, boolean>();

  record(member: K, added: boolean): void {
    if (this.#changes.get(member) === !added) this.#changes.delete(member);
    else this.#changes.set(member, added);
  }

  take(toMember: (member: K) => IpSetMember): MemberDelta {
    const added: IpSetMember[] = [];
    const removed: IpSetMember[] = [];
    for (const [member, isAdded] of this.#changes) (isAdded ? added : removed).push(toMember(member));
    this.#changes.clear();
    return { added, removed };
  }
}

/** Members of a `prefixes` set. */
export class PrefixMembers {
  readonly #counts = new Map<PooledPrefix, number>();
  readonly #pending = new Pending<PooledPrefix>();
  /** Only once there is a network among the members: addresses alone cannot overlap. */
  #tries: { readonly 4: CoverTrie<PooledPrefix>; readonly 6: CoverTrie<PooledPrefix> } | undefined;

  add(prefix: PooledPrefix): void {
    const count = this.#counts.get(prefix) ?? 0;
    this.#counts.set(prefix, count + 1);
    if (count > 0) return;
    if (!this.#tries && !prefix.isHost) this.#startTries();
    const trie = this.#trieFor(prefix);
    trie?.add(prefix);
    this.#show(prefix, true, trie);
  }

  remove(prefix: PooledPrefix): void {
    const count = this.#counts.get(prefix);
    if (count === undefined) return;
    if (count > 1) {
      this.#counts.set(prefix, count - 1);
      return;
    }
    this.#counts.delete(prefix);
    const trie = this.#trieFor(prefix);
    trie?.delete(prefix);
    this.#show(prefix, false, trie);
  }

  /** The prefix appears (or goes), and those inside it are covered (or uncovered). */
  #show(prefix: PooledPrefix, added: boolean, trie: CoverTrie<PooledPrefix> | undefined): void {
    if (trie?.isCovered(prefix)) return;
    this.#pending.record(prefix, added);
    if (!trie || prefix.isHost) return;
    for (const inside of trie.topInside(prefix)) this.#pending.record(inside, !added);
  }

  #startTries(): void {
    this.#tries = { 4: new CoverTrie(), 6: new CoverTrie() };
    for (const prefix of this.#counts.keys()) this.#trieFor(prefix)?.add(prefix);
  }

  #trieFor(prefix: PooledPrefix): CoverTrie<PooledPrefix> | undefined {
    return this.#tries?.[typeof prefix.address === 'number' ? 4 : 6];
  }

  /** All members that no other covers. */
  list(): IpSetMember[] {
    const members: IpSetMember[] = [];
    const prefixes = this.#tries ? [...this.#tries[4].top(), ...this.#tries[6].top()] : this.#counts.keys();
    for (const prefix of prefixes) members.push(prefixMember(prefix));
    return members;
  }

  takeDelta(): MemberDelta {
    return this.#pending.take(prefixMember);
  }
}

const prefixMember = (prefix: PooledPrefix): IpSetMember => ({ kind: 'prefix', prefix });

type AddressPort = Extract<IpSetMember, { readonly kind: 'address-port' }>;

/** Members of an `address-ports` set: addresses that offer a named port. */
export class AddressPortMembers {
  readonly #counts = new Map<string, { readonly member: AddressPort; count: number }>();
  readonly #pending = new Pending<AddressPort>();
  /** Gone since the last delivery, so that coming back is recognised as the same. */
  readonly #gone = new Map<string, AddressPort>();

  add(address: Address, protocol: number, port: number): void {
    const key = `${typeof address}${address}/${protocol}/${port}`;
    const counted = this.#counts.get(key);
    if (counted) {
      counted.count++;
      return;
    }
    const member = this.#gone.get(key) ?? { kind: 'address-port', address, protocol, port };
    this.#gone.delete(key);
    this.#counts.set(key, { member, count: 1 });
    this.#pending.record(member, true);
  }

  remove(address: Address, protocol: number, port: number): void {
    const key = `${typeof address}${address}/${protocol}/${port}`;
    const counted = this.#counts.get(key);
    if (!counted || --counted.count > 0) return;
    this.#counts.delete(key);
    this.#gone.set(key, counted.member);
    this.#pending.record(counted.member, false);
  }

  list(): IpSetMember[] {
    return Array.from(this.#counts.values(), ({ member }) => member);
  }

  takeDelta(): MemberDelta {
    this.#gone.clear();
    return this.#pending.take((member) => member);
  }
}
