// What Calico's resources have no field for, as annotations.
//
//     twill.io/bfd: 50ms x 3        on a BGPPeer, or on BGPConfiguration default for the mesh: an interval for both ways, and
//                                   the packets in a row that may be lost
//     twill.io/interface: eth*      on a BGPPeer without peerIP and peerSelector: peer with the router on each such interface,
//                                   found by router advertisement; asNumber absent means any external AS
//     twill.io/bmp: 10.0.0.9:1790   on BGPConfiguration, default or a node's own: monitoring stations, separated by commas, that
//                                   nodes tell what their peers say (RFC 7854); [fd00::9]:1790 for IPv6. With the word "loc-rib"
//                                   they are told the best routes too (RFC 9069), with "adj-rib-out" what peers are sent, with
//                                   "adj-rib-out-pre-policy" what they would be sent without their export filters (RFC 8671)
//     twill.io/families: ipv4, ipv6 on a BGPPeer with peerIP: what its session carries; absent means the family of peerIP, as
//                                   in Calico. Nodes share one session for both without being told
//     twill.io/local-as: dual-as    on a BGPPeer with localASNumber: how that AS is shown, as words of no-prepend, replace-as and
//                                   dual-as, or "plain" for none; absent means Calico's, no-prepend replace-as
//     twill.io/best-path: prefer-oldest
//                                   on BGPConfiguration, default or a node's own: how best paths are compared, as words of
//                                   always-compare-med, ignore-as-path-length, prefer-oldest, no-multipath-relax
//     twill.io/drain-bgp: "true"    on a Node: others shall send nothing more through it (RFC 8326)

import { type Node, parseDurationMs, parsePeerIp } from '../../datastore/model/index.ts';
import { parseAddress } from '../../net/address.ts';
import {
  type AddressFamily,
  type AdjRibOutView,
  type BestPathSettings,
  type BfdSettings,
  type BmpSettings,
  defaultBestPath,
} from '../settings.ts';

export const bfdAnnotation = 'twill.io/bfd';
export const interfaceAnnotation = 'twill.io/interface';
export const bmpAnnotation = 'twill.io/bmp';
export const familiesAnnotation = 'twill.io/families';
export const localAsAnnotation = 'twill.io/local-as';
export const bestPathAnnotation = 'twill.io/best-path';
export const drainAnnotation = 'twill.io/drain-bgp';

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

const adjRibOutWords: ReadonlyMap<string, AdjRibOutView> = new Map([
  ['adj-rib-out', 'post-policy'],
  ['adj-rib-out-pre-policy', 'pre-policy'],
]);

/** Undefined when the text is not a list of stations with their ports. */
export function parseStations(text: string): readonly BmpSettings[] | undefined {
  const all = wordsOf(text);
  const words = all.filter((word) => word !== 'loc-rib' && !adjRibOutWords.has(word));
  const adjRibOut = [...new Set(all.flatMap((word) => adjRibOutWords.get(word) ?? []))].sort();
  const views = {
    ...(all.includes('loc-rib') ? { locRib: true } : {}),
    ...(adjRibOut.length > 0 ? { adjRibOut } : {}),
  };
  const stations = words.flatMap((word) => {
    const parsed = parsePeerIp(word);
    const address = parseAddress(parsed?.address ?? '');
    return address === undefined || parsed?.port === undefined ? [] : [{ address, port: parsed.port, ...views }];
  });
  return stations.length === words.length ? stations : undefined;
}

const bestPathWords: Readonly<Record<string, Partial<BestPathSettings>>> = {
  'always-compare-med': { alwaysCompareMed: true },
  'ignore-as-path-length': { ignoreAsPathLength: true },
  'prefer-oldest': { preferOldest: true },
  'no-multipath-relax': { multipathRelax: false },
  // Other speakers' words for what this one does unless told otherwise.
  'multipath-relax': { multipathRelax: true },
  'compare-router-id': { preferOldest: false },
  'deterministic-med': {},
};

/** Undefined when a word is none of ours. */
export function parseBestPath(text: string): BestPathSettings | undefined {
  const known = wordsOf(text).map((word) => bestPathWords[word]);
  return known.includes(undefined) ? undefined : Object.assign({ ...defaultBestPath }, ...known);
}

const familyWords: Readonly<Record<string, AddressFamily>> = { ipv4: 'ipv4-unicast', ipv6: 'ipv6-unicast' };

/** Undefined when the text is not a list of families. */
export function parseFamilies(text: string): readonly AddressFamily[] | undefined {
  const words = [...new Set(wordsOf(text))];
  const families = words.flatMap((word) => familyWords[word] ?? []);
  return families.length === 0 || families.length < words.length ? undefined : families.sort();
}

export const bestPathHelp = Object.keys(bestPathWords).join(', ');

const wordsOf = (text: string): string[] => text.split(/[\s,]+/).filter((word) => word !== '');

export const isDraining = (node: Node | undefined): boolean => node?.metadata.annotations?.[drainAnnotation] === 'true';
