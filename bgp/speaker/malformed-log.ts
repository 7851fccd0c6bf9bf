// RFC 7606 §8: an operator can see what was wrong, with the UPDATE; a peer that sends nothing else does not fill the disk.

import type { Logger } from '../../runtime/log.ts';
import type { Millis } from '../edges.ts';
import { describeFindings, type Finding } from '../wire/attribute-scan.ts';

/** Malformed UPDATEs are logged this often, and so much of one. */
const everyMs: Millis = 10_000;
const loggedBytes = 1024;

export class MalformedLog {
  readonly #log: Logger;
  /** Since one was last logged. */
  #updates = 0;
  #loggedAt: Millis = -Infinity;

  constructor(log: Logger) {
    this.#log = log;
  }

  note(findings: readonly Finding[], update: Uint8Array, now: Millis): void {
    this.#updates++;
    if (now < this.#loggedAt + everyMs) return;
    this.#log.warn(
      { problem: describeFindings(findings), updates: this.#updates, update: hexOf(update) },
      'malformed UPDATE',
    );
    this.#loggedAt = now;
    this.#updates = 0;
  }
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, loggedBytes)).toString('hex');
