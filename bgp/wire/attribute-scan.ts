// One walk over the path attributes of an UPDATE, judging each by RFC 7606. Both the object codec and the RIB use it, so
// there is one judgement. A scanner is reused: nothing is allocated for an UPDATE in which nothing is wrong.

import {
  AttributeCode,
  attributeRules,
  attributeTitle,
  EXTENDED_LENGTH,
  type MalformedOutcome,
  OPTIONAL,
  PARTIAL,
  TRANSITIVE,
  type WireContext,
} from './attributes.ts';
import { readUint16 } from './bytes.ts';
import type { NotificationMessage } from './message.ts';
import { ErrorCode, notification, UpdateSubcode } from './notification.ts';

/** Something that was wrong with an UPDATE, and what it led to. */
export interface Finding {
  readonly outcome: MalformedOutcome;
  /** Attribute code; undefined when it is about the message as a whole. */
  readonly code?: number;
  readonly reason: string;
}

const MAX_ATTRIBUTES = 256;
const SEEN = -2;
const LISTED = OPTIONAL | TRANSITIVE;

export class AttributeScan {
  /** The attributes to keep, first occurrences only, in the order in which they came. */
  count = 0;
  readonly codes = new Uint8Array(MAX_ATTRIBUTES);
  /** As received. */
  readonly flags = new Uint8Array(MAX_ATTRIBUTES);
  /** Where each value begins and ends; its header is before it. */
  readonly starts = new Uint32Array(MAX_ATTRIBUTES);
  readonly ends = new Uint32Array(MAX_ATTRIBUTES);
  /** Where the header of each begins. */
  readonly heads = new Uint32Array(MAX_ATTRIBUTES);
  /** True when some attribute was left out of the list, so that the bytes as a whole are not what we keep. */
  dropped = false;
  treatAsWithdraw = false;
  /** Set when the session must end. */
  reset: NotificationMessage | undefined;
  findings: Finding[] = [];
  /** Index of an attribute code, -1 when it was not seen, or SEEN when it was and is not kept. */
  readonly #index = new Int16Array(256);

  /** What comes after some attribute could not be read. */
  #isCutOff = false;

  /** Index into the lists, -1 when the attribute is not there. */
  indexOf(code: number): number {
    return Math.max(-1, this.#index[code] ?? -1);
  }

  /** Nothing is known of the next message yet. */
  forget(): void {
    if (this.findings.length > 0) this.findings = [];
  }

  /** Something that only who uses the attributes can tell is wrong: the routes count as withdrawn. */
  refuse(code: number, reason: string): void {
    this.#wrong('treat-as-withdraw', code, reason);
  }

  /** @param hasNlri whether the UPDATE has anything in its NLRI field. */
  scan(bytes: Uint8Array, from: number, to: number, context: WireContext, hasNlri: boolean): void {
    this.count = 0;
    this.dropped = false;
    this.treatAsWithdraw = false;
    this.reset = undefined;
    this.#isCutOff = false;
    this.forget();
    this.#index.fill(-1);
    let at = from;
    while (at < to) {
      const next = this.#attribute(bytes, at, to, context);
      if (next < 0) break;
      at = next;
    }
    if (this.reset === undefined) this.#judgeWhole(hasNlri);
  }

  /** Judges one attribute; returns where the next begins, or -1 when there is no going on. */
  #attribute(bytes: Uint8Array, head: number, to: number, context: WireContext): number {
    const flags = bytes[head] ?? 0;
    const code = bytes[head + 1] ?? 0;
    const extended = (flags & EXTENDED_LENGTH) !== 0;
    const start = head + (extended ? 4 : 3);
    const end = start + (extended ? readUint16(bytes, head + 2) : (bytes[head + 2] ?? 0));
    if (start > to || end > to) {
      // RFC 7606 §4: the NLRI field can still be found by the total length, so it is withdrawn.
      this.#wrong('treat-as-withdraw', code, 'its length runs past the attributes');
      this.#isCutOff = true;
      return -1;
    }
    if (this.#index[code] !== -1) return this.#repeated(code, end);
    this.#index[code] = SEEN;
    const rule = attributeRules[code];
    if (rule === undefined) return this.#unknown(bytes, flags, code, head, start, end);
    if (rule.internalOnly && context.external) {
      this.dropped = true;
    } else if ((flags & LISTED) !== rule.flags) {
      // RFC 7606 §3 c. What prefixes are to be withdrawn may be in the attribute itself.
      const canWithdraw = !rule.holdsNlri || rule.isWellFormed(bytes, start, end, context);
      const outcome = canWithdraw ? 'treat-as-withdraw' : 'session-reset';
      this.#wrong(outcome, code, 'wrong attribute flags', UpdateSubcode.attributeFlags, bytes.slice(head, end));
      if (rule.holdsNlri) this.#keep(code, flags, head, start, end);
    } else if (!rule.isWellFormed(bytes, start, end, context)) {
      this.#wrong(rule.whenMalformed, code, 'malformed', UpdateSubcode.optionalAttribute, bytes.slice(head, end));
    } else {
      this.#keep(code, flags, head, start, end);
    }
    return this.reset === undefined ? end : -1;
  }

  #keep(code: number, flags: number, head: number, start: number, end: number): void {
    const i = this.count++;
    this.#index[code] = i;
    this.codes[i] = code;
    this.flags[i] = flags;
    this.heads[i] = head;
    this.starts[i] = start;
    this.ends[i] = end;
  }

  #repeated(code: number, end: number): number {
    // RFC 7606 §3 g: only the first counts, even when that one was discarded.
    if (code === AttributeCode.mpReach || code === AttributeCode.mpUnreach) {
      this.#wrong('session-reset', code, 'appears twice', UpdateSubcode.malformedAttributeList);
      return -1;
    }
    this.#wrong('attribute-discard', code, 'appears again');
    return end;
  }

  #unknown(bytes: Uint8Array, flags: number, code: number, head: number, start: number, end: number): number {
    if ((flags & OPTIONAL) === 0) {
      // RFC 4271 §6.3, which RFC 7606 leaves as it is.
      const subcode = UpdateSubcode.unrecognizedWellKnownAttribute;
      this.#wrong('session-reset', code, 'unknown, yet marked well-known', subcode, bytes.slice(head, end));
      return -1;
    }
    // RFC 4271 §5: unknown and non-transitive is quietly ignored.
    if ((flags & TRANSITIVE) === 0) this.dropped = true;
    else this.#keep(code, flags, head, start, end);
    return end;
  }

  #judgeWhole(hasNlri: boolean): void {
    const hasReach = this.indexOf(AttributeCode.mpReach) >= 0;
    if (hasNlri || hasReach) {
      this.#require(AttributeCode.origin);
      this.#require(AttributeCode.asPath);
      if (hasNlri) this.#require(AttributeCode.nextHop);
      return;
    }
    // RFC 7606 §5.2: there may have been routes that we can not see, so withdrawing what we see is not enough.
    const worst = this.findings.find(({ outcome, code }) => {
      return outcome === 'treat-as-withdraw' && (this.#isCutOff || code !== AttributeCode.mpUnreach);
    });
    if (worst) this.#wrong('session-reset', worst.code, 'malformed, in an UPDATE without reachable prefixes');
  }

  #require(code: number): void {
    if (this.indexOf(code) < 0 && !this.treatAsWithdraw) this.#wrong('treat-as-withdraw', code, 'missing');
  }

  #wrong(
    outcome: MalformedOutcome,
    code: number | undefined,
    reason: string,
    subcode: number = UpdateSubcode.malformedAttributeList,
    data?: Uint8Array,
  ): void {
    this.findings.push(code === undefined ? { outcome, reason } : { outcome, code, reason });
    this.dropped = true;
    if (outcome === 'treat-as-withdraw') this.treatAsWithdraw = true;
    if (outcome === 'session-reset') this.reset = notification(ErrorCode.updateMessage, subcode, data);
  }
}

/** "AS_PATH malformed, attribute 77 wrong attribute flags". */
export const describeFindings = (findings: readonly Finding[]): string =>
  findings.map(({ code, reason }) => (code === undefined ? reason : `${attributeTitle(code)} ${reason}`)).join(', ');

/**
 * The flags with which an attribute leaves us. RFC 4271 §4.3 and §5: the partial bit is set on what we did not understand,
 * kept on what is optional and transitive, and zero on all else, as are the bits that nobody uses.
 */
export function flagsWhenPassedOn(code: number, flags: number): number {
  const used = flags & (LISTED | PARTIAL | EXTENDED_LENGTH);
  if (attributeRules[code] === undefined) return used | PARTIAL;
  return (flags & LISTED) === LISTED ? used : used & ~PARTIAL;
}
