// Where routes come from: a peer's session, or this node. Sources are numbered; attribute sets name theirs.

import { type Address, formatAddress } from '../../net/address.ts';

/** What the decision process and the export rules need to know of a route's origin. */
export interface Source {
  readonly name: string;
  /** Our own routes: preferred to all others by any rule, announced with ourselves as next hop. */
  readonly local: boolean;
  /** Learned from another AS. */
  readonly external: boolean;
  /** RFC 4456: the peer is our client. */
  readonly client: boolean;
  readonly asn: number;
  readonly routerId: number;
  readonly address: Address;
  /** AS_PATHs and AGGREGATORs that it sends have 4-octet numbers. */
  readonly fourOctetAs: boolean;
  /** AS that we are towards it, and how often that may be in its paths. */
  readonly localAsn: number;
  /** Our own AS, when localAsn is another one: it is a loop as well. */
  readonly ownAsn?: number;
  readonly allowedOwnAsns: number;
}

/** Source number of this node's own routes. */
export const LOCAL = 0;

export function localSource(asn: number, routerId: number): Source {
  return {
    name: 'local',
    local: true,
    external: false,
    client: false,
    asn,
    routerId,
    address: routerId,
    fourOctetAs: true,
    localAsn: asn,
    allowedOwnAsns: 0,
  };
}

/** Numbers sources from 0 on and uses freed numbers again. */
export class Sources {
  readonly #sources: (Source | undefined)[] = [];
  readonly #free: number[] = [];

  add(source: Source): number {
    const index = this.#free.pop() ?? this.#sources.length;
    this.#sources[index] = source;
    return index;
  }

  replace(index: number, source: Source): void {
    this.#sources[index] = source;
  }

  /** The caller has made sure that no attribute set names it any more. */
  remove(index: number): void {
    this.#sources[index] = undefined;
    this.#free.push(index);
  }

  get(index: number): Source {
    const source = this.#sources[index];
    if (!source) throw new RangeError(`no route source ${index}`);
    return source;
  }

  /** All sources with their numbers. */
  *entries(): Generator<readonly [number, Source]> {
    for (const [index, source] of this.#sources.entries()) if (source) yield [index, source];
  }

  get end(): number {
    return this.#sources.length;
  }
}

export const describeSource = (source: Source): string =>
  source.local ? 'this node' : `${source.name} (${formatAddress(source.address)})`;
