// bgp peers, bgp routes, bgp why: asked of the agent on this machine over its control socket.

import { join, resolve } from 'node:path';
import type {
  PeerReport,
  PeersReport,
  RouteAttributesReport,
  RouteReport,
  RoutesReport,
  WhyReport,
} from '../../bgp/status.ts';
import { ControlError, callControl } from '../../runtime/control.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { formatTable } from '../output/table.ts';
import { CommandError, type World } from '../world.ts';

export interface BgpOptions {
  readonly runDir?: string;
  readonly output?: string;
}

export interface BgpRoutesOptions extends BgpOptions {
  readonly received?: string;
  readonly advertised?: string;
  readonly limit: string;
}

export async function runBgpPeers(options: BgpOptions, world: World): Promise<void> {
  const report = await ask<PeersReport>('/v1/peers', options, world);
  await write(report, () => describePeers(report, options.output === 'wide'), options, world);
}

export async function runBgpRoutes(prefix: string | undefined, options: BgpRoutesOptions, world: World): Promise<void> {
  const { received, advertised, limit } = options;
  if (!/^[1-9]\d*$/.test(limit)) throw new CommandError(`--limit: a number from 1 on is needed, not "${limit}"`);
  const peer = received ?? advertised;
  const query = new URLSearchParams({
    view: received ? 'received' : advertised ? 'advertised' : 'best',
    limit,
    ...(peer === undefined ? {} : { peer }),
    ...(prefix === undefined ? {} : { prefix }),
  });
  const report = await ask<RoutesReport>(`/v1/routes?${query}`, options, world);
  await write(report, () => describeRoutes(report), options, world);
}

export async function runBgpWhy(prefix: string, options: BgpOptions, world: World): Promise<void> {
  const report = await ask<WhyReport>(`/v1/why?${new URLSearchParams({ prefix })}`, options, world);
  await write(report, () => describeWhy(report), options, world);
}

export async function runBgpDumpMrt(file: string, options: BgpOptions, world: World): Promise<void> {
  const path = resolve(file);
  const { bytes } = await ask<{ readonly bytes: number }>('/v1/mrt', options, world, { path });
  world.out(`${path}: ${bytes} bytes\n`);
}

async function ask<T>(path: string, options: BgpOptions, world: World, body?: object): Promise<T> {
  const runDir = options.runDir ?? world.environment['TWILL_RUN_DIR'] ?? '/run/twill';
  try {
    return (await callControl(join(runDir, 'bgp.sock'), path, { body, timeoutMs: 60_000 })) as T;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    if (error.status !== 0) throw new CommandError(error.message);
    throw new CommandError(`twill-node does not answer (${error.message}); start it, or set TWILL_RUN_DIR`);
  }
}

async function write(report: object, describe: () => string, { output }: BgpOptions, world: World): Promise<void> {
  switch (output) {
    case 'json':
      return world.out(formatJson(report));
    case 'yaml':
      return world.out(await formatYaml(report));
    case undefined:
    case 'table':
    case 'wide':
      return world.out(describe());
    default:
      throw new CommandError(`-o: "${output}" is no format; table, wide, json and yaml are`);
  }
}

export function describePeers({ peers, outOfBgp }: PeersReport, isWide = false): string {
  if (outOfBgp !== undefined) return `No peers: ${outOfBgp}\n`;
  if (peers.length === 0) return 'No peers are configured.\n';
  const columns = isWide ? [...peerColumns, ...widePeerColumns, infoColumn] : [...peerColumns, infoColumn];
  return formatTable(
    columns.map(([heading]) => heading),
    peers.map((peer) => columns.map(([, of]) => of(peer))),
  );
}

type PeerColumn = readonly [heading: string, of: (peer: PeerReport) => string];

const peerColumns: readonly PeerColumn[] = [
  ['NAME', ({ name }) => name],
  ['ADDRESS', ({ address }) => address],
  ['AS', ({ asn }) => (asn === 0 ? 'any' : String(asn))],
  ['STATE', ({ state }) => state],
  ['SINCE', ({ since }) => toSecond(since)],
  ['IN', ({ routesIn }) => String(routesIn)],
  ['ACCEPTED', ({ routesAccepted }) => String(routesAccepted)],
  ['OUT', ({ routesOut }) => String(routesOut)],
];

const widePeerColumns: readonly PeerColumn[] = [
  ['FLAPS', (peer) => String(flapsOf(peer))],
  ['MESSAGES IN', ({ messagesIn }) => String(messagesIn)],
  ['MESSAGES OUT', ({ messagesOut }) => String(messagesOut)],
  ['QUEUE', ({ queuedBytes }) => String(queuedBytes)],
  ['LAST ERROR', ({ lastError }) => (lastError ? `${toSecond(lastError.at)} ${lastError.text}` : '')],
];

const infoColumn: PeerColumn = ['INFO', (peer) => infoOf(peer)];

/** Without milliseconds, but with its zone. */
const toSecond = (time: string): string => time.replace(/\.\d+Z$/, 'Z');

/** Times that it was lost. */
const flapsOf = ({ timesEstablished, state }: PeerReport): number =>
  Math.max(0, timesEstablished - (state === 'Established' ? 1 : 0));

const infoOf = ({ detail, bfd }: PeerReport): string =>
  [detail, bfd && `BFD ${bfd.state}${bfd.state === 'Up' ? '' : ` (${bfd.reason})`}`].filter(Boolean).join(', ');

export function describeRoutes({ view, peer, routes, more, note }: RoutesReport): string {
  if (routes.length === 0) {
    const about = peer === undefined ? '' : view === 'advertised' ? ` advertised to ${peer}` : ` received from ${peer}`;
    return `No routes${about}${note ? `: ${note}` : ''}.\n`;
  }
  const columns = routeColumns.filter(([, of, isRare]) => !isRare || routes.some((route) => of(route) !== ''));
  const table = formatTable(
    columns.map(([heading]) => heading),
    routes.map((route) => columns.map(([, of]) => of(route))),
  );
  return more ? `${table}… and more; --limit shows them\n` : table;
}

/** Rare ones are left out where no route has anything to say there. */
const routeColumns: readonly (readonly [heading: string, of: (route: RouteReport) => string, isRare?: true])[] = [
  ['', ({ best, stale }) => `${best ? '*' : ' '}${stale ? 'S' : ' '}`],
  ['PREFIX', ({ prefix }) => prefix],
  ['PATH ID', ({ pathId }) => (pathId === undefined ? '' : String(pathId)), true],
  ['NEXT HOP', ({ attributes }) => attributes.nextHop ?? ''],
  ['FROM', ({ from }) => from ?? 'this node'],
  ['AS PATH', ({ attributes }) => `${attributes.asPath} ${attributes.origin.slice(0, 1)}`.trim()],
  ['LOCAL PREF', ({ attributes }) => String(attributes.localPref ?? '')],
  ['MED', ({ attributes }) => String(attributes.med ?? '')],
  ['COMMUNITIES', ({ attributes }) => communitiesOf(attributes)],
  ['WHY NOT', ({ why }) => why ?? '', true],
];

/** By the names that routers know them by: RFC 1997, 3765, 7999, 8326, 9494. */
const wellKnown: Readonly<Record<string, string>> = {
  '65535:0': 'graceful-shutdown',
  '65535:6': 'llgr-stale',
  '65535:7': 'no-llgr',
  '65535:666': 'blackhole',
  '65535:65281': 'no-export',
  '65535:65282': 'no-advertise',
  '65535:65283': 'no-export-subconfed',
  '65535:65284': 'no-peer',
};

const communitiesOf = ({ communities, extendedCommunities = [] }: RouteAttributesReport): string =>
  [...communities.map((text) => wellKnown[text] ?? text), ...extendedCommunities].join(' ');

export function describeWhy({ prefix, covering, paths, fib, advertised }: WhyReport): string {
  const lines = [prefix];
  if (paths.length === 0) lines.push('  nobody announces it');
  if (covering !== undefined) lines.push(`  it lies in ${covering}: ask for that one`);
  for (const { from, pathId, verdict, best, attributes, inForce } of paths) {
    lines.push(`  ${best ? '*' : ' '} from ${from}${pathId === undefined ? '' : ` #${pathId}`}: ${verdict}`);
    if (attributes) lines.push(`      ${describeAttributes(attributes)}`);
    if (inForce) lines.push(`      made by ${inForce.by}: ${describeAttributes(inForce.attributes)}`);
  }
  lines.push(`  kernel: ${fib}`);
  for (const { to, verdict, sent, attributes } of advertised) {
    lines.push(`  ${sent ? '→' : '✗'} ${to}: ${verdict}`);
    if (attributes) lines.push(`      ${describeAttributes(attributes)}`);
  }
  return `${lines.join('\n')}\n`;
}

function describeAttributes(attributes: RouteAttributesReport): string {
  const { asPath, origin, nextHop, localPref, med, originatorId, clusterList, others } = attributes;
  const communities = communitiesOf(attributes);
  const parts = [
    nextHop && `next hop ${nextHop}`,
    `AS path ${asPath === '' ? '(empty)' : asPath}`,
    `origin ${origin}`,
    localPref !== undefined && `local pref ${localPref}`,
    med !== undefined && `MED ${med}`,
    communities !== '' && `communities ${communities}`,
    originatorId && `originator ${originatorId}`,
    clusterList && `cluster list ${clusterList.join(' ')}`,
    others && `with ${others.join(', ')}`,
  ];
  return parts.filter(Boolean).join(', ');
}
