// Next hops as small numbers, with what is known about reaching them. Few routes have a next hop of their own, so
// whatever must be asked of the kernel is asked once per next hop.

import { type Address, addressFromBytes } from '../../net/address.ts';
import { readUint32 } from '../wire/bytes.ts';
import { grow8, grow32 } from './columns.ts';

export interface NextHop {
  readonly address: Address;
  /** The second address of an IPv6 next hop, RFC 2545 §3. */
  readonly linkLocal?: Address;
}

export class NextHops {
  readonly #byKey = new Map<string, number>();
  readonly #nextHops: NextHop[] = [{ address: 0 }];
  #lastWord = -1;
  #lastIndex = 0;
  /** 1 where routes with this next hop may be chosen. */
  usable: Uint8Array = new Uint8Array(64);
  /** Interior cost to it, RFC 4271 §9.1.2.2 e. */
  metric: Uint32Array = new Uint32Array(64);
  /** Called for each next hop that is seen for the first time; the answer goes into `usable` and `metric`. */
  onNew: (index: number, nextHop: NextHop) => void = () => {};

  /** @param to - from is 4, 16 or 32. */
  intern(bytes: Uint8Array, from: number, to: number): number {
    // Most often it is that of the set before.
    if (to - from === 4) {
      const word = readUint32(bytes, from);
      if (word === this.#lastWord) return this.#lastIndex;
      this.#lastWord = word;
      this.#lastIndex = this.#find(bytes, from, to);
      return this.#lastIndex;
    }
    return this.#find(bytes, from, to);
  }

  #find(bytes: Uint8Array, from: number, to: number): number {
    let key = '';
    for (let at = from; at < to; at++) key += String.fromCharCode(bytes[at] ?? 0);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const index = this.#nextHops.length;
    this.#byKey.set(key, index);
    const nextHop = readNextHop(bytes, from, to);
    this.#nextHops.push(nextHop);
    this.usable = grow8(this.usable, index + 1);
    this.metric = grow32(this.metric, index + 1);
    this.usable[index] = 1;
    this.onNew(index, nextHop);
    return index;
  }

  get(index: number): NextHop {
    return this.#nextHops[index] ?? { address: 0 };
  }

  /** Numbers are below this, from 1. */
  get end(): number {
    return this.#nextHops.length;
  }
}

export function readNextHop(bytes: Uint8Array, from: number, to: number): NextHop {
  if (to - from === 4) return { address: addressFromBytes(bytes, 4, from) };
  const address = addressFromBytes(bytes, 6, from);
  return to - from === 32 ? { address, linkLocal: addressFromBytes(bytes, 6, from + 16) } : { address };
}
