// The output as a few readable lines: rules with their IP sets spelled out.
//
//   here-k8s-web-eth0: default(deny) in NetworkPolicy/prod/web; kns.prod
//   NetworkPolicy/prod/web in: allow 6 from {10.0.1.1/32} to :80 {10.0.0.1,6:8080}

import type { CalcEntity, CalcRule, CalcTier } from '../../../felix/calc/output.ts';
import { formatAddress } from '../../../net/address.ts';
import { formatPrefix } from '../../../net/prefix.ts';
import type { OutputState } from './output-state.ts';

export function describeOutput(output: OutputState): string[] {
  const lines: string[] = [];
  for (const { id, tiers, profiles } of output.workloads.values()) {
    lines.push(`${id}: ${[...tiers.map(tierText), profiles.join(' ')].join('; ')}`);
  }
  for (const endpoint of output.hostEndpoints.values()) {
    const { id, interfaceName, expectedAddresses, tiers, profiles } = endpoint;
    const where = [...(interfaceName ? [interfaceName] : []), ...expectedAddresses.map(formatAddress)].join(' ');
    lines.push(`${id} on ${where}: ${[...tiers.map(tierText), profiles.join(' ')].join('; ')}`);
    for (const [stage, list] of [
      ['forward', endpoint.forwardTiers],
      ['pre-dnat', endpoint.preDnatTiers],
      ['untracked', endpoint.untrackedTiers],
    ] as const) {
      if (list.length > 0) lines.push(`${id} ${stage}: ${list.map(tierText).join('; ')}`);
    }
  }
  for (const { id, ingress, egress } of output.policies.values()) {
    for (const rule of ingress) lines.push(`${id} in: ${ruleText(rule, output)}`);
    for (const rule of egress) lines.push(`${id} out: ${ruleText(rule, output)}`);
  }
  return lines.sort();
}

function tierText({ name, defaultAction, ingress, egress }: CalcTier): string {
  const inwards = ingress.length > 0 ? ` in ${ingress.join(' ')}` : '';
  const outwards = egress.length > 0 ? ` out ${egress.join(' ')}` : '';
  return `${name}(${defaultAction})${inwards}${outwards}`;
}

function ruleText(rule: CalcRule, output: OutputState): string {
  const parts: string[] = [rule.action];
  if (rule.family) parts.push(`v${rule.family}`);
  if (rule.protocol !== undefined) parts.push(String(rule.protocol));
  if (rule.notProtocol !== undefined) parts.push(`not ${rule.notProtocol}`);
  if (rule.icmp) parts.push(`icmp ${rule.icmp.type}/${rule.icmp.code ?? '*'}`);
  if (rule.notIcmp) parts.push(`not icmp ${rule.notIcmp.type}/${rule.notIcmp.code ?? '*'}`);
  const source = entityText(rule.source, output);
  const destination = entityText(rule.destination, output);
  if (source) parts.push(`from ${source}`);
  if (destination) parts.push(`to ${destination}`);
  return parts.join(' ');
}

function entityText(entity: CalcEntity, output: OutputState): string {
  const parts: string[] = [];
  const set = (id: string): string => `{${[...(output.ipSets.get(id) ?? ['?'])].sort().join(' ')}}`;
  if (entity.prefixes.length > 0) parts.push(entity.prefixes.map(formatPrefix).join(','));
  if (entity.notPrefixes.length > 0) parts.push(`not ${entity.notPrefixes.map(formatPrefix).join(',')}`);
  for (const id of entity.ipSets) parts.push(set(id));
  for (const id of entity.notIpSets) parts.push(`not ${set(id)}`);
  for (const { first, last } of entity.ports) parts.push(first === last ? `:${first}` : `:${first}-${last}`);
  for (const id of entity.namedPortSets) parts.push(`:${set(id)}`);
  for (const { first, last } of entity.notPorts) parts.push(first === last ? `not :${first}` : `not :${first}-${last}`);
  for (const id of entity.notNamedPortSets) parts.push(`not :${set(id)}`);
  return parts.join(' ');
}
