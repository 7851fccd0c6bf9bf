// node run: becomes twill-node, with calicoctl's options in twill-node's words. Where the datastore is goes into its
// environment: passwords have no place on a command line.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseAddress } from '../../net/address.ts';
import { parseInterfaceAddress } from '../../net/prefix.ts';
import { readDatastoreConfig } from '../datastore-config.ts';
import { CommandError, type World } from '../world.ts';
import type { GlobalOptions } from './context.ts';

export interface NodeRunOptions extends GlobalOptions {
  readonly name?: string;
  readonly ip?: string;
  readonly ip6?: string;
  readonly as?: string;
  readonly ipAutodetectionMethod: string;
  readonly ip6AutodetectionMethod: string;
  readonly backend: string;
  readonly defaultIppools: boolean;
  readonly felixConfig?: string;
  readonly dryrun?: boolean;
}

export async function runNode(options: NodeRunOptions, world: World): Promise<void> {
  checkAddress('--ip', options.ip, 4);
  checkAddress('--ip6', options.ip6, 6);
  if (options.backend !== 'bird' && options.backend !== 'none')
    throw new CommandError(`unknown backend '${options.backend}'; give bird or none`);
  const environment = await datastoreEnvironment(options, world);
  const words = nodeRunWords(options, world.environment);
  if (options.dryrun) {
    world.out('Use the following command to start twill-node:\n\n');
    const settings = Object.entries(environment).map(([name, value]) => `${name}=${quoted(name, value)}`);
    world.out(`${[...settings, 'twill-node', ...words.map((word) => shellWord(word))].join(' ')}\n`);
    return;
  }
  const places = [dirname(process.argv[1] ?? ''), ...(world.environment['PATH'] ?? '').split(':')];
  const program = places.map((place) => join(place, 'twill-node')).find((file) => existsSync(file));
  if (program === undefined) throw new CommandError('twill-node is neither beside twillctl nor in PATH');
  const status = await world.runForeground(program, words, environment);
  if (status !== 0) throw new CommandError(`twill-node ended with status ${status}`, status);
}

function checkAddress(flag: string, text: string | undefined, family: 4 | 6): void {
  if (text === undefined || text === 'autodetect' || text === 'none') return;
  const address = parseInterfaceAddress(text)?.address ?? parseAddress(text);
  if (address === undefined) throw new CommandError(`${flag} ${text} is not an IP address`);
  if (typeof address !== (family === 4 ? 'number' : 'bigint')) throw new CommandError(`${flag} is wrong IP version`);
}

function nodeRunWords(options: NodeRunOptions, environment: World['environment']): readonly string[] {
  const unless = (value: string, ordinary: string): string | undefined => (value === ordinary ? undefined : value);
  const words = [
    ['--node-name', options.name],
    ['--ip', options.ip],
    ['--ip6', options.ip6],
    ['--as', options.as === undefined ? undefined : plainAsNumber(options.as)],
    ['--ip-autodetection-method', unless(options.ipAutodetectionMethod, 'first-found')],
    ['--ip6-autodetection-method', unless(options.ip6AutodetectionMethod, 'first-found')],
    ['--backend', unless(options.backend, 'bird')],
    ['--felix-config', options.felixConfig],
  ] as const;
  const pools = options.defaultIppools && !/^(true|1|yes)$/i.test(environment['NO_DEFAULT_POOLS'] ?? '');
  return [
    ...words.flatMap(([flag, value]) => (value === undefined ? [] : [flag, value])),
    ...(pools ? ['--default-pool'] : []),
  ];
}

/** 1.10 is 65546. */
function plainAsNumber(text: string): string {
  const [, high, low] = /^(\d{1,5})\.(\d{1,5})$/.exec(text) ?? [];
  const number = high === undefined ? Number(text) : Number(high) * 65536 + Number(low);
  if (!/^[\d.]+$/.test(text) || !Number.isInteger(number) || number < 1 || number > 4294967295)
    throw new CommandError(`--as ${text} is not an AS number`);
  return String(number);
}

/** What twillctl's flags and configuration file say, for a program that has only the environment. */
async function datastoreEnvironment(options: NodeRunOptions, world: World): Promise<Readonly<Record<string, string>>> {
  const settings = await readDatastoreConfig({
    ...(options.config !== undefined && { configPath: options.config }),
    ...(options.etcdEndpoints !== undefined && { etcdEndpoints: options.etcdEndpoints }),
    environment: world.environment,
    readFile: world.readFile,
  });
  if (settings.etcdKey || settings.etcdCert || settings.etcdCaCert)
    throw new CommandError('node run needs certificates in files: etcdKeyFile, etcdCertFile, etcdCACertFile');
  const named = {
    ETCD_ENDPOINTS: settings.etcdEndpoints,
    ETCD_DISCOVERY_SRV: settings.etcdDiscoverySrv,
    ETCD_USERNAME: settings.etcdUsername,
    ETCD_PASSWORD: settings.etcdPassword,
    ETCD_KEY_FILE: settings.etcdKeyFile,
    ETCD_CERT_FILE: settings.etcdCertFile,
    ETCD_CA_CERT_FILE: settings.etcdCaCertFile,
  };
  return Object.fromEntries(Object.entries(named).flatMap(([name, value]) => (value ? [[name, value]] : [])));
}

const shellWord = (text: string): string => (/^[\w./:=,@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

const quoted = (name: string, value: string): string => (name === 'ETCD_PASSWORD' ? "'…'" : shellWord(value));
