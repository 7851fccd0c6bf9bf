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
  await write(report, () => describePeers(report), options, world);
}

export async function runBgpRoutes(prefix: string | undefined, options: BgpRoutesOptions, world: World): Promise<void> {
  const { received, advertised, limit } = options;
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
  if (output === 'json') world.out(formatJson(report));
  else if (output === 'yaml') world.out(await formatYaml(report));
  else world.out(describe());
}

export function describePeers({ peers }: PeersReport): string {
  if (peers.length === 0) return 'No peers are configured.\n';
  const headings = ['NAME', 'ADDRESS', 'AS', 'STATE', 'SINCE', 'IN', 'ACCEPTED', 'OUT', 'INFO'];
  const rows = peers.map((peer) => [
    peer.name,
    peer.address,
    String(peer.asn),
    peer.state,
    peer.since.slice(0, 19),
    String(peer.routesIn),
    String(peer.routesAccepted),
    String(peer.routesOut),
    infoOf(peer),
  ]);
  return formatTable(headings, rows);
}

const infoOf = ({ detail, bfd }: PeerReport): string =>
  [detail, bfd && `BFD ${bfd.state}${bfd.state === 'Up' ? '' : ` (${bfd.reason})`}`].filter(Boolean).join(', ');

export function describeRoutes({ view, peer, routes, more }: RoutesReport): string {
  if (routes.length === 0) return peer === undefined ? 'No routes.\n' : `No routes ${view} for ${peer}.\n`;
  const headings = ['', 'PREFIX', 'NEXT HOP', 'FROM', 'AS PATH', 'LOCAL PREF', 'MED', 'COMMUNITIES'];
  const table = formatTable(headings, routes.map(routeRow));
  return more ? `${table}… and more; --limit shows them\n` : table;
}

const routeRow = ({ prefix, from, best, stale, attributes }: RouteReport): string[] => [
  `${best ? '*' : ' '}${stale ? 'S' : ' '}`,
  prefix,
  attributes.nextHop ?? '',
  from ?? 'this node',
  `${attributes.asPath} ${attributes.origin.slice(0, 1)}`.trim(),
  String(attributes.localPref ?? ''),
  String(attributes.med ?? ''),
  attributes.communities.join(' '),
];

export function describeWhy({ prefix, paths, fib, advertised }: WhyReport): string {
  const lines = [prefix];
  if (paths.length === 0) lines.push('  no paths');
  for (const { from, verdict, best, attributes } of paths) {
    lines.push(`  ${best ? '*' : ' '} from ${from}: ${verdict}`);
    if (attributes) lines.push(`      ${describeAttributes(attributes)}`);
  }
  lines.push(`  kernel: ${fib}`);
  for (const { to, verdict, sent } of advertised) lines.push(`  ${sent ? '→' : '✗'} ${to}: ${verdict}`);
  return `${lines.join('\n')}\n`;
}

function describeAttributes(attributes: RouteAttributesReport): string {
  const { asPath, origin, nextHop, localPref, med, communities, originatorId, clusterList } = attributes;
  const parts = [
    nextHop && `next hop ${nextHop}`,
    `AS path ${asPath === '' ? '(empty)' : asPath}`,
    `origin ${origin}`,
    localPref !== undefined && `local pref ${localPref}`,
    med !== undefined && `MED ${med}`,
    communities.length > 0 && `communities ${communities.join(' ')}`,
    originatorId && `originator ${originatorId}`,
    clusterList && `cluster list ${clusterList.join(' ')}`,
  ];
  return parts.filter(Boolean).join(', ');
}
