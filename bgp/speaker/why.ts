// Everything about one prefix: each path with what decided about it, the kernel's route, and what each peer is sent or why
// it is not.

import { type Address, formatAddress } from '../../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix, prefixOf } from '../../net/prefix.ts';
import { explain } from '../rib/decision.ts';
import { attributesOf } from '../rib/decoded.ts';
import type { FamilyRib } from '../rib/family-rib.ts';
import { findPrefix } from '../rib/prefixes.ts';
import type { Rib } from '../rib/rib.ts';
import { describeSource } from '../rib/source.ts';
import { withheld } from '../rib/treatment.ts';
import type { UpdateGroup } from '../rib/update-group.ts';
import type { AddressFamily } from '../settings.ts';
import type { WhyReport } from '../status.ts';
import { unicastProblem } from '../wire/unicast.ts';
import { reportSent, reportStored } from './describe-attributes.ts';
import type { FibSync } from './fib-sync.ts';
import type { Peer } from './peer.ts';

export interface WhySources {
  readonly rib: Rib;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly fib: FibSync | undefined;
}

/** What is asked about one prefix. */
interface Question extends WhySources {
  readonly familyRib: FamilyRib;
  /** Its number; 0 when nobody has spoken of it. */
  readonly prefix: number;
  readonly asked: Prefix;
}

const familyNamed = (prefix: Prefix): AddressFamily => (familyOfPrefix(prefix) === 4 ? 'ipv4-unicast' : 'ipv6-unicast');

/** The longest prefix with paths that covers this one, and is not it; undefined when there is none. */
export function coveringPrefix(rib: Rib, { address, length }: Prefix): Prefix | undefined {
  const familyRib = rib.family(familyNamed({ address, length }));
  for (let shorter = length - 1; shorter >= 0; shorter--) {
    const outer = prefixOf(address, shorter);
    const prefix = findPrefix(familyRib.prefixes, outer);
    if (prefix !== 0 && (familyRib.paths.heads[prefix] ?? 0) !== 0) return outer;
  }
  return undefined;
}

/** What an address is routed by: the longest prefix with paths that contains it, or else its own. */
export function prefixForAddress(rib: Rib, address: Address): Prefix {
  const own = prefixOf(address, typeof address === 'number' ? 32 : 128);
  const familyRib = rib.family(familyNamed(own));
  const prefix = findPrefix(familyRib.prefixes, own);
  const isKnown = prefix !== 0 && (familyRib.paths.heads[prefix] ?? 0) !== 0;
  return isKnown ? own : (coveringPrefix(rib, own) ?? own);
}

export function whyReport(asked: Prefix, sources: WhySources): WhyReport {
  const { rib, peers, fib } = sources;
  const family = familyNamed(asked);
  const familyRib = rib.family(family);
  const text = formatPrefix(asked);
  const question: Question = { ...sources, familyRib, prefix: findPrefix(familyRib.prefixes, asked), asked };
  const paths = [...pathReports(question), ...malformedReports(question)];
  const covering = paths.length === 0 ? coveringPrefix(rib, asked) : undefined;
  return {
    prefix: text,
    ...(covering ? { covering: formatPrefix(covering) } : {}),
    paths,
    fib: fib ? fib.describe(family, question.prefix, text) : 'the kernel is not programmed',
    advertised: paths.length === 0 ? [] : [...peers.values()].map((peer) => advertisedReport(peer, question)),
  };
}

type PathReport = WhyReport['paths'][number];

function pathReports(question: Question): PathReport[] {
  const { familyRib, prefix } = question;
  if (prefix === 0) return [];
  return explain(prefix, familyRib).map(({ path, reason }) => pathReport(path, reason, question));
}

function pathReport(path: number, reason: string | undefined, question: Question): PathReport {
  const { familyRib, rib, asked } = question;
  const { paths } = familyRib;
  const source = rib.sources.get(paths.sourceOf(path));
  const received = paths.receivedOf(path);
  const inForce = paths.attributes[path] ?? 0;
  const attributes = reportStored(rib.store, received, source.local);
  const notes = [reason === undefined ? 'best' : pathVerdict(path, reason, question.prefix, question)];
  if (reason !== undefined && question.fib?.isUsed(familyRib.family, question.prefix, path))
    notes.push('used beside the best one (ECMP)');
  const malformation = peerOf(question, path)?.adjRibIn?.malformationOf(asked);
  if (malformation) notes.push(`${malformation.text}: discarded (RFC 7606)`);
  if (paths.stale?.[path] === 1) notes.push('stale: the peer restarts, or is sending its routes again');
  const changed = inForce !== 0 && inForce !== received;
  return {
    from: describeSource(source),
    ...(paths.identifiers?.[path] ? { pathId: paths.identifiers[path] } : {}),
    verdict: notes.join('; '),
    best: reason === undefined,
    attributes,
    ...(changed
      ? { inForce: { by: changerOf(path, question), attributes: reportStored(rib.store, inForce, source.local) } }
      : {}),
  };
}

/** Why a path is not the best one, with what it was that decided. */
export function pathVerdict(
  path: number,
  reason: string,
  prefix: number,
  { rib, familyRib, peers, fib }: PathContext,
): string {
  const { paths } = familyRib;
  if (paths.attributes[path] === 0) return importVerdict(path, prefix, { rib, familyRib, peers });
  if (reason !== 'next hop is unreachable') return reason;
  const { nextHops } = attributesOf(rib.store, paths.receivedOf(path));
  const [address] = nextHops;
  const why = address === undefined ? undefined : fib?.whyUnreachable(address);
  return `next hop ${nextHops.map(formatAddress).join(' ')} unreachable${why === undefined ? '' : `: ${why}`}`;
}

type PathContext = Pick<Question, 'rib' | 'familyRib' | 'peers'> & Partial<Pick<Question, 'fib'>>;

const peerOf = ({ familyRib, peers }: PathContext, path: number): Peer | undefined => {
  const source = familyRib.paths.sourceOf(path);
  return [...peers.values()].find((one) => one.source === source);
};

/** Why a path is not in force. */
function importVerdict(path: number, prefix: number, context: PathContext): string {
  const { familyRib, rib } = context;
  const problem = unicastProblem(familyRib.prefixes.prefixOf(prefix));
  if (problem !== undefined) return problem;
  const filter = peerOf(context, path)?.adjRibIn?.filter;
  if (!filter) return 'rejected by the import filter';
  const { accept, origin } = rib.filtering.verdict(
    filter,
    familyRib.paths.receivedOf(path),
    familyRib.prefixes,
    prefix,
  );
  if (accept) return `refused: ${origin ?? 'the import filter'} makes its attributes longer than can be kept`;
  return origin === undefined ? 'rejected: no import rule matches' : `rejected by ${origin}`;
}

/** The rule by which other attributes are in force than were received. */
function changerOf(path: number, question: Question): string {
  const { familyRib, rib, prefix } = question;
  const { paths, prefixes } = familyRib;
  const filter = peerOf(question, path)?.adjRibIn?.filter;
  if (!filter) return 'long-lived graceful restart';
  return rib.filtering.verdict(filter, paths.receivedOf(path), prefixes, prefix).origin ?? 'the import filter';
}

/** Peers whose announcement of the prefix counted as a withdrawal. */
function malformedReports({ peers, familyRib, prefix, asked }: Question): PathReport[] {
  return [...peers.values()].flatMap((peer) => {
    const malformation = peer.adjRibIn?.malformationOf(asked);
    if (!malformation?.treatedAsWithdraw) return [];
    const { paths } = familyRib;
    const has = prefix !== 0 && peer.source !== undefined && paths.find(prefix, peer.source, 0) !== 0;
    if (has) return [];
    const from = `${peer.settings.name} (${formatAddress(peer.settings.address)})`;
    return [{ from, verdict: `taken as withdrawn (RFC 7606): ${malformation.text}`, best: false }];
  });
}

type AdvertisedReport = WhyReport['advertised'][number];

function advertisedReport(peer: Peer, question: Question): AdvertisedReport {
  const { familyRib, rib, prefix } = question;
  const to = peer.settings.name;
  const group = peer.groups.get(familyRib.family);
  if (!group) return { to, sent: false, verdict: whyNoGroup(peer, familyRib.family) };
  const [first, ...others] = group.announcedOf(prefix, peer.source ?? -1);
  const missing = group.treatment.addPath ? missingPaths(peer, group, question) : [];
  if (first === undefined) {
    return { to, sent: false, verdict: missing[0] ?? whyNotSent(familyRib.best[prefix] ?? 0, peer, group, question) };
  }
  const count = others.length + 1;
  const paths = count + missing.length === 1 ? '' : ` ${count} of ${count + missing.length} paths`;
  const verdict = [`sent${paths}${acceptedBy(first, group, question)}`, ...missing].join('; ');
  return { to, sent: true, verdict, attributes: reportSent(rib, first, group.treatment) };
}

function whyNoGroup({ session, negotiated }: Peer, family: AddressFamily): string {
  return negotiated ? `the session does not carry ${family}` : `not established (${session.state})`;
}

/** Names the export rule that let a route pass or changed it, where there is one. */
function acceptedBy(set: number, { treatment }: UpdateGroup, { rib, familyRib, prefix }: Question): string {
  if (treatment.filter.acceptsAll) return '';
  const best = familyRib.best[prefix] ?? 0;
  const { origin } = rib.filtering.verdict(treatment.filter, best === 0 ? set : best, familyRib.prefixes, prefix);
  return origin === undefined ? '' : `, by ${origin}`;
}

/** Where all paths are sent: why some are not. */
function missingPaths(peer: Peer, group: UpdateGroup, question: Question): string[] {
  const { familyRib, rib, prefix } = question;
  const { paths } = familyRib;
  const sent = new Set(group.announcedOf(prefix, peer.source ?? -1).map((set) => rib.store.source[set]));
  const reasons: string[] = [];
  for (let path = paths.heads[prefix] ?? 0; path !== 0; path = paths.next[path] ?? 0) {
    const source = paths.sourceOf(path);
    if (source === peer.source || sent.has(source)) continue;
    const attributes = paths.attributes[path] ?? 0;
    const why = attributes === 0 ? 'refused on import' : whyNotSent(attributes, peer, group, question);
    reasons.push(`not the one from ${rib.sources.get(source).name}: ${why}`);
  }
  return reasons;
}

function whyNotSent(attributes: number, peer: Peer, group: UpdateGroup, question: Question): string {
  const { familyRib, rib, prefix } = question;
  const { treatment } = group;
  if (attributes === 0) return 'there is no best path';
  if (rib.store.source[attributes] === peer.source) return 'the best path came from this peer';
  const reason = withheld(attributes, rib.store, rib.sources, treatment);
  if (reason !== undefined) return reason;
  if (peer.source !== undefined && group.isNextHop(attributes, peer.source)) {
    return "its next hop is this peer's own address (RFC 4271 §5.1.3)";
  }
  const { accept, origin } = rib.filtering.verdict(treatment.filter, attributes, familyRib.prefixes, prefix);
  if (!accept) return origin === undefined ? 'rejected: no export rule matches' : `rejected by ${origin}`;
  const set = rib.filtering.apply(treatment.filter, attributes, familyRib.prefixes, prefix);
  if (set === 0 || rib.exporter.isTooLong(set, treatment)) {
    return `its attributes do not fit into a message of ${treatment.maxMessageLength} octets`;
  }
  return 'not sent yet';
}
