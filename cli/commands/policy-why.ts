// policy why: may this traffic pass, who decides it, and what would change it?

import type { End } from '../../felix/explain/ends.ts';
import { explain } from '../../felix/explain/explain.ts';
import { parseTraffic } from '../../felix/explain/packet.ts';
import type { PolicyWorld } from '../../felix/explain/policy-world.ts';
import { formatReach, reachBetween } from '../../felix/explain/reach.ts';
import { formatExplanation } from '../../felix/explain/text.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { CommandError, type World } from '../world.ts';
import { openPolicyWorld, type PolicySourceOptions } from './policy-world.ts';

export interface PolicyWhyOptions extends PolicySourceOptions {
  readonly output?: string;
}

export async function runPolicyWhy(
  from: string,
  to: string,
  trafficText: string | undefined,
  options: PolicyWhyOptions,
  world: World,
): Promise<void> {
  const traffic = trafficText === undefined ? undefined : parseTraffic(trafficText);
  if (trafficText !== undefined && !traffic) {
    throw new CommandError(
      `${trafficText} is not traffic; write tcp/80, udp/53, sctp/7, icmp, icmp/TYPE/CODE or a protocol number`,
    );
  }
  const policies = await openPolicyWorld(options, world, [from, to]);
  const source = endOrFail(policies, from, options.namespace);
  const destination = endOrFail(policies, to, options.namespace);
  if (!traffic) return writeReach(policies, source, destination, options, world);
  const explanation = explain(policies, source, destination, traffic);
  if (typeof explanation === 'string') throw new CommandError(explanation);
  if (options.output === 'json') world.out(formatJson(explanation));
  else if (options.output === 'yaml') world.out(await formatYaml(explanation));
  else world.out(formatExplanation(explanation));
}

export function endOrFail(policies: PolicyWorld, text: string, namespace: string | undefined): End {
  const result = policies.end(text, namespace);
  if (result.kind === 'problem') throw new CommandError(`${result.problem}; ${result.remedy}`);
  return result.end;
}

async function writeReach(
  policies: PolicyWorld,
  source: End,
  destination: End,
  options: PolicyWhyOptions,
  world: World,
): Promise<void> {
  const reach = reachBetween(policies, source, destination);
  if (typeof reach === 'string') throw new CommandError(reach);
  const answer = { source: source.name, destination: destination.name, reach };
  if (options.output === 'json') return world.out(formatJson(answer));
  if (options.output === 'yaml') return world.out(await formatYaml(answer));
  const lines = reach.map((one) => `  ${one.protocol.padEnd(10)} ${formatReach(one)}`);
  const hint = '(give a protocol and port, as tcp/80, to see who decides)';
  world.out([`${source.name} -> ${destination.name}`, ...lines, hint, ''].join('\n'));
}
