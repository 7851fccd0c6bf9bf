// BFD of a peer, as an annotation: "50ms x 3", an interval for both ways and the packets in a row that may be lost.

import { parseDurationMs } from '../../datastore/model/index.ts';
import type { BfdSettings } from '../settings.ts';

export const bfdAnnotation = 'twill.io/bfd';

/** Undefined when the text is not a setting. */
export function parseBfd(text: string, multihop: boolean): BfdSettings | undefined {
  const [, duration, digits] = /^\s*(\S+?)\s*[x×*]\s*(\d{1,3})\s*$/.exec(text) ?? [];
  const interval = duration === undefined ? undefined : parseDurationMs(duration);
  const multiplier = Number(digits);
  // Below 5 ms no thread of ours keeps its promise.
  if (interval === undefined || interval < 5 || interval > 60_000 || multiplier < 1 || multiplier > 255)
    return undefined;
  return { minTxMs: interval, minRxMs: interval, multiplier, multihop };
}
