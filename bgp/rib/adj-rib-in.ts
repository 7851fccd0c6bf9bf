// One peer's routes on their way in: reads the bodies of its UPDATEs in place and puts what they say into the RIBs.
//
// The usual UPDATE, IPv4 prefixes behind attributes that this peer has sent before in the same bytes, costs a hash of the
// attributes and a table lookup per prefix. Everything else is judged first (AttributeScan) and brought into canonical form.

import { formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { AddressFamily } from '../settings.ts';
import { AttributeScan, describeFindings, type Finding } from '../wire/attribute-scan.ts';
import { AttributeCode, MP_REACH_NEXT_HOP, type WireContext } from '../wire/attributes.ts';
import { readUint16, readUint32 } from '../wire/bytes.ts';
import { fromWireFamily, type NotificationMessage } from '../wire/message.ts';
import { isWellFormedNlri } from '../wire/nlri.ts';
import { isHostNextHop, isSurelyUnicast, isUnicast } from '../wire/unicast.ts';
import { invalidNetworkField, malformedAttributeList } from '../wire/update.ts';
import { type AttributeStore, MAX_SET_BYTES } from './attribute-store.ts';
import { canonicalize } from './canonical.ts';
import type { FamilyRib } from './family-rib.ts';
import type { Filtering } from './filtering.ts';
import type { RouteFilter } from './policy.ts';
import type { PrefixTable } from './prefixes.ts';
import type { Source } from './source.ts';

export interface AdjRibInOptions {
  readonly source: number;
  readonly about: Source;
  readonly context: WireContext;
  readonly filter: RouteFilter;
  /** The families of the session; UPDATEs of others are ignored. */
  readonly ribs: ReadonlyMap<AddressFamily, FamilyRib>;
  /** RFC 8950: IPv6 next hops for IPv4 routes were negotiated. */
  readonly extendedNextHop: boolean;
  readonly onEndOfRib: (family: AddressFamily) => void;
  /** Something was wrong with an UPDATE's body, at bytes[from..to). */
  readonly onFindings?:
    | ((findings: readonly Finding[], bytes: Uint8Array, from: number, to: number) => void)
    | undefined;
}

/** What RFC 7606 made of a prefix's last announcement, in words. */
export interface Malformation {
  readonly treatedAsWithdraw: boolean;
  readonly text: string;
}

/** So many prefixes are remembered, the newest ones. */
const REMEMBERED_MALFORMATIONS = 256;

/** Counts for status, since the session began. */
export interface InCounters {
  updates: number;
  announced: number;
  withdrawn: number;
  /** UPDATEs treated as withdrawals, RFC 7606. */
  treatedAsWithdraw: number;
  /** UPDATEs of which an attribute was discarded. */
  attributesDiscarded: number;
}

/** One UPDATE is read at a time, whoever sent it. */
const sharedScan = new AttributeScan();

export class AdjRibIn {
  readonly counters: InCounters = {
    updates: 0,
    announced: 0,
    withdrawn: 0,
    treatedAsWithdraw: 0,
    attributesDiscarded: 0,
  };
  /** What was last wrong with an UPDATE, for people. */
  lastFindings: readonly Finding[] = [];
  /** By prefix, in text. */
  readonly #malformations = new Map<string, Malformation>();
  readonly #store: AttributeStore;
  readonly #filtering: Filtering;
  #options: AdjRibInOptions;
  readonly #scan = sharedScan;

  constructor(store: AttributeStore, filtering: Filtering, options: AdjRibInOptions) {
    this.#store = store;
    this.#filtering = filtering;
    this.#options = options;
  }

  get source(): number {
    return this.#options.source;
  }

  get filter(): RouteFilter {
    return this.#options.filter;
  }

  /** What was wrong with the UPDATE that spoke of this prefix last; undefined when nothing was. */
  malformationOf(prefix: Prefix): Malformation | undefined {
    return this.#malformations.get(formatPrefix(prefix));
  }

  /** Its routes mean something else from now on; Rib.rejudge() has been told. */
  setSource(about: Source): void {
    this.#options = { ...this.#options, about };
  }

  /** Another filter: what is there already is judged anew from what was received. */
  setFilter(filter: RouteFilter): void {
    this.#options = { ...this.#options, filter };
    for (const rib of this.#options.ribs.values()) {
      const { paths } = rib;
      paths.forEachOf(this.source, (path) => {
        const received = paths.receivedOf(path);
        rib.change(path, this.#judge(rib, paths.prefixes[path] ?? 0, received), received);
      });
    }
  }

  /**
   * Routes with these next hops are reached by other interfaces now. Those that are kept for the peer's restart may be
   * refused for it, but no more: what has been done to them since is not known here.
   */
  judgeAgain(nextHops: ReadonlySet<number>): void {
    const { filter } = this.#options;
    if (!filter.usesInterface) return;
    for (const rib of this.#options.ribs.values()) {
      const { paths } = rib;
      paths.forEachOf(this.source, (path) => {
        const received = paths.receivedOf(path);
        if (!nextHops.has(this.#store.nextHop[received] ?? 0)) return;
        const attributes = this.#judge(rib, paths.prefixes[path] ?? 0, received);
        if (attributes === 0 || paths.stale?.[path] !== 1) rib.change(path, attributes, received);
      });
    }
  }

  #judge(rib: FamilyRib, prefix: number, received: number): number {
    if (!isUnicast(rib.prefixes.prefixOf(prefix))) return 0;
    return this.#filtering.apply(this.#options.filter, received, rib.prefixes, prefix);
  }

  /** Takes the body of an UPDATE at bytes[from..to); a NOTIFICATION when the session must end. */
  receive(bytes: Uint8Array, from: number, to: number): NotificationMessage | undefined {
    this.counters.updates++;
    this.#scan.forget();
    const withdrawnTo = from + 2 + readUint16(bytes, from);
    if (withdrawnTo + 2 > to) return malformedAttributeList;
    const attributesFrom = withdrawnTo + 2;
    const attributesTo = attributesFrom + readUint16(bytes, withdrawnTo);
    if (attributesTo > to) return malformedAttributeList;
    if (to - from === 4) return this.#endOfRib('ipv4-unicast');
    const { addPathIpv4 } = this.#options.context;
    const rib = this.#options.ribs.get('ipv4-unicast');
    if (
      rib &&
      (!isWellFormedNlri(bytes, from + 2, withdrawnTo, 4, addPathIpv4) ||
        !isWellFormedNlri(bytes, attributesTo, to, 4, addPathIpv4))
    ) {
      return invalidNetworkField;
    }
    if (rib && withdrawnTo > from + 2) this.#withdraw(rib, bytes, from + 2, withdrawnTo, addPathIpv4);
    if (attributesTo === attributesFrom && attributesTo === to) return undefined;
    const refused = this.#attributes(bytes, attributesFrom, attributesTo, to, rib);
    if (this.#scan.findings.length > 0) this.#note(bytes, from, to);
    return refused;
  }

  #attributes(
    bytes: Uint8Array,
    from: number,
    to: number,
    nlriTo: number,
    rib: FamilyRib | undefined,
  ): NotificationMessage | undefined {
    const { source, context } = this.#options;
    const hasNlri = to < nlriTo;
    if (hasNlri && rib && context.fourOctetAs) {
      const known = this.#store.find(source, bytes, from, to);
      if (known !== 0) {
        this.#announce(rib, known, bytes, to, nlriTo, context.addPathIpv4);
        return undefined;
      }
    }
    const scan = this.#scan;
    scan.scan(bytes, from, to, context, hasNlri);
    if (scan.reset) return scan.reset;
    if (this.#isEndOfRib(bytes, scan, hasNlri)) return undefined;
    this.#unreach(bytes, scan);
    if (hasNlri && rib) this.#plainRoutes(rib, bytes, from, to, nlriTo);
    this.#reach(bytes, scan);
    return undefined;
  }

  #note(bytes: Uint8Array, from: number, to: number): void {
    const { findings, treatAsWithdraw } = this.#scan;
    this.lastFindings = findings;
    if (treatAsWithdraw) this.counters.treatedAsWithdraw++;
    else this.counters.attributesDiscarded++;
    this.#options.onFindings?.(findings, bytes, from, to);
  }

  /** Remembers, for people, what came of a prefix whose UPDATE was malformed; forgets it when it was not. */
  #remember(prefixes: PrefixTable, prefix: number): void {
    const { findings, treatAsWithdraw } = this.#scan;
    if (findings.length === 0 && this.#malformations.size === 0) return;
    const key = formatPrefix(prefixes.prefixOf(prefix));
    this.#malformations.delete(key);
    if (findings.length === 0) return;
    this.#malformations.set(key, { treatedAsWithdraw: treatAsWithdraw, text: describeFindings(findings) });
    if (this.#malformations.size <= REMEMBERED_MALFORMATIONS) return;
    const [oldest] = this.#malformations.keys();
    if (oldest !== undefined) this.#malformations.delete(oldest);
  }

  /** Routes of the NLRI field, whose attributes are at bytes[attributesFrom..from). */
  #plainRoutes(rib: FamilyRib, bytes: Uint8Array, attributesFrom: number, from: number, to: number): void {
    const { source, about, context } = this.#options;
    const scan = this.#scan;
    // Mostly the bytes are canonical as they came.
    const attributes = scan.treatAsWithdraw
      ? 0
      : isCanonical(scan, context)
        ? this.#store.intern(source, about, bytes, attributesFrom, from)
        : this.#intern(bytes, false, context.fourOctetAs);
    if (attributes === 0) this.#withdraw(rib, bytes, from, to, context.addPathIpv4, true);
    else this.#announce(rib, attributes, bytes, from, to, context.addPathIpv4);
  }

  /** 0 when nobody can keep such a set: the routes count as withdrawn. */
  #intern(bytes: Uint8Array, mp: boolean, fourOctetAs: boolean): number {
    const { source, about } = this.#options;
    const canonical = canonicalize(bytes, this.#scan, mp, fourOctetAs);
    if (canonical.length <= MAX_SET_BYTES) {
      return this.#store.intern(source, about, canonical.bytes, 0, canonical.length, mp ? 'received-mp' : 'received');
    }
    this.#scan.refuse(AttributeCode.asPath, 'longer than 65535 octets with 4-octet AS numbers');
    return 0;
  }

  #reach(bytes: Uint8Array, scan: AttributeScan): void {
    const index = scan.indexOf(AttributeCode.mpReach);
    if (index < 0) return;
    const start = scan.starts[index] ?? 0;
    const end = scan.ends[index] ?? 0;
    const family = fromWireFamily(readUint16(bytes, start), bytes[start + 2] ?? 0);
    const rib = family && this.#options.ribs.get(family);
    if (!rib || !family) return;
    const { context, extendedNextHop } = this.#options;
    const addPath = family === 'ipv4-unicast' ? context.addPathIpv4 : context.addPathIpv6;
    const nextHopLength = bytes[start + 3] ?? 0;
    const nlri = start + MP_REACH_NEXT_HOP + nextHopLength + 1;
    if (family === 'ipv4-unicast' && nextHopLength !== 4 && !extendedNextHop) {
      scan.refuse(AttributeCode.mpReach, 'an IPv6 next hop of IPv4 routes, which was not negotiated');
    }
    if (!isHostNextHop(bytes, start + MP_REACH_NEXT_HOP, nextHopLength)) {
      scan.refuse(AttributeCode.mpReach, 'a next hop that is no address of a host');
    }
    if (nlri === end) return;
    const attributes = scan.treatAsWithdraw ? 0 : this.#intern(bytes, true, context.fourOctetAs);
    if (attributes === 0) this.#withdraw(rib, bytes, nlri, end, addPath, true);
    else this.#announce(rib, attributes, bytes, nlri, end, addPath);
  }

  #unreach(bytes: Uint8Array, scan: AttributeScan): void {
    const index = scan.indexOf(AttributeCode.mpUnreach);
    if (index < 0) return;
    const start = scan.starts[index] ?? 0;
    const family = fromWireFamily(readUint16(bytes, start), bytes[start + 2] ?? 0);
    const rib = family && this.#options.ribs.get(family);
    if (!rib) return;
    const { context } = this.#options;
    const addPath = family === 'ipv4-unicast' ? context.addPathIpv4 : context.addPathIpv6;
    this.#withdraw(rib, bytes, start + 3, scan.ends[index] ?? 0, addPath);
  }

  /** RFC 4724 §2: nothing but an empty MP_UNREACH_NLRI. */
  #isEndOfRib(bytes: Uint8Array, scan: AttributeScan, hasNlri: boolean): boolean {
    const index = scan.indexOf(AttributeCode.mpUnreach);
    if (hasNlri || index < 0 || scan.count !== 1 || scan.dropped) return false;
    const start = scan.starts[index] ?? 0;
    if ((scan.ends[index] ?? 0) - start !== 3) return false;
    const family = fromWireFamily(readUint16(bytes, start), bytes[start + 2] ?? 0);
    if (family) this.#endOfRib(family);
    return true;
  }

  #endOfRib(family: AddressFamily): undefined {
    if (this.#options.ribs.has(family)) this.#options.onEndOfRib(family);
  }

  #announce(rib: FamilyRib, received: number, bytes: Uint8Array, from: number, to: number, addPath: boolean): void {
    const { source, filter } = this.#options;
    const { prefixes } = rib;
    const remembers = this.#scan.findings.length > 0 || this.#malformations.size > 0;
    let count = 0;
    for (let at = from; at < to; count++) {
      let identifier = 0;
      if (addPath) {
        identifier = readUint32(bytes, at);
        at += 4;
      }
      const prefix = prefixes.intern(bytes, at);
      let attributes = received;
      if (!isSurelyUnicast(bytes, at, prefixes.family) && !isUnicast(prefixes.prefixOf(prefix))) attributes = 0;
      else if (!filter.acceptsAll) attributes = this.#filtering.apply(filter, received, prefixes, prefix);
      rib.set(prefix, source, identifier, attributes, received);
      if (remembers) this.#remember(prefixes, prefix);
      at += 1 + (((bytes[at] ?? 0) + 7) >> 3);
    }
    this.counters.announced += count;
  }

  /** @param isAnnounced the peer meant to announce these prefixes, RFC 7606. */
  #withdraw(rib: FamilyRib, bytes: Uint8Array, from: number, to: number, addPath: boolean, isAnnounced = false): void {
    const { source } = this.#options;
    const { prefixes } = rib;
    for (let at = from; at < to; ) {
      let identifier = 0;
      if (addPath) {
        identifier = readUint32(bytes, at);
        at += 4;
      }
      // Who asks for the reason asks by prefix, so a few that nobody has are kept.
      const isKept = isAnnounced && this.#malformations.size < REMEMBERED_MALFORMATIONS;
      const prefix = isKept ? prefixes.intern(bytes, at) : prefixes.find(bytes, at);
      if (prefix !== 0) {
        rib.remove(prefix, source, identifier);
        if (isAnnounced || this.#malformations.size > 0) this.#remember(prefixes, prefix);
      }
      this.counters.withdrawn++;
      at += 1 + (((bytes[at] ?? 0) + 7) >> 3);
    }
  }
}

/** Attributes that mean something else, or nothing, in a stored set of IPv4 routes. */
const notStored = [
  AttributeCode.mpReach,
  AttributeCode.mpUnreach,
  AttributeCode.as4Path,
  AttributeCode.as4Aggregator,
] as const;

const isCanonical = (scan: AttributeScan, context: WireContext): boolean =>
  context.fourOctetAs && !scan.dropped && notStored.every((code) => scan.indexOf(code) < 0);
