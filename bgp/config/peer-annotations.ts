// What a session can do and Calico's BGPPeer has no field for, as annotations of the BGPPeer: one entry each.
//
//     twill.io/max-prefixes: 1000 warn 80% restart 5m     more prefixes end the session (RFC 4486), for good or for that long; a
//                                                         warning is logged on the way there, at 75 % when nothing else is said
//     twill.io/passive: "true"                            wait to be called
//     twill.io/long-lived-stale: 1h                       keep the peer's routes, least preferred, when its restart takes longer
//                                                         than it promised (RFC 9494)
//     twill.io/advertisement-interval: 5s                 changes go to the peer at most once in this time, MinRouteAdvertisement-
//                                                         Interval (RFC 4271 §9.2.1.1); they go at once when nothing is said
//     twill.io/delay-open: 2s                             wait for the peer's OPEN before ours is sent, DelayOpenTime (RFC 4271 §8.1.1)
//     twill.io/add-path: send, receive                    several paths of a prefix, in either direction or both (RFC 7911)
//
// And one that stands in the place of peerIP:
//
//     twill.io/listen-range: 10.1.0.0/24, fd00:1::/64     peers are whoever calls from inside, of asNumber or, without it, any AS

import { type BGPPeer, parseDurationMs } from '../../datastore/model/index.ts';
import { type Prefix, parsePrefix } from '../../net/prefix.ts';
import type { MaxPrefixes, PeerSettings } from '../settings.ts';
import type { ConfigProblem } from './resources.ts';

interface PeerAnnotation {
  /** Undefined when the text means nothing. */
  readonly parse: (text: string) => Partial<PeerSettings> | undefined;
  /** What would be right. */
  readonly expected: string;
}

export const listenRangeAnnotation = 'twill.io/listen-range';

const annotations: Readonly<Record<string, PeerAnnotation>> = {
  'twill.io/max-prefixes': {
    parse: (text) => {
      const maxPrefixes = parseMaxPrefixes(text);
      return maxPrefixes && { maxPrefixes };
    },
    expected: 'a limit; write "1000", "1000 warn 80%" or "1000 warn 80% restart 5m"',
  },
  'twill.io/passive': {
    parse: (text) => (text === 'true' || text === 'false' ? { passive: text === 'true' } : undefined),
    expected: '"true" or "false"',
  },
  'twill.io/long-lived-stale': {
    parse: (text) => {
      const seconds = secondsOf(text);
      // RFC 9494 §3.1: 24 bits.
      return seconds === undefined || seconds < 1 || seconds > 0xffffff ? undefined : { longLivedStaleSec: seconds };
    },
    expected: 'a duration from 1s to 4660h; write "1h"',
  },
  'twill.io/advertisement-interval': {
    parse: (text) => {
      const seconds = secondsOf(text);
      return seconds === undefined || seconds < 0 || seconds > 600 ? undefined : { advertisementIntervalSec: seconds };
    },
    expected: 'a duration up to 10m; write "5s"',
  },
  'twill.io/delay-open': {
    parse: (text) => {
      const seconds = secondsOf(text);
      return seconds === undefined || seconds < 0 || seconds > 240 ? undefined : { delayOpenSec: seconds };
    },
    expected: 'a duration up to 4m; write "2s"',
  },
  'twill.io/add-path': {
    parse: (text) => {
      const words = text.split(/[\s,]+/).filter((word) => word !== '');
      if (words.length === 0 || words.some((word) => word !== 'send' && word !== 'receive')) return undefined;
      return { addPathSend: words.includes('send'), addPathReceive: words.includes('receive') };
    },
    expected: 'a direction; write "send", "receive" or "send, receive"',
  },
};

/** What the annotations of a BGPPeer change of its sessions; those that can not be read change nothing. */
export function annotatedSettings(peer: BGPPeer | undefined, problems: ConfigProblem[]): Partial<PeerSettings> {
  let settings: Partial<PeerSettings> = {};
  for (const [name, { parse, expected }] of Object.entries(annotations)) {
    const text = peer?.metadata.annotations?.[name];
    if (!peer || text === undefined) continue;
    const parsed = parse(text.trim());
    if (parsed) settings = { ...settings, ...parsed };
    else problems.push(problemOf(peer, name, `"${text}" is not ${expected}`));
  }
  return settings;
}

/** Undefined without the annotation, or when it can not be read. */
export function listenRanges(peer: BGPPeer, problems: ConfigProblem[]): readonly Prefix[] | undefined {
  const text = peer.metadata.annotations?.[listenRangeAnnotation];
  if (text === undefined) return undefined;
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  const ranges = words.flatMap((word) => parsePrefix(word) ?? []);
  if (ranges.length > 0 && ranges.length === words.length) return ranges;
  const expected = 'a list of networks; write "10.1.0.0/24"';
  problems.push(problemOf(peer, listenRangeAnnotation, `"${text}" is not ${expected}`));
  return undefined;
}

const problemOf = (peer: BGPPeer, annotation: string, problem: string): ConfigProblem => ({
  resource: `BGPPeer/${peer.metadata.name}`,
  field: `metadata.annotations.${annotation}`,
  problem,
});

function parseMaxPrefixes(text: string): MaxPrefixes | undefined {
  const [, limit, percent, restart] = /^(\d{1,9})(?:\s+warn\s+(\d{1,3})\s*%)?(?:\s+restart\s+(\S+))?$/.exec(text) ?? [];
  if (limit === undefined || Number(limit) === 0) return undefined;
  const warnAtPercent = Number(percent ?? 75);
  const restartAfterSec = restart === undefined ? undefined : secondsOf(restart);
  if (warnAtPercent < 1 || warnAtPercent > 100 || (restart !== undefined && !restartAfterSec)) return undefined;
  return { limit: Number(limit), warnAtPercent, ...(restartAfterSec === undefined ? {} : { restartAfterSec }) };
}

function secondsOf(text: string): number | undefined {
  const ms = parseDurationMs(text);
  return ms === undefined ? undefined : Math.round(ms / 1000);
}
