// How many prefixes a peer may bring, with a warning on the way there, told once.

import type { Logger } from '../../runtime/log.ts';
import type { MaxPrefixes } from '../settings.ts';

export class PrefixLimit {
  readonly #log: Logger;
  #isNear = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  isExceeded(count: number, { limit, warnAtPercent }: MaxPrefixes): boolean {
    const isNear = count * 100 > limit * warnAtPercent;
    if (isNear && !this.#isNear) this.#log.warn({ count, limit }, 'number of prefixes nears the limit');
    this.#isNear = isNear;
    if (count <= limit) return false;
    this.#log.warn({ count, limit }, 'more prefixes than allowed');
    return true;
  }
}
