// Choosing the best path: RFC 4271 §9.1.2, with the steps of RFC 4456 §9. By elimination: each step keeps the best of
// those that are left, and whoever it removes has its reason.
//
//   eligible → own routes → not long-lived stale → LOCAL_PREF → AS_PATH length → ORIGIN → MED (within one neighbor AS)
//            → eBGP over iBGP → cost of the next hop → (age, RFC 5004) → router id → CLUSTER_LIST length → peer address
//            → path identifier
//
// choose() runs for every changed prefix and so works on columns; most prefixes are decided by their number of paths or
// by the first columns. explain() runs the same steps and keeps the reasons.

import { compareAddresses } from '../../net/address.ts';
import type { BestPathSettings } from '../settings.ts';
import { type AttributeStore, refusals, Trait } from './attribute-store.ts';
import { IdList } from './columns.ts';
import type { Paths } from './paths.ts';
import { LOCAL, type Sources } from './source.ts';

/** Everything that the decision looks at. */
export interface DecisionInput {
  readonly store: AttributeStore;
  readonly paths: Paths;
  readonly sources: Sources;
  readonly bestPath: BestPathSettings;
}

interface Step {
  readonly reason: string;
  /** Multipath ignores what comes after the step that says so. */
  readonly tieBreak?: true;
  /** Keeps the best paths at the front of the list and shortens it. */
  readonly keep: (candidates: IdList, input: DecisionInput) => void;
}

/** Keeps those with the least value. */
function least(value: (path: number, input: DecisionInput) => number): Step['keep'] {
  return (candidates, input) => {
    let best = Number.POSITIVE_INFINITY;
    let kept = 0;
    const { ids, length } = candidates;
    for (let i = 0; i < length; i++) {
      const path = ids[i] ?? 0;
      const worth = value(path, input);
      if (worth > best) continue;
      if (worth < best) {
        best = worth;
        kept = 0;
      }
      // Those removed before are not needed any more, so they may be overwritten.
      ids[kept++] = path;
    }
    candidates.length = kept;
  };
}

const attributesOf = (path: number, { paths }: DecisionInput): number => paths.attributes[path] ?? 0;
const sourceOf = (path: number, input: DecisionInput) => input.sources.get(input.paths.sourceOf(path));

const isLongLivedStale = (path: number, { store, paths }: DecisionInput): boolean =>
  ((store.traits[paths.attributes[path] ?? 0] ?? 0) & Trait.longLivedStale) !== 0;

/**
 * What comes before the length of the AS_PATH, as one number, the higher the better. Own routes first: what a peer says of
 * a prefix that this node itself has is never better. Then RFC 9494 §4.3: long-lived stale is least preferred, whatever
 * the LOCAL_PREF.
 */
function degreeOfPreference(path: number, input: DecisionInput): number {
  if (input.paths.sourceOf(path) === LOCAL) return 2 * LOCAL_PREFS;
  const localPref = input.store.localPref[attributesOf(path, input)] ?? 0;
  return isLongLivedStale(path, input) ? localPref : LOCAL_PREFS + localPref;
}

/** LOCAL_PREF is below this. */
const LOCAL_PREFS = 2 ** 32;

const pathLength = (path: number, input: DecisionInput): number =>
  (input.store.pathRank[attributesOf(path, input)] ?? 0) >>> 2;

const keepShortest = least(pathLength);
const keepOldest = least((path, { paths }) => paths.arrivals?.[path] ?? 0);

export const steps: readonly Step[] = [
  {
    reason: 'learned from a peer, and there is an own route',
    keep: least((path, input) => (sourceOf(path, input).local ? 0 : 1)),
  },
  { reason: 'long-lived stale', keep: least((path, input) => (isLongLivedStale(path, input) ? 1 : 0)) },
  {
    reason: 'lower LOCAL_PREF',
    keep: least((path, input) => -(input.store.localPref[attributesOf(path, input)] ?? 0)),
  },
  {
    reason: 'longer AS_PATH',
    keep: (candidates, input) => {
      if (!input.bestPath.ignoreAsPathLength) keepShortest(candidates, input);
    },
  },
  {
    reason: 'higher ORIGIN',
    keep: least((path, input) => (input.store.pathRank[attributesOf(path, input)] ?? 0) & 3),
  },
  { reason: 'higher MED', keep: keepLowestMed },
  { reason: 'iBGP, and there is an eBGP path', keep: least((path, input) => (sourceOf(path, input).external ? 0 : 1)) },
  {
    reason: 'next hop costs more',
    keep: least((path, input) => {
      const { store } = input;
      return store.nextHops.metric[store.nextHop[attributesOf(path, input)] ?? 0] ?? 0;
    }),
  },
  {
    reason: 'newer',
    tieBreak: true,
    keep: (candidates, input) => {
      // Those that are left are all external, or none is.
      const [first = 0] = candidates.ids;
      const isAsked = input.bestPath.preferOldest && candidates.length > 1;
      if (isAsked && sourceOf(first, input).external) keepOldest(candidates, input);
    },
  },
  {
    reason: 'higher router id',
    tieBreak: true,
    keep: least((path, input) => input.store.originator[attributesOf(path, input)] ?? 0),
  },
  {
    reason: 'longer CLUSTER_LIST',
    tieBreak: true,
    keep: least((path, input) => input.store.clusterLength[attributesOf(path, input)] ?? 0),
  },
  { reason: 'higher peer address', tieBreak: true, keep: keepLowestAddress },
  {
    reason: 'higher path identifier',
    tieBreak: true,
    keep: least((path, { paths }) => paths.identifiers?.[path] ?? 0),
  },
];

/** RFC 4271 §9.1.2.2 c: MED compares only among paths from the same neighboring AS, unless settings say otherwise. */
function keepLowestMed(candidates: IdList, input: DecisionInput): void {
  const { ids, length } = candidates;
  let kept = 0;
  for (let i = 0; i < length; i++) {
    const path = ids[i] ?? 0;
    if (hasLowerMed(path, candidates, kept, i, input)) continue;
    // The front holds those kept so far; whoever was beaten is behind, out of the way but still to be compared with.
    ids[i] = ids[kept] ?? 0;
    ids[kept++] = path;
  }
  candidates.length = kept;
}

/** Whether another path that this one compares with has a lower MED: those kept so far, or those not judged yet. */
function hasLowerMed(path: number, { ids, length }: IdList, kept: number, at: number, input: DecisionInput): boolean {
  const { store } = input;
  const { alwaysCompareMed } = input.bestPath;
  const attributes = attributesOf(path, input);
  const neighbor = store.neighborAs[attributes];
  const med = store.med[attributes] ?? 0;
  for (let i = 0; i < length; i++) {
    if (i === kept) i = at;
    const other = attributesOf(ids[i] ?? 0, input);
    const compares = alwaysCompareMed || store.neighborAs[other] === neighbor;
    if (compares && (store.med[other] ?? 0) < med) return true;
  }
  return false;
}

function keepLowestAddress(candidates: IdList, input: DecisionInput): void {
  const { ids, length } = candidates;
  const addressOf = (i: number) => sourceOf(ids[i] ?? 0, input).address;
  let best = 0;
  for (let i = 1; i < length; i++) if (compareAddresses(addressOf(i), addressOf(best)) < 0) best = i;
  const lowest = addressOf(best);
  const survivors = ids
    .slice(0, length)
    .filter((path) => compareAddresses(sourceOf(path, input).address, lowest) === 0);
  ids.set(survivors);
  candidates.length = survivors.length;
}

/** Why a path may not be chosen at all; undefined when it may. */
export function refusalOf(path: number, input: DecisionInput): string | undefined {
  const attributes = attributesOf(path, input);
  // The report knows which rule it was.
  if (attributes === 0) return 'refused on import';
  const refusal = refusals[input.store.refusal[attributes] ?? 0];
  if (refusal !== undefined) return refusal;
  return isUsable(attributes, input.store) ? undefined : 'next hop is unreachable';
}

/** Routes with this set may be chosen. */
export function isUsable(attributes: number, store: AttributeStore): boolean {
  if (attributes === 0 || store.refusal[attributes] !== 0) return false;
  const nextHop = store.nextHop[attributes] ?? 0;
  return nextHop === 0 || store.nextHops.usable[nextHop] === 1;
}

const candidates = new IdList();
/** The first steps, which degreeOfPreference() takes at once. */
const STEPS_IN_DEGREE = 3;

/** The best path of the prefix; 0 when there is none. */
export function choose(prefix: number, input: DecisionInput): number {
  const { paths, store } = input;
  const first = paths.heads[prefix] ?? 0;
  if (first === 0) return 0;
  if (paths.next[first] === 0) return isUsable(paths.attributes[first] ?? 0, store) ? first : 0;
  if (!collectLeading(first, input)) return 0;
  for (let i = STEPS_IN_DEGREE; candidates.length > 1 && i < steps.length; i++) steps[i]?.keep(candidates, input);
  return candidates.ids[0] ?? 0;
}

/** Fills `candidates` with the usable paths of the highest degree of preference; false when there are none. */
function collectLeading(first: number, input: DecisionInput): boolean {
  const { paths, store } = input;
  candidates.length = 0;
  let best = -1;
  for (let path = first; path !== 0; path = paths.next[path] ?? 0) {
    if (!isUsable(paths.attributes[path] ?? 0, store)) continue;
    const degree = degreeOfPreference(path, input);
    if (degree < best) continue;
    if (degree > best) {
      best = degree;
      candidates.length = 0;
    }
    candidates.push(path);
  }
  return candidates.length > 0;
}

/**
 * The paths to use at once, the best one first: those that only a tie-break separates from it (RFC 4271 §9.1.2.2 is
 * silent on this; it is what routers do), at most `limit`; without multipathRelax, those of the best one's neighboring AS.
 */
export function chooseSeveral(prefix: number, input: DecisionInput, limit: number): number[] {
  const best = choose(prefix, input);
  if (best === 0 || limit <= 1) return best === 0 ? [] : [best];
  collectLeading(input.paths.heads[prefix] ?? 0, input);
  for (const step of steps) if (!step.tieBreak) step.keep(candidates, input);
  const neighborOf = (path: number) => input.store.neighborAs[attributesOf(path, input)];
  const { multipathRelax } = input.bestPath;
  const equal = [...candidates.ids.subarray(0, candidates.length)].filter(
    (path) => path !== best && (multipathRelax || neighborOf(path) === neighborOf(best)),
  );
  return [
    best,
    ...equal.sort((a, b) => compareAddresses(sourceOf(a, input).address, sourceOf(b, input).address)),
  ].slice(0, limit);
}

export interface Explained {
  readonly path: number;
  /** Why it is not the best; undefined for the best. */
  readonly reason: string | undefined;
}

/** Every path of the prefix with the step at which it lost. */
export function explain(prefix: number, input: DecisionInput): Explained[] {
  const losers: Explained[] = [];
  const left = new IdList();
  for (let path = input.paths.heads[prefix] ?? 0; path !== 0; path = input.paths.next[path] ?? 0) {
    const refusal = refusalOf(path, input);
    if (refusal === undefined) left.push(path);
    else losers.push({ path, reason: refusal });
  }
  for (const { keep, reason } of steps) {
    const before = [...left.ids.subarray(0, left.length)];
    keep(left, input);
    const after = new Set(left.ids.subarray(0, left.length));
    for (const path of before) if (!after.has(path)) losers.unshift({ path, reason });
  }
  const best = left.length > 0 ? [{ path: left.ids[0] ?? 0, reason: undefined }] : [];
  return [...best, ...losers];
}
