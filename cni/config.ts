// The network configuration, understood: checked once here.
//
// Beside the keys of the specification we read:
//
//     "agentSocket": "/run/twill/cni.sock"               which agent (read by the client)
//     "mtu": 1450                                        default: that of the node's uplink
//     "ipam": {"ipv4_pools": [..], "ipv6_pools": [..], "assign_ipv4": "true", "assign_ipv6": "false"}
//     "args": {"cni": {"labels": [{"key": "app", "value": "web"}]}}      CNI's convention
//     "args": {"twill": {"labels": {"app": "web"}, "profiles": ["p"], "serviceAccount": "sa", "annotations": {…},
//              "ports": [{"name": "http", "protocol": "TCP", "port": 80}]}}     annotations: see annotations.ts
//     "container_settings": {"allow_ip_forwarding": true}
//     "policy_setup_timeout_seconds": 20                 how long ADD waits for policy in the kernel
//     "runtimeConfig": {"mac": "02:…", "ips": ["10.0.0.7"], "dns": {"servers": […]}}   capabilities mac, ips and dns
//
// Unknown keys are tolerated, as the specification asks.

import type { Address } from '../net/address.ts';
import { readAddress } from '../net/people.ts';
import { readAnnotations } from './annotations.ts';
import type { ContainerInterface } from './attachment.ts';
import { CniError } from './errors.ts';
import { asInteger, asList, asObject, asText, type JsonObject } from './json.ts';
import { type CniVersion, isSupported, supportedVersions } from './result.ts';

export interface NetworkConfiguration {
  readonly cniVersion: CniVersion;
  /** Name of the network: part of IPAM handles. */
  readonly name: string;
  readonly mtu: number | undefined;
  readonly assignIpv4: boolean;
  readonly assignIpv6: boolean;
  /** Names or prefixes of the pools to take addresses from; undefined: any. */
  readonly pools: readonly string[] | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Undefined: what follows from the namespace. */
  readonly profiles: readonly string[] | undefined;
  readonly serviceAccount: string | undefined;
  readonly ports: readonly NamedPort[];
  readonly allowIpForwarding: boolean;
  readonly policyTimeoutMs: number;
  readonly mac: string | undefined;
  readonly addresses: readonly Address[];
  /** Further sources that the pod may send from: prefixes. */
  readonly allowedSourcePrefixes: readonly string[];
  readonly dns: JsonObject;
  readonly prevResult: JsonObject | undefined;
  /** Key `cni.dev/valid-attachments` of GC; undefined when it is missing. */
  readonly validAttachments: readonly ContainerInterface[] | undefined;
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

const defaultPolicyTimeoutSec = 20;

/** CNI 1.1: alphanumeric first, then alphanumerics, "_", "." and "-"; for network names and container ids alike. */
export const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** The version that was asked for, as text, whatever else is wrong with the input. */
export function requestedVersion(stdin: string): string | undefined {
  try {
    return asText(asObject(JSON.parse(stdin))?.['cniVersion']);
  } catch {
    return undefined;
  }
}

export function readConfiguration(stdin: string): NetworkConfiguration {
  const document = parseDocument(stdin);
  const ipam = asObject(document['ipam']) ?? {};
  const ours = asObject(asObject(document['args'])?.['twill']) ?? {};
  const runtime = asObject(document['runtimeConfig']) ?? {};
  checkIpamType(ipam);
  const annotated = readAnnotations(readTextMap(ours, 'annotations'));
  const timeoutSec = asInteger(document['policy_setup_timeout_seconds']) || defaultPolicyTimeoutSec;
  return {
    cniVersion: readVersion(document),
    name: readName(document),
    mtu: readMtu(document),
    assignIpv4: annotated.families?.includes(4) ?? readSwitch(ipam, 'assign_ipv4', true),
    assignIpv6: annotated.families?.includes(6) ?? readSwitch(ipam, 'assign_ipv6', false),
    pools: annotated.pools ?? readPools(ipam),
    labels: { ...readConventionLabels(document), ...readTextMap(ours, 'labels') },
    profiles: readTexts(ours, 'profiles', 'args.twill.profiles'),
    serviceAccount: asText(ours['serviceAccount']),
    ports: readPorts(ours),
    allowIpForwarding: asObject(document['container_settings'])?.['allow_ip_forwarding'] === true,
    policyTimeoutMs: timeoutSec * 1000,
    mac: asText(runtime['mac']) ?? annotated.mac,
    addresses: [...readAddresses(runtime), ...annotated.addresses],
    allowedSourcePrefixes: annotated.allowedSourcePrefixes,
    dns: readDns(document, runtime),
    prevResult: asObject(document['prevResult']),
    validAttachments: readValidAttachments(document),
  };
}

function parseDocument(stdin: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(stdin);
  } catch (error) {
    const what = stdin.trim() === '' ? 'standard input is empty' : 'standard input is not JSON';
    throw new CniError('undecodable', what, error instanceof Error ? error.message : '');
  }
  const document = asObject(value);
  if (!document) throw new CniError('undecodable', 'standard input is not a JSON object');
  return document;
}

function readVersion(document: JsonObject): CniVersion {
  // The specification: a configuration without cniVersion is one of 0.2.0, which we do not speak.
  const version = document['cniVersion'] === undefined ? '0.2.0' : asText(document['cniVersion']);
  if (version !== undefined && isSupported(version)) return version;
  throw new CniError(
    'incompatibleVersion',
    `cniVersion ${JSON.stringify(version)} is not supported`,
    `supported are ${supportedVersions.join(', ')}`,
  );
}

function readName(document: JsonObject): string {
  const name = asText(document['name']);
  if (name && namePattern.test(name)) return name;
  const problem = name === undefined ? 'is missing' : `${JSON.stringify(name)} is malformed`;
  throw new CniError('invalidConfiguration', `the network's "name" ${problem}`, 'letters, digits, "_", "." and "-"');
}

function readMtu(document: JsonObject): number | undefined {
  const mtu = document['mtu'];
  // 0 is Calico's way to say "find out".
  if (mtu === undefined || mtu === 0) return undefined;
  const value = asInteger(mtu);
  if (value !== undefined && value >= 68 && value <= 65535) return value;
  throw new CniError('invalidConfiguration', `"mtu" ${JSON.stringify(mtu)} is not between 68 and 65535`);
}

function checkIpamType(ipam: JsonObject): void {
  const type = ipam['type'];
  if (type === undefined || type === 'twill-ipam' || type === 'calico-ipam') return;
  throw new CniError(
    'invalidConfiguration',
    `"ipam.type" ${JSON.stringify(type)} is not served: addresses come from IP pools`,
    'write "twill-ipam", or leave it out',
  );
}

/** Calico writes these as the texts "true" and "false". */
function readSwitch(ipam: JsonObject, key: string, otherwise: boolean): boolean {
  const value = ipam[key];
  if (value === undefined) return otherwise;
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw new CniError('invalidConfiguration', `"ipam.${key}" must be "true" or "false"`);
}

function readPools(ipam: JsonObject): readonly string[] | undefined {
  const ipv4 = readTexts(ipam, 'ipv4_pools', 'ipam.ipv4_pools');
  const ipv6 = readTexts(ipam, 'ipv6_pools', 'ipam.ipv6_pools');
  return ipv4 || ipv6 ? [...(ipv4 ?? []), ...(ipv6 ?? [])] : undefined;
}

function readTexts(object: JsonObject, key: string, path: string): readonly string[] | undefined {
  if (object[key] === undefined) return undefined;
  const texts = asList(object[key])?.map(asText);
  if (texts?.every((text) => text !== undefined)) return texts;
  throw new CniError('invalidConfiguration', `"${path}" must be a list of texts`);
}

function readConventionLabels(document: JsonObject): Record<string, string> {
  const list = asObject(asObject(document['args'])?.['cni'])?.['labels'];
  if (list === undefined) return {};
  const labels: Record<string, string> = {};
  for (const item of asList(list) ?? [undefined]) {
    const key = asText(asObject(item)?.['key']);
    const value = asText(asObject(item)?.['value']);
    if (key === undefined || value === undefined) {
      throw new CniError('invalidConfiguration', '"args.cni.labels" must be a list of {"key": …, "value": …}');
    }
    labels[key] = value;
  }
  return labels;
}

function readTextMap(ours: JsonObject, key: string): Record<string, string> {
  if (ours[key] === undefined) return {};
  const map: Record<string, string> = {};
  for (const [name, value] of Object.entries(asObject(ours[key]) ?? { '': undefined })) {
    const text = asText(value);
    if (text === undefined) {
      throw new CniError('invalidConfiguration', `"args.twill.${key}" must be an object of texts`);
    }
    map[name] = text;
  }
  return map;
}

/** The runtime's wish over the configuration's; their keys differ. */
function readDns(document: JsonObject, runtime: JsonObject): JsonObject {
  const wish = asObject(runtime['dns']);
  if (!wish) return asObject(document['dns']) ?? {};
  const { servers, searches, options } = wish;
  return {
    ...(servers !== undefined && { nameservers: servers }),
    ...(searches !== undefined && { search: searches }),
    ...(options !== undefined && { options }),
  };
}

function readPorts(ours: JsonObject): NamedPort[] {
  if (ours['ports'] === undefined) return [];
  return (asList(ours['ports']) ?? [undefined]).map((item) => {
    const name = asText(asObject(item)?.['name']);
    const port = asInteger(asObject(item)?.['port']);
    if (name === undefined || port === undefined) {
      throw new CniError('invalidConfiguration', '"args.twill.ports" must be a list of {"name", "protocol", "port"}');
    }
    return { name, port, protocol: asText(asObject(item)?.['protocol']) ?? 'TCP' };
  });
}

/** Capability `ips`: addresses, with or without a length that means nothing to a routed pod. */
function readAddresses(runtime: JsonObject): Address[] {
  return (readTexts(runtime, 'ips', 'runtimeConfig.ips') ?? []).map((text) => {
    const reading = readAddress(text.split('/')[0] ?? '');
    if (reading.kind === 'ok') return reading.value;
    throw new CniError('invalidConfiguration', `"runtimeConfig.ips": ${reading.reason}`);
  });
}

function readValidAttachments(document: JsonObject): ContainerInterface[] | undefined {
  const list = document['cni.dev/valid-attachments'];
  if (list === undefined) return undefined;
  return (asList(list) ?? [undefined]).map((item) => {
    const containerId = asText(asObject(item)?.['containerID']);
    const ifname = asText(asObject(item)?.['ifname']);
    if (containerId === undefined || ifname === undefined) {
      throw new CniError(
        'invalidConfiguration',
        '"cni.dev/valid-attachments" must be a list of {"containerID", "ifname"}',
      );
    }
    return { containerId, ifname };
  });
}
