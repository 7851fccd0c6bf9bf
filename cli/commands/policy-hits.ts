// policy hits: how often which rule matched, summed over all nodes that report. The node at hand is asked itself, so that its
// counters are those of this moment.

import { join } from 'node:path';
import { openEphemeral, type Report } from '../../datastore/ephemeral.ts';
import { isObject } from '../../datastore/model/schema/check.ts';
import { policyName } from '../../felix/explain/verdict.ts';
import { callControl } from '../../runtime/control.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { formatTable } from '../output/table.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface PolicyHitsOptions extends GlobalOptions {
  readonly redisUrl?: string;
  readonly runDir?: string;
  readonly output?: string;
  readonly unused?: boolean;
}

interface Row {
  /** `<kind>/<namespace>/<name>`, without a namespace `<kind>/<name>`, `profile/<name>`; or what dropped a packet without a rule. */
  readonly owner: string;
  /** `ingress[3]`; empty without a rule. */
  readonly rule: string;
  /** With "(staged)" when it only counts. */
  readonly action: string;
  packets: number;
  bytes: number;
  nodes: number;
}

export async function runPolicyHits(name: string | undefined, options: PolicyHitsOptions, world: World): Promise<void> {
  const local = await askThisNode(options, world);
  const others = (await readReports(options, world)).filter(({ node }) => node !== local?.node);
  const reports = local ? [local, ...others] : others;
  if (reports.length === 0)
    throw new CommandError('no node reports; start twill-node, or give --redis-url when its nodes have one');
  const rows = sumHits(reports)
    .filter((row) => name === undefined || isCalled(row.owner, name))
    .filter((row) => !options.unused || (row.packets === 0 && row.rule !== ''));
  if (options.output === 'json') return world.out(formatJson(rows));
  if (options.output === 'yaml') return world.out(await formatYaml(rows));
  const cells = rows.map(({ owner, rule, action, packets, bytes, nodes }) => [
    owner,
    rule,
    action,
    `${packets}`,
    `${bytes}`,
    `${nodes}`,
  ]);
  world.out(formatTable(['POLICY', 'RULE', 'ACTION', 'PACKETS', 'BYTES', 'NODES'], cells));
  world.err(describeAge(others, Date.now()));
}

/** Undefined where no felix runs. */
async function askThisNode({ runDir }: PolicyHitsOptions, world: World): Promise<Report | undefined> {
  const socket = join(runDir ?? world.environment['TWILL_RUN_DIR'] ?? '/run/twill', 'felix.sock');
  const hits = await callControl(socket, '/v1/hits', { timeoutMs: 5000 }).catch(() => undefined);
  const node = isObject(hits) ? hits['node'] : undefined;
  return typeof node === 'string' ? { node, json: JSON.stringify(hits) } : undefined;
}

/** How old the oldest of the reports is; nothing when they are of this moment. */
export function describeAge(reports: readonly Report[], nowMs: number): string {
  const times = reports.map(({ json }) => {
    const report: unknown = JSON.parse(json);
    return isObject(report) ? Date.parse(String(report['at'])) : Number.NaN;
  });
  const oldest = Math.min(...times.filter(Number.isFinite));
  const seconds = Math.round((nowMs - oldest) / 1000);
  return Number.isFinite(oldest) && seconds > 0 ? `Other nodes reported up to ${seconds} s ago.\n` : '';
}

function readReports(options: PolicyHitsOptions, world: World): Promise<readonly Report[]> {
  return withResources(options, world, async ({ store }) => {
    const redisUrl = options.redisUrl ?? world.environment['REDIS_URL'];
    const ephemeral = await openEphemeral({ redisUrl, store });
    try {
      return await ephemeral.read('hits');
    } finally {
      await ephemeral.close();
    }
  });
}

/** Rules in the order of their policies; then what no rule decided. */
export function sumHits(reports: readonly Report[]): readonly Row[] {
  const rows = new Map<string, Row>();
  /** The node that a row has counted last: a rule may be there twice, for both directions. */
  const lastNode = new Map<string, string>();
  const add = (
    node: string,
    owner: string,
    rule: string,
    action: string,
    hit: Readonly<Record<string, unknown>>,
  ): void => {
    const key = `${owner} ${rule} ${action}`;
    const row = rows.get(key) ?? { owner, rule, action, packets: 0, bytes: 0, nodes: 0 };
    row.packets += Number(hit['packets']);
    row.bytes += Number(hit['bytes']);
    if (lastNode.get(key) !== node) row.nodes++;
    lastNode.set(key, node);
    rows.set(key, row);
  };
  for (const { node, json } of reports) {
    const hits: unknown = JSON.parse(json);
    for (const hit of listAt(hits, 'rules')) {
      const owner = hit['kind'] === 'profile' ? `profile/${String(hit['owner'])}` : policyName(String(hit['owner']));
      add(
        node,
        owner,
        String(hit['origin']),
        `${String(hit['action'])}${hit['staged'] === true ? ' (staged)' : ''}`,
        hit,
      );
    }
    for (const hit of listAt(hits, 'others')) add(node, String(hit['name']), '', 'deny', hit);
  }
  const isRule = (row: Row): number => (row.rule === '' ? 1 : 0);
  return [...rows.values()].sort(
    (a, b) => isRule(a) - isRule(b) || compare(a.owner, b.owner) || compareRules(a.rule, b.rule),
  );
}

function listAt(value: unknown, field: string): readonly Readonly<Record<string, unknown>>[] {
  const list = isObject(value) ? value[field] : undefined;
  return Array.isArray(list) ? list.filter(isObject) : [];
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
/** ingress[10] after ingress[9]. */
const compareRules = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });

/** `NetworkPolicy/prod/web`, `prod/web` and `web` all mean that policy. */
const isCalled = (owner: string, name: string): boolean =>
  policyName(owner) === policyName(name) || owner.endsWith(`/${name}`);
