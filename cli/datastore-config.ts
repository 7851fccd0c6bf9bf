// Where the datastore is: flags over environment over the CalicoAPIConfig file, with Calico's names.

import { isObject } from '../datastore/model/schema/check.ts';
import { DEFAULT_ENDPOINTS, type StoreSettings } from '../datastore/settings.ts';
import { CommandError } from './world.ts';

export const defaultConfigPath = '/etc/calico/calicoctl.cfg';

interface Sources {
  readonly configPath?: string;
  readonly etcdEndpoints?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => string | undefined;
}

// The setting, its environment variable, its field in CalicoAPIConfig.spec.
const settings = [
  ['datastoreType', 'DATASTORE_TYPE'],
  ['etcdEndpoints', 'ETCD_ENDPOINTS'],
  ['etcdDiscoverySrv', 'ETCD_DISCOVERY_SRV'],
  ['etcdUsername', 'ETCD_USERNAME'],
  ['etcdPassword', 'ETCD_PASSWORD'],
  ['etcdKeyFile', 'ETCD_KEY_FILE'],
  ['etcdCertFile', 'ETCD_CERT_FILE'],
  ['etcdCACertFile', 'ETCD_CA_CERT_FILE'],
] as const;
type FromEnvironment = (typeof settings)[number][0];

// Only in the file: PEM text, and the setting that names a file with the same.
const inline = [
  ['etcdKey', 'etcdKeyFile'],
  ['etcdCert', 'etcdCertFile'],
  ['etcdCACert', 'etcdCACertFile'],
] as const;
type Setting = FromEnvironment | (typeof inline)[number][0];

// What calicoctl reads too, and says nothing to us: the Kubernetes datastore.
const ofKubernetes = [
  'kubeconfig',
  'kubeconfigInline',
  'k8sAPIEndpoint',
  'k8sKeyFile',
  'k8sCertFile',
  'k8sCAFile',
  'k8sAPIToken',
  'k8sInsecureSkipTLSVerify',
  'k8sDisableNodePoll',
  'k8sUsePodCIDR',
  'k8sCurrentContext',
  'k8sClientQPS',
  'calicoAPIGroup',
];

export async function readDatastoreConfig(sources: Sources): Promise<StoreSettings> {
  const values = await fileSettings(sources);
  for (const [setting, variable] of settings) {
    const value = sources.environment[variable];
    if (value) values.set(setting, value);
  }
  for (const [text, file] of inline) {
    const named = settings.find(([setting]) => setting === file)?.[1];
    if (named !== undefined && sources.environment[named]) values.delete(text);
  }
  if (sources.etcdEndpoints) values.set('etcdEndpoints', sources.etcdEndpoints);
  const type = values.get('datastoreType') ?? 'etcdv3';
  if (type !== 'etcdv3') {
    throw new CommandError(`datastoreType ${type} is not supported; use etcdv3, which twill-datastore serves too`);
  }
  return {
    etcdEndpoints: values.get('etcdEndpoints') ?? DEFAULT_ENDPOINTS,
    etcdDiscoverySrv: values.get('etcdDiscoverySrv'),
    etcdUsername: values.get('etcdUsername'),
    etcdPassword: values.get('etcdPassword'),
    etcdKeyFile: values.get('etcdKeyFile'),
    etcdCertFile: values.get('etcdCertFile'),
    etcdCaCertFile: values.get('etcdCACertFile'),
    etcdKey: values.get('etcdKey'),
    etcdCert: values.get('etcdCert'),
    etcdCaCert: values.get('etcdCACert'),
  };
}

/** Settings of the CalicoAPIConfig file; the default file may be missing, a named one may not. */
async function fileSettings({ configPath, readFile }: Sources): Promise<Map<Setting, string>> {
  const path = configPath ?? defaultConfigPath;
  const text = readFile(path);
  if (text === undefined) {
    if (configPath !== undefined) throw new CommandError(`cannot read the configuration file ${path}`);
    return new Map();
  }
  const { parse } = await import('./yaml.ts');
  let config: unknown;
  try {
    config = parse(text);
  } catch (error) {
    throw new CommandError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isObject(config) || config['kind'] !== 'CalicoAPIConfig') {
    throw new CommandError(`${path}: kind is not CalicoAPIConfig`);
  }
  const spec = isObject(config['spec']) ? config['spec'] : {};
  const names: readonly Setting[] = [...settings.map(([setting]) => setting), ...inline.map(([text]) => text)];
  const unknown = Object.keys(spec).find((name) => ![...names, ...ofKubernetes].includes(name));
  if (unknown !== undefined) {
    const { nearest } = await import('../datastore/model/schema/nearest.ts');
    const meant = nearest(unknown, names);
    const remedy = meant ? `did you mean ${meant}?` : `known here: ${names.join(', ')}`;
    throw new CommandError(`${path}: spec.${unknown} is not a known field; ${remedy}`);
  }
  return new Map(names.flatMap((name) => (spec[name] ? [[name, String(spec[name])] as const] : [])));
}
