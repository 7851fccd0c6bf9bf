// The result of ADD, in the shape that the requested version of the specification has.

import type { CniError } from './errors.ts';
import { formatError } from './errors.ts';
import { asList, type JsonObject } from './json.ts';

/** Oldest first; the last one is what we speak best. */
export const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof supportedVersions)[number];

export const latestVersion: CniVersion = '1.1.0';

export const isSupported = (version: string): version is CniVersion =>
  supportedVersions.some((supported) => supported === version);

export interface ResultInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** CNI_NETNS for the container's side, empty for the host's. */
  readonly sandbox: string;
}

export interface ResultAddress {
  /** With its length: "10.0.0.5/32". */
  readonly address: string;
  readonly gateway?: string;
  /** Index into the interfaces. */
  readonly interface?: number;
}

export interface ResultRoute {
  readonly dst: string;
  readonly gw?: string;
}

export interface CniResult {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultAddress[];
  readonly routes: readonly ResultRoute[];
  readonly dns: Readonly<Record<string, unknown>>;
}

/** `previous` is the result of the plugin before us in a chain: what it made stays in the result. */
export function formatResult(result: CniResult, version: CniVersion, previous: JsonObject = {}): string {
  // 1.0.0 took `version` out of ips; 1.1.0 put `mtu` into interfaces.
  const withIpVersion = version.startsWith('0.');
  const withMtu = version === '1.1.0';
  const earlier = asList(previous['interfaces']) ?? [];
  const interfaces = result.interfaces.map(({ name, mac, mtu, sandbox }) => ({
    name,
    ...(mac && { mac }),
    ...(withMtu && mtu && { mtu }),
    ...(sandbox && { sandbox }),
  }));
  const ips = result.ips.map((ip) => ({
    ...(withIpVersion && { version: ip.address.includes(':') ? '6' : '4' }),
    ...ip,
    ...(ip.interface !== undefined && { interface: earlier.length + ip.interface }),
  }));
  return JSON.stringify({
    cniVersion: version,
    interfaces: [...earlier, ...interfaces],
    ips: [...(asList(previous['ips']) ?? []), ...ips],
    routes: [...(asList(previous['routes']) ?? []), ...result.routes],
    dns: Object.keys(result.dns).length > 0 ? result.dns : (previous['dns'] ?? {}),
  });
}

/** The answer to VERSION: `cniVersion` is that of the request. */
export const formatVersions = (requested: string | undefined): string =>
  JSON.stringify({ cniVersion: requested ?? latestVersion, supportedVersions });

export interface FormattedError {
  readonly exitStatus: 1;
  readonly stdout: string;
}

/** In the version that was asked for, as far as one was understood. */
export const errorReply = (error: CniError, requested: string | undefined): FormattedError => ({
  exitStatus: 1,
  stdout: formatError(error, requested && isSupported(requested) ? requested : latestVersion),
});
