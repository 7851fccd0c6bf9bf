// policy trace: what policy decides about the packets of a pod, live, as the kernel reports it on the pod's node.

import { join } from 'node:path';
import { isObject } from '../../datastore/model/schema/check.ts';
import { protocolName } from '../../felix/explain/packet.ts';
import { ControlError, callControlLines } from '../../runtime/control.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface PolicyTraceOptions extends GlobalOptions {
  readonly namespace?: string;
  readonly seconds?: string;
  readonly runDir?: string;
  readonly output?: string;
}

type Fields = Readonly<Record<string, unknown>>;

export async function runPolicyTrace(pod: string, options: PolicyTraceOptions, world: World): Promise<void> {
  const isWhole = pod.includes('/') || pod.startsWith('hostendpoint:');
  const endpoint = isWhole ? pod : `${options.namespace ?? 'default'}/${pod}`;
  const runDir = options.runDir ?? world.environment['TWILL_RUN_DIR'] ?? '/run/twill';
  const query = new URLSearchParams({ endpoint, seconds: options.seconds ?? '10' });
  const interrupted = new AbortController();
  void world.interrupted().then(() => interrupted.abort());
  let packets = 0;
  const onLine = (value: unknown): void => {
    if (!isObject(value)) return;
    if (value['kind'] === 'decision') packets++;
    if (options.output === 'json') world.out(`${JSON.stringify(value)}\n`);
    else world.out(describeEvent(value));
  };
  try {
    await callControlLines(join(runDir, 'felix.sock'), `/v1/trace?${query}`, onLine, interrupted.signal);
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    throw new CommandError(await explainFailure(endpoint, error, options, world));
  }
  if (options.output !== 'json') world.out(`${packets} decisions; tracing is off again\n`);
}

/** The agent here does not know the pod, or does not answer: perhaps it is another node's. */
async function explainFailure(
  endpoint: string,
  error: ControlError,
  options: PolicyTraceOptions,
  world: World,
): Promise<string> {
  if (error.status !== 404 && error.status !== 0) return error.message;
  const here = error.status === 404 ? error.message : `twill-node does not answer here (${error.message})`;
  try {
    const node = await nodeOf(endpoint, options, world);
    if (node === undefined) return `${here}; the datastore has no endpoint ${endpoint} either`;
    return `${here}; ${endpoint} is on node ${node}: run this command there`;
  } catch (cause) {
    if (cause instanceof CommandError) return `${here}; ${cause.message}`;
    throw cause;
  }
}

function nodeOf(endpoint: string, options: PolicyTraceOptions, world: World): Promise<string | undefined> {
  const [namespace = '', pod] = endpoint.split('/');
  return withResources(options, world, async (resources) => {
    const [, hostEndpoint] = /^hostendpoint:(.+)$/.exec(endpoint) ?? [];
    if (hostEndpoint !== undefined) {
      const { resources: all } = await resources.list('HostEndpoint');
      return all.find(({ metadata }) => metadata.name === hostEndpoint)?.spec.node;
    }
    const list = await resources.list('WorkloadEndpoint', namespace);
    return list.resources.find(({ spec }) => spec.pod === pod)?.spec.node;
  });
}

function describeEvent(event: Fields): string {
  if (event['kind'] === 'started') {
    return (
      `following ${event['endpoint']} (${event['interfaceName']}) for ${event['seconds']} s; ` +
      'policy decides on the first packet of a flow, later ones are "established"\n'
    );
  }
  if (event['kind'] === 'lost') return 'some packets were missed: there are too many\n';
  const time = new Date(Number(event['at'])).toISOString().slice(11, 23);
  const head = [time, String(event['verdict']).padEnd(5), String(event['direction']).padEnd(7)].join(' ');
  const before = listOf(event['before']).map((rule) => `; before: ${describeRule(rule)}`);
  return `${head} ${describePacket(event['packet'])}  ${describeReason(event['reason'])}${before.join('')}\n`;
}

function describePacket(value: unknown): string {
  const packet = isObject(value) ? value : {};
  const icmp = isObject(packet['icmp']) ? ` type ${packet['icmp']['type']} code ${packet['icmp']['code']}` : '';
  const side = (address: unknown, port: unknown): string =>
    port === undefined ? `${address}` : String(address).includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const from = side(packet['source'], packet['sourcePort']);
  const to = side(packet['destination'], packet['destinationPort']);
  return `${protocolName(Number(packet['protocol']))}${icmp} ${from} -> ${to}`;
}

function describeReason(value: unknown): string {
  const reason = isObject(value) ? value : {};
  switch (reason['kind']) {
    case 'rule':
      return describeRule(reason);
    case 'tier-default':
      return `end of tier ${reason['tier']}: no rule decided`;
    case 'no-profile':
      return 'no policy applies, and no profile allows it';
    case 'established':
      return 'established';
    default:
      return `${reason['text']} (table ${reason['table']}, chain ${reason['chain']})`;
  }
}

const describeRule = (rule: Fields): string =>
  `${rule['policy']} ${rule['rule']}${rule['staged'] === true ? ' (staged)' : ''}`;

const listOf = (value: unknown): readonly Fields[] => (Array.isArray(value) ? value.filter(isObject) : []);
