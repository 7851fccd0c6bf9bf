// Where the datastore is and how we identify ourselves. The names are those of the option tables of our programs, the
// environment's are Calico's.

export interface StoreSettings {
  /** Comma-separated: http(s)://host:port of etcd, unix:/path of twill-datastore. */
  readonly etcdEndpoints: string;
  /** A domain whose SRV records name the endpoints (_etcd-client-ssl._tcp, _etcd-client._tcp); wins over endpoints. */
  readonly etcdDiscoverySrv?: string | undefined;
  readonly etcdCaCertFile?: string | undefined;
  readonly etcdCertFile?: string | undefined;
  readonly etcdKeyFile?: string | undefined;
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

function parseEndpoint(text: string): Endpoint {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(text);
  if (unix) return { secure: false, target: `unix:${unix[1]}` };
  const tcp = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\/?$/.exec(text);
  if (!tcp) throw new Error(`"${text}" is not a datastore endpoint: http(s)://host:port or unix:/path is needed`);
  return { secure: tcp[1] === 'https', target: `${tcp[2]}:${tcp[3] ?? '2379'}` };
}
