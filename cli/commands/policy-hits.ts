// policy hits: how often which rule matched, summed over all nodes that report.

import { openEphemeral, type Report } from '../../datastore/ephemeral.ts';
import { isObject } from '../../datastore/model/schema/check.ts';
import { policyName } from '../../felix/explain/verdict.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { formatTable } from '../output/table.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface PolicyHitsOptions extends GlobalOptions {
  readonly redisUrl?: string;
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
  const reports = await readReports(options, world);
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
  const add = (owner: string, rule: string, action: string, hit: Readonly<Record<string, unknown>>): void => {
    const key = `${owner} ${rule} ${action}`;
    const row = rows.get(key) ?? { owner, rule, action, packets: 0, bytes: 0, nodes: 0 };
    row.packets += Number(hit['packets']);
    row.bytes += Number(hit['bytes']);
    row.nodes++;
    rows.set(key, row);
  };
  for (const { json } of reports) {
    const hits: unknown = JSON.parse(json);
    for (const hit of listAt(hits, 'rules')) {
      const owner = hit['kind'] === 'profile' ? `profile/${String(hit['owner'])}` : policyName(String(hit['owner']));
      add(owner, String(hit['origin']), `${String(hit['action'])}${hit['staged'] === true ? ' (staged)' : ''}`, hit);
    }
    for (const hit of listAt(hits, 'others')) add(String(hit['name']), '', 'deny', hit);
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
