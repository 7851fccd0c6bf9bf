// The id of a selector, as Calico makes it: IP sets and rules refer to selectors by it.

import { createHash } from 'node:crypto';
import type { Selector } from './parse.ts';

/** `s:` and the unpadded base64url of SHA-224 over `s:` and the canonical text. */
export const selectorId = (selector: Selector): string => uniqueId('s', selector.text);

/** An id of Calico's form for any text: `prefix:` and the hash over `prefix:text`. */
export const uniqueId = (prefix: string, text: string): string =>
  `${prefix}:${createHash('sha224').update(`${prefix}:${text}`).digest('base64url')}`;
