// node status: the BGP sessions of the agent on this machine, asked over its control socket.

import { join } from 'node:path';
import { isObject } from '../../datastore/model/schema/check.ts';
import { ControlError, callControl } from '../../runtime/control.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { formatBoxedTable } from '../output/table.ts';
import { CommandError, type World } from '../world.ts';

export interface NodeStatusOptions {
  readonly runDir?: string;
  readonly output?: string;
}

const defaultRunDir = '/run/twill';

export async function runNodeStatus(options: NodeStatusOptions, world: World): Promise<void> {
  const runDir = options.runDir ?? world.environment['TWILL_RUN_DIR'] ?? defaultRunDir;
  const status = await askBgp(runDir);
  if (options.output === 'json') world.out(formatJson(status));
  else if (options.output === 'yaml') world.out(await formatYaml(status));
  else world.out(describeStatus(status));
}

async function askBgp(runDir: string): Promise<unknown> {
  try {
    return await callControl(join(runDir, 'bgp.sock'), '/v1/peers');
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    if (await felixAnswers(runDir)) {
      throw new CommandError(
        `Calico process is running, but not its BGP speaker (${error.message}): twill-node runs with --backend none, or starts bgp again just now`,
      );
    }
    throw new CommandError(
      `Calico process is not running: twill-node does not answer (${error.message}); start it, or set TWILL_RUN_DIR`,
    );
  }
}

const felixAnswers = (runDir: string): Promise<boolean> =>
  callControl(join(runDir, 'felix.sock'), '/v1/status').then(
    () => true,
    () => false,
  );

/** The tables of calicoctl, with the numbers of routes beside. */
export function describeStatus(status: unknown): string {
  const { node, routerId, asn, outOfBgp } = isObject(status) ? status : {};
  const listed = isObject(status) ? status['peers'] : status;
  const peers = (Array.isArray(listed) ? listed : []).filter(isObject);
  const facts = [node && `node ${node}`, asn && `AS ${asn}`, routerId && `router id ${routerId}`].filter(Boolean);
  const head = `Calico process is running.${facts.length > 0 ? ` (${facts.join(', ')})` : ''}\n`;
  const why = typeof outOfBgp === 'string' ? `${outOfBgp}\n` : '';
  const ofFamily = (v6: boolean) => peers.filter((peer) => String(peer['address']).includes(':') === v6);
  return [
    `${head}${why}`,
    familyTable('IPv4 BGP status', 'No IPv4 peers found.', ofFamily(false)),
    familyTable('IPv6 BGP status', 'No IPv6 peers found.', ofFamily(true)),
  ].join('\n');
}

function familyTable(title: string, none: string, peers: readonly Readonly<Record<string, unknown>>[]): string {
  if (peers.length === 0) return `${title}\n${none}\n`;
  const rows = peers.map((peer) => {
    const established = peer['state'] === 'Established';
    return [
      String(peer['address'] ?? ''),
      String(peer['type'] ?? ''),
      String(peer['asn'] ?? ''),
      established ? 'up' : 'start',
      since(peer['since']),
      [peer['state'], established ? undefined : (peer['detail'] ?? undefined)].filter(Boolean).join(' '),
      count(peer, 'routesIn'),
      count(peer, 'routesOut'),
    ];
  });
  const headings = ['PEER ADDRESS', 'PEER TYPE', 'AS', 'STATE', 'SINCE', 'INFO', 'ROUTES IN', 'ROUTES OUT'];
  return `${title}\n${formatBoxedTable(headings, rows)}`;
}

const count = (peer: Readonly<Record<string, unknown>>, field: string): string => String(peer[field] ?? '-');

/** The time of day for today, else the date. */
function since(value: unknown): string {
  const date = new Date(typeof value === 'number' ? value : String(value));
  if (Number.isNaN(date.getTime())) return '';
  const text = date.toISOString();
  return Date.now() - date.getTime() < 86_400_000 ? text.slice(11, 19) : text.slice(0, 10);
}
