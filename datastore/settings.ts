// Where the datastore is and how we identify ourselves. The names are those of the option tables of our programs, the
// environment's are Calico's.

import { resolveSrv } from 'node:dns/promises';

export interface StoreSettings {
  /** Comma-separated: http(s)://host:port of etcd, unix:/path of twill-datastore. */
  readonly etcdEndpoints: string;
  /** A domain whose SRV records name the endpoints (_etcd-client-ssl._tcp, _etcd-client._tcp); wins over endpoints. */
  readonly etcdDiscoverySrv?: string | undefined;
  readonly etcdCaCertFile?: string | undefined;
  readonly etcdCertFile?: string | undefined;
  readonly etcdKeyFile?: string | undefined;
  /** The same three as PEM text, each instead of its file. */
  readonly etcdCaCert?: string | undefined;
  readonly etcdCert?: string | undefined;
  readonly etcdKey?: string | undefined;
  readonly etcdUsername?: string | undefined;
  readonly etcdPassword?: string | undefined;
  /** For one request; lists get four times as long. */
  readonly requestTimeoutMs?: number | undefined;
  /** Silence after which a connection is tested, and how long the test may take. */
  readonly keepaliveMs?: number | undefined;
  readonly keepaliveTimeoutMs?: number | undefined;
}

export const DEFAULT_ENDPOINTS = 'unix:/run/twill/datastore.sock';

export const storeSettingsFromEnvironment = (
  environment: Readonly<Record<string, string | undefined>>,
): StoreSettings => ({
  etcdEndpoints: environment['ETCD_ENDPOINTS'] || DEFAULT_ENDPOINTS,
  etcdDiscoverySrv: environment['ETCD_DISCOVERY_SRV'] || undefined,
  etcdCaCertFile: environment['ETCD_CA_CERT_FILE'] || undefined,
  etcdCertFile: environment['ETCD_CERT_FILE'] || undefined,
  etcdKeyFile: environment['ETCD_KEY_FILE'] || undefined,
  etcdUsername: environment['ETCD_USERNAME'] || undefined,
  etcdPassword: environment['ETCD_PASSWORD'] || undefined,
});

export interface Endpoint {
  readonly secure: boolean;
  /** What gRPC connects to: host:port or unix:/path. */
  readonly target: string;
}

/** The endpoints that the settings name, by themselves or by way of DNS. */
export const findEndpoints = async (
  settings: StoreSettings,
  // Not the function itself: twillctl loads Node's modules when they are used, and few ask DNS.
  resolve: ResolveService = (name) => resolveSrv(name),
): Promise<Endpoint[]> =>
  settings.etcdDiscoverySrv === undefined
    ? parseEndpoints(settings.etcdEndpoints)
    : discoverEndpoints(settings.etcdDiscoverySrv, resolve);

/** Throws an Error that says which endpoint is wrong and what would be right. */
export function parseEndpoints(list: string): Endpoint[] {
  const endpoints = list
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseEndpoint);
  if (endpoints.length === 0) throw new Error('no datastore endpoint is configured; set ETCD_ENDPOINTS');
  return endpoints;
}

export interface ServiceRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** Asks DNS for the SRV records of one name; a rejection means that there are none. */
export type ResolveService = (name: string) => Promise<readonly ServiceRecord[]>;

/**
 * The endpoints that a domain announces, as etcd's clients find them: _etcd-client-ssl._tcp for TLS and
 * _etcd-client._tcp without. The most preferred first (RFC 2782). Rejects when there are none.
 */
export async function discoverEndpoints(domain: string, resolve: ResolveService): Promise<Endpoint[]> {
  const find = async (service: string, secure: boolean): Promise<Endpoint[]> => {
    const records = await resolve(`_${service}._tcp.${domain}`).catch(() => []);
    const byPreference = [...records].sort((a, b) => a.priority - b.priority || b.weight - a.weight);
    return byPreference.map(({ name, port }) => ({ secure, target: `${name.replace(/\.$/, '')}:${port}` }));
  };
  const endpoints = [...(await find('etcd-client-ssl', true)), ...(await find('etcd-client', false))];
  if (endpoints.length > 0) return endpoints;
  throw new Error(`no datastore is announced in DNS: neither _etcd-client-ssl._tcp.${domain} nor _etcd-client._tcp`);
}

function parseEndpoint(text: string): Endpoint {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(text);
  if (unix) return { secure: false, target: `unix:${unix[1]}` };
  const tcp = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\/?$/.exec(text);
  if (!tcp) throw new Error(`"${text}" is not a datastore endpoint: http(s)://host:port or unix:/path is needed`);
  return { secure: tcp[1] === 'https', target: `${tcp[2]}:${tcp[3] ?? '2379'}` };
}
