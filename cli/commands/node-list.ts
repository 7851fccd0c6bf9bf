// node list: every node with what it last said of itself.

import { openEphemeral, type Report } from '../../datastore/ephemeral.ts';
import { isObject } from '../../datastore/model/schema/check.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { formatTable, type Row } from '../output/table.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface NodeListOptions extends GlobalOptions {
  readonly output: string;
  readonly redisUrl?: string;
}

/** Undefined: not reported, or not understood. */
export interface NodeState {
  readonly node: string;
  /** Whether there is a Node resource. */
  readonly known: boolean;
  readonly ready: boolean | undefined;
  readonly reasons: readonly string[];
  readonly version: string | undefined;
  readonly reportAgeSec: number | undefined;
  readonly sessions: { readonly established: number; readonly configured: number } | undefined;
  readonly endpoints: number | undefined;
  readonly policies: number | undefined;
}

export async function runNodeList(options: NodeListOptions, world: World): Promise<void> {
  await withResources(options, world, async (resources) => {
    const redisUrl = options.redisUrl ?? world.environment['REDIS_URL'];
    const ephemeral = await openEphemeral({ store: resources.store, redisUrl });
    try {
      const names = (await resources.list('Node')).resources.map(({ metadata }) => metadata.name);
      const states = nodeStates(names, await ephemeral.read('status'), Date.now());
      world.out(await format(states, options.output));
    } finally {
      await ephemeral.close();
    }
  });
}

export function nodeStates(names: readonly string[], reports: readonly Report[], nowMs: number): readonly NodeState[] {
  const byNode = new Map(reports.map((report) => [report.node, report]));
  const all = [...new Set([...names, ...byNode.keys()])].sort();
  return all.map((node) => stateOf(node, names.includes(node), byNode.get(node), nowMs));
}

function stateOf(node: string, known: boolean, report: Report | undefined, nowMs: number): NodeState {
  const said = report ? parse(report.json) : {};
  const felix = isObject(said['felix']) ? said['felix'] : {};
  const bgp = isObject(said['bgp']) ? said['bgp'] : undefined;
  const peers = Array.isArray(bgp?.['peers']) ? bgp['peers'].filter(isObject) : undefined;
  const at = Date.parse(String(said['at']));
  return {
    node,
    known,
    ready: typeof said['ready'] === 'boolean' ? said['ready'] : undefined,
    reasons: report
      ? (Array.isArray(said['reasons']) ? said['reasons'] : []).map(String)
      : ['no report: the agent does not run, or does not reach the datastore'],
    version: typeof said['version'] === 'string' ? said['version'] : undefined,
    reportAgeSec: Number.isNaN(at) ? undefined : Math.max(0, Math.round((nowMs - at) / 1000)),
    sessions: peers && {
      established: peers.filter((peer) => peer['state'] === 'Established').length,
      configured: peers.length,
    },
    endpoints: numberOf(felix['endpoints']),
    policies: numberOf(felix['policies']),
  };
}

const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

function parse(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

async function format(states: readonly NodeState[], output: string): Promise<string> {
  switch (output) {
    case 'json':
      return formatJson(states);
    case 'yaml':
      return await formatYaml(states);
    case 'ps':
    case 'wide':
      return formatTable(
        ['NAME', 'STATE', 'SESSIONS', 'ENDPOINTS', 'POLICIES', 'VERSION', 'AGE', 'REMARKS'],
        states.map(rowOf),
      );
    default:
      throw new CommandError(`unrecognized output format '${output}'`);
  }
}

const word = (value: unknown): string => (value === undefined ? '-' : String(value));

function rowOf(state: NodeState): Row {
  const remarks = state.known ? state.reasons : ['there is no such Node resource', ...state.reasons];
  return [
    state.node,
    state.ready === undefined ? 'silent' : state.ready ? 'ready' : 'not ready',
    state.sessions ? `${state.sessions.established}/${state.sessions.configured}` : '-',
    word(state.endpoints),
    word(state.policies),
    word(state.version),
    state.reportAgeSec === undefined ? '-' : `${state.reportAgeSec}s`,
    remarks.join('; '),
  ];
}
