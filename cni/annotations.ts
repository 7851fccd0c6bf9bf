// Calico's pod annotations that change how a pod is attached. In Kubernetes they stand on the Pod; elsewhere they come as
// "args": {"twill": {"annotations": {…}}} of the network configuration. Values are text; lists are JSON in that text.
//
//     cni.projectcalico.org/ipAddrs                 ["10.0.0.7"]           these very addresses
//     cni.projectcalico.org/ipv4pools, …/ipv6pools  ["pool", "10.0.0.0/16"]
//     cni.projectcalico.org/ipFamilies              ["IPv4", "IPv6"]
//     cni.projectcalico.org/hwAddr                  02:42:0a:00:00:07      MAC address of the pod's side
//     cni.projectcalico.org/allowedSourcePrefixes   ["192.0.2.0/24"]       further sources it may send from

import type { Address, Family } from '../net/address.ts';
import { readAddress, readPrefixOrAddress } from '../net/people.ts';
import { formatPrefix } from '../net/prefix.ts';
import { CniError } from './errors.ts';
import { asList, asText } from './json.ts';

export interface AnnotatedWishes {
  readonly addresses: readonly Address[];
  readonly pools: readonly string[] | undefined;
  readonly families: readonly Family[] | undefined;
  readonly mac: string | undefined;
  readonly allowedSourcePrefixes: readonly string[];
}

const prefix = 'cni.projectcalico.org/';

export function readAnnotations(annotations: Readonly<Record<string, string>>): AnnotatedWishes {
  const ipv4Pools = readList(annotations, 'ipv4pools');
  const ipv6Pools = readList(annotations, 'ipv6pools');
  return {
    addresses: (readList(annotations, 'ipAddrs') ?? []).map((text) => accept('ipAddrs', readAddress(text))),
    pools: ipv4Pools || ipv6Pools ? [...(ipv4Pools ?? []), ...(ipv6Pools ?? [])] : undefined,
    families: readList(annotations, 'ipFamilies')?.map(readFamily),
    mac: annotations[`${prefix}hwAddr`],
    allowedSourcePrefixes: (readList(annotations, 'allowedSourcePrefixes') ?? []).map((text) =>
      formatPrefix(accept('allowedSourcePrefixes', readPrefixOrAddress(text))),
    ),
  };
}

function readList(annotations: Readonly<Record<string, string>>, name: string): string[] | undefined {
  const text = annotations[prefix + name];
  if (text === undefined) return undefined;
  const texts = asList(parse(text))?.map(asText);
  if (texts?.every((item) => item !== undefined)) return texts;
  throw refused(name, `${JSON.stringify(text)} is no JSON list of texts`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readFamily(text: string): Family {
  if (text === 'IPv4') return 4;
  if (text === 'IPv6') return 6;
  throw refused('ipFamilies', `${JSON.stringify(text)} is neither IPv4 nor IPv6`);
}

function accept<T>(name: string, reading: { kind: 'ok'; value: T } | { kind: 'invalid'; reason: string }): T {
  if (reading.kind === 'ok') return reading.value;
  throw refused(name, reading.reason);
}

const refused = (name: string, reason: string): CniError =>
  new CniError('invalidConfiguration', `annotation ${prefix}${name}: ${reason}`);
