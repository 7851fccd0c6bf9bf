// The path attributes that go out, made from a stored set: RFC 4271 §5.1 and §9.2, RFC 4456 §8 (reflection), RFC 6793 §4.2
// (towards 2-octet speakers), RFC 4360 §6 (non-transitive extended communities), RFC 8326, RFC 8950.
//
// The bytes are copied attribute by attribute; few change. IPv4 with an IPv4 next hop leaves as attributes followed by
// NLRI; everything else has its prefixes inside MP_REACH_NLRI, which RFC 7606 §5.1 wants first.

import { AS_SEQUENCE, MAX_SEGMENT_ASNS } from '../wire/as-path.ts';
import { flagsWhenPassedOn } from '../wire/attribute-scan.ts';
import { AttributeCode, EXTENDED_LENGTH, MP_REACH_NEXT_HOP, OPTIONAL, TRANSITIVE } from '../wire/attributes.ts';
import { readUint16, readUint32, writeUint16, writeUint32 } from '../wire/bytes.ts';
import { AS_TRANS, toWireFamily } from '../wire/message.ts';
import {
  type AttributeStore,
  DEFAULT_LOCAL_PREF,
  localPrefOfPriority,
  priorityOfLocalPref,
  Trait,
} from './attribute-store.ts';
import type { Source, Sources } from './source.ts';
import { setsOwnNextHop, type Treatment } from './treatment.ts';

const GRACEFUL_SHUTDOWN = 0xffff0000;

/** One built set. `bytes` is used again for the next. */
export class ExportAttributes {
  readonly bytes = new Uint8Array(2 * 65536);
  /** All attributes but MP_REACH_NLRI. */
  length = 0;
  /** The head of MP_REACH_NLRI up to where its prefixes begin, header included; empty for IPv4 with an IPv4 next hop. */
  readonly reach = new Uint8Array(64);
  reachLength = 0;

  readonly #store: AttributeStore;
  readonly #sources: Sources;
  #nextHopFrom = 0;
  #nextHopLength = 0;
  #nextHopBytes: Uint8Array = new Uint8Array(0);
  /** Attributes still to be added, as bits by code. */
  #pending = 0;

  constructor(store: AttributeStore, sources: Sources) {
    this.#store = store;
    this.#sources = sources;
  }

  build(id: number, treatment: Treatment): void {
    const source = this.#sources.get(this.#store.source[id] ?? 0);
    const bytes = this.#store.bytesOf(id);
    const from = this.#store.offsetOf(id);
    const to = from + this.#store.lengthOf(id);
    this.length = 0;
    this.reachLength = 0;
    const present = this.#survey(bytes, from, to);
    this.#chooseNextHop(source, treatment);
    this.#pending = this.#planAdditions(present, id, source, treatment);
    for (let at = from; at < to; ) {
      const flags = bytes[at] ?? 0;
      const code = bytes[at + 1] ?? 0;
      const extended = (flags & EXTENDED_LENGTH) !== 0;
      const start = at + (extended ? 4 : 3);
      const end = start + (extended ? readUint16(bytes, at + 2) : (bytes[at + 2] ?? 0));
      if (this.#pending !== 0) this.#addBefore(code, id, source, treatment);
      if (code === AttributeCode.localPref) this.#addLocalPref(id, treatment);
      else this.#copy(code, flags, bytes, at, start, end, source, treatment);
      at = end;
    }
    if (this.#pending !== 0) this.#addBefore(256, id, source, treatment);
  }

  #addLocalPref(id: number, { external, draining }: Treatment): void {
    if (!external) this.#addWord(TRANSITIVE, AttributeCode.localPref, draining ? 0 : this.#localPrefOf(id));
  }

  /** A metric that a filter set is told to other nodes as Calico's do. */
  #localPrefOf(id: number): number {
    const store = this.#store;
    const localPref = store.localPref[id] ?? DEFAULT_LOCAL_PREF;
    const priority = store.setPriorityOf(id);
    if (priority === 0) return localPref;
    // What the set came with may be such a metric too, which then counts no more.
    return (
      localPrefOfPriority(priority) ?? (priorityOfLocalPref(localPref) === undefined ? localPref : DEFAULT_LOCAL_PREF)
    );
  }

  /** Which attributes must be added, as bits by code: those that the peer must see and the set does not have. */
  #planAdditions(present: number, id: number, source: Source, treatment: Treatment): number {
    let pending = this.reachLength === 0 ? 1 << AttributeCode.nextHop : 0;
    if (treatment.external) {
      const drained = treatment.draining ? 1 << AttributeCode.communities : 0;
      return pending | (drained & ~present);
    }
    let wanted = 1 << AttributeCode.localPref;
    if (!source.external && !source.local) {
      wanted |= 1 << AttributeCode.clusterList;
      if (((this.#store.traits[id] ?? 0) & Trait.hasOriginator) === 0) wanted |= 1 << AttributeCode.originatorId;
    }
    pending |= wanted & ~present;
    return pending;
  }

  /** Adds what is pending with a code below `next`, in ascending order. */
  #addBefore(next: number, id: number, source: Source, treatment: Treatment): void {
    for (let code = 1; code < next && this.#pending !== 0 && code < 32; code++) {
      if ((this.#pending & (1 << code)) === 0) continue;
      this.#pending &= ~(1 << code);
      this.#add(code, id, source, treatment);
    }
  }

  #add(code: number, id: number, source: Source, treatment: Treatment): void {
    switch (code) {
      case AttributeCode.nextHop:
        this.#header(TRANSITIVE, AttributeCode.nextHop, 4);
        this.#append(this.#nextHopBytes, this.#nextHopFrom, this.#nextHopFrom + 4);
        return;
      case AttributeCode.localPref:
        this.#addLocalPref(id, treatment);
        return;
      case AttributeCode.communities:
        this.#addWord(OPTIONAL | TRANSITIVE, code, GRACEFUL_SHUTDOWN);
        return;
      case AttributeCode.originatorId:
        this.#addWord(OPTIONAL, code, source.routerId);
        return;
      case AttributeCode.clusterList:
        this.#addWord(OPTIONAL, code, treatment.clusterId);
        return;
    }
  }

  #copy(
    code: number,
    flags: number,
    bytes: Uint8Array,
    head: number,
    start: number,
    end: number,
    source: Source,
    treatment: Treatment,
  ): void {
    switch (code) {
      case AttributeCode.nextHop:
      case AttributeCode.mpReach:
      case AttributeCode.as4Path:
      case AttributeCode.as4Aggregator:
      // RFC 7311 §3.4.2: accumulated cost is off unless configured, which it can not be here.
      case AttributeCode.aigp:
        return;
      case AttributeCode.asPath:
        this.#addAsPath(bytes, start, end, treatment);
        return;
      case AttributeCode.med:
        // RFC 4271 §5.1.4: the MED of one neighboring AS does not go to another.
        if (treatment.external && !source.local) return;
        break;
      case AttributeCode.aggregator:
        if (!treatment.fourOctetAs) {
          this.#addOldAggregator(bytes, start);
          return;
        }
        break;
      case AttributeCode.communities:
        if (treatment.draining && treatment.external) {
          this.#addWithWord(flagsWhenPassedOn(code, flags), code, bytes, start, end, GRACEFUL_SHUTDOWN, false);
          return;
        }
        break;
      case AttributeCode.originatorId:
        if (treatment.external) return;
        break;
      case AttributeCode.clusterList:
        if (treatment.external) return;
        this.#addWithWord(OPTIONAL, code, bytes, start, end, treatment.clusterId, true);
        return;
      case AttributeCode.extendedCommunities:
      case AttributeCode.ipv6ExtendedCommunities:
        if (treatment.external) {
          this.#addTransitiveCommunities(flagsWhenPassedOn(code, flags), code, bytes, start, end);
          return;
        }
        break;
      // RFC 8669 §5: not beyond the domain, and where that ends is not told here.
      case AttributeCode.prefixSid:
        if (treatment.external) return;
        break;
    }
    const at = this.length;
    this.#append(bytes, head, end);
    this.bytes[at] = flagsWhenPassedOn(code, flags);
  }

  /** RFC 4271 §5.1.3: ourselves towards other ASs and for own routes, unless told otherwise. */
  #chooseNextHop(source: Source, treatment: Treatment): void {
    if (setsOwnNextHop(source, treatment, this.#isNextHopLinkLocal) || this.#nextHopLength === 0) {
      this.#nextHopBytes = treatment.ownNextHop;
      this.#nextHopFrom = 0;
      this.#nextHopLength = treatment.ownNextHop.length;
    } else if (this.#nextHopLength === 32) {
      // RFC 2545 §3: the link-local one beside it is for those on that link.
      this.#nextHopLength = 16;
    }
    if (treatment.family !== 'ipv4-unicast' || this.#nextHopLength !== 4) this.#buildReach(treatment);
  }

  get #isNextHopLinkLocal(): boolean {
    if (this.#nextHopLength < 16) return false;
    const [at, bytes] = [this.#nextHopFrom, this.#nextHopBytes];
    return bytes[at] === 0xfe && ((bytes[at + 1] ?? 0) & 0xc0) === 0x80;
  }

  /** Notes where the set's next hop is, and returns the codes below 32 that the set has, as bits. */
  #survey(bytes: Uint8Array, from: number, to: number): number {
    let present = 0;
    this.#nextHopLength = 0;
    for (let at = from; at < to; ) {
      const extended = ((bytes[at] ?? 0) & EXTENDED_LENGTH) !== 0;
      const code = bytes[at + 1] ?? 0;
      const start = at + (extended ? 4 : 3);
      if (code < 32) present |= 1 << code;
      if (code === AttributeCode.nextHop || code === AttributeCode.mpReach) {
        this.#nextHopBytes = bytes;
        this.#nextHopFrom = code === AttributeCode.nextHop ? start : start + MP_REACH_NEXT_HOP;
        this.#nextHopLength = code === AttributeCode.nextHop ? 4 : (bytes[start + 3] ?? 0);
      }
      at = start + (extended ? readUint16(bytes, at + 2) : (bytes[at + 2] ?? 0));
    }
    return present;
  }

  #buildReach({ family }: Treatment): void {
    const { afi, safi } = toWireFamily(family);
    const { reach } = this;
    reach[0] = OPTIONAL | EXTENDED_LENGTH;
    reach[1] = AttributeCode.mpReach;
    writeUint16(reach, 4, afi);
    reach[6] = safi;
    reach[7] = this.#nextHopLength;
    for (let i = 0; i < this.#nextHopLength; i++) reach[8 + i] = this.#nextHopBytes[this.#nextHopFrom + i] ?? 0;
    reach[8 + this.#nextHopLength] = 0;
    this.reachLength = 9 + this.#nextHopLength;
  }

  #addAsPath(bytes: Uint8Array, start: number, end: number, treatment: Treatment): void {
    const { external, localAsn, asnBehind, fourOctetAs } = treatment;
    if (external && asnBehind !== undefined) {
      const path = prepended(bytes, start, end, asnBehind);
      this.#addAsPath(path, 0, path.length, { ...treatment, asnBehind: undefined });
      return;
    }
    if (!fourOctetAs) {
      this.#addOldAsPath(bytes, start, end, external ? localAsn : 0);
      return;
    }
    if (!external) {
      this.#header(TRANSITIVE, AttributeCode.asPath, end - start);
      this.#append(bytes, start, end);
      return;
    }
    const joins = joinsFirst(bytes, start, end);
    this.#header(TRANSITIVE, AttributeCode.asPath, end - start + (joins ? 4 : 6));
    const out = this.bytes;
    out[this.length] = AS_SEQUENCE;
    out[this.length + 1] = joins ? (bytes[start + 1] ?? 0) + 1 : 1;
    writeUint32(out, this.length + 2, localAsn);
    this.length += 6;
    this.#append(bytes, joins ? start + 2 : start, end);
  }

  /** RFC 6793 §4.2.2: 2-octet numbers, and an AS4_PATH beside them when one does not fit. */
  #addOldAsPath(bytes: Uint8Array, start: number, end: number, prepend: number): void {
    const path = prepend === 0 ? bytes.slice(start, end) : prepended(bytes, start, end, prepend);
    const { length } = path;
    let at = this.length + 4;
    let wide = false;
    for (let from = 0; from < length; ) {
      const count = path[from + 1] ?? 0;
      this.bytes[at++] = path[from] ?? 0;
      this.bytes[at++] = count;
      from += 2;
      for (let i = 0; i < count; i++, from += 4, at += 2) {
        const asn = readUint32(path, from);
        wide ||= asn > 0xffff;
        writeUint16(this.bytes, at, asn > 0xffff ? AS_TRANS : asn);
      }
    }
    this.bytes[this.length] = TRANSITIVE | EXTENDED_LENGTH;
    this.bytes[this.length + 1] = AttributeCode.asPath;
    writeUint16(this.bytes, this.length + 2, at - this.length - 4);
    this.length = at;
    if (!wide) return;
    this.#header(OPTIONAL | TRANSITIVE, AttributeCode.as4Path, length);
    this.#append(path, 0, length);
  }

  #addOldAggregator(bytes: Uint8Array, start: number): void {
    const asn = readUint32(bytes, start);
    this.#header(OPTIONAL | TRANSITIVE, AttributeCode.aggregator, 6);
    writeUint16(this.bytes, this.length, asn > 0xffff ? AS_TRANS : asn);
    this.length += 2;
    this.#append(bytes, start + 4, start + 8);
    if (asn <= 0xffff) return;
    this.#header(OPTIONAL | TRANSITIVE, AttributeCode.as4Aggregator, 8);
    this.#append(bytes, start, start + 8);
  }

  /** Extended communities of 8 octets, or those of 20 octets that have an IPv6 address (RFC 5701 §2). */
  #addTransitiveCommunities(flags: number, code: number, bytes: Uint8Array, start: number, end: number): void {
    const isTransitive = (at: number): boolean => ((bytes[at] ?? 0) & 0x40) === 0;
    const size = code === AttributeCode.extendedCommunities ? 8 : 20;
    let count = 0;
    for (let at = start; at < end; at += size) if (isTransitive(at)) count++;
    if (count === 0) return;
    this.#header(flags & ~EXTENDED_LENGTH, code, count * size);
    for (let at = start; at < end; at += size) if (isTransitive(at)) this.#append(bytes, at, at + size);
  }

  #addWord(flags: number, code: number, value: number): void {
    this.#header(flags, code, 4);
    writeUint32(this.bytes, this.length, value);
    this.length += 4;
  }

  /** The attribute with one more word, before or after what it has. */
  #addWithWord(
    flags: number,
    code: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    word: number,
    before: boolean,
  ): void {
    this.#header(flags & ~EXTENDED_LENGTH, code, end - start + 4);
    if (!before) this.#append(bytes, start, end);
    writeUint32(this.bytes, this.length, word);
    this.length += 4;
    if (before) this.#append(bytes, start, end);
  }

  #header(flags: number, code: number, length: number): void {
    const out = this.bytes;
    const long = length > 255;
    out[this.length] = long ? flags | EXTENDED_LENGTH : flags;
    out[this.length + 1] = code;
    if (long) writeUint16(out, this.length + 2, length);
    else out[this.length + 2] = length;
    this.length += long ? 4 : 3;
  }

  #append(bytes: Uint8Array, from: number, to: number): void {
    const out = this.bytes;
    let at = this.length;
    for (let i = from; i < to; i++) out[at++] = bytes[i] ?? 0;
    this.length = at;
  }
}

/** The path with one more AS in front: in its first sequence, or in a new one. */
function prepended(bytes: Uint8Array, start: number, end: number, asn: number): Uint8Array {
  const joins = joinsFirst(bytes, start, end);
  const path = new Uint8Array(end - start + (joins ? 4 : 6));
  path[0] = AS_SEQUENCE;
  path[1] = joins ? (bytes[start + 1] ?? 0) + 1 : 1;
  writeUint32(path, 2, asn);
  path.set(bytes.subarray(joins ? start + 2 : start, end), 6);
  return path;
}

const joinsFirst = (bytes: Uint8Array, start: number, end: number): boolean =>
  start < end && bytes[start] === AS_SEQUENCE && (bytes[start + 1] ?? 0) < MAX_SEGMENT_ASNS;
