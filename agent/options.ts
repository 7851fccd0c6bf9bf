// Options of twill-node and of its children, one line each.

import { hostname } from 'node:os';
import { logLevelOption } from '../runtime/log-option.ts';
import {
  choice,
  integer,
  type OptionSpec,
  type OptionValues,
  optionalInteger,
  optionalText,
  text,
} from '../runtime/options.ts';
import { type Method, methodNames, parseMethod } from './autodetect.ts';
import { poolOptions } from './first-pools.ts';

const detection = (spec: { readonly flag: string; readonly environment: string; readonly help: string }) =>
  ({ ...spec, default: { kind: 'first-found' }, value: 'method', parse: parseMethod }) satisfies OptionSpec<Method>;

export const nodeOptions = {
  nodeName: text({
    flag: 'node-name',
    environment: 'NODENAME',
    default: hostname(),
    value: 'name',
    help: 'Name of this node’s Node resource.',
  }),
  runDir: text({
    flag: 'run-dir',
    environment: 'TWILL_RUN_DIR',
    default: '/run/twill',
    value: 'dir',
    help: 'Where the sockets are: cni.sock, felix.sock, bgp.sock.',
  }),
  stateDir: text({
    flag: 'state-dir',
    environment: 'TWILL_STATE_DIR',
    default: '/var/lib/twill',
    value: 'dir',
    help: 'What has to survive a restart of the machine.',
  }),
  etcdEndpoints: text({
    flag: 'etcd-endpoints',
    environment: 'ETCD_ENDPOINTS',
    default: 'unix:/run/twill/datastore.sock',
    value: 'list',
    help: 'Datastore: comma-separated http(s)://host:port of etcd, or unix:/path of twill-datastore.',
  }),
  etcdDiscoverySrv: optionalText({
    flag: 'etcd-discovery-srv',
    environment: 'ETCD_DISCOVERY_SRV',
    value: 'domain',
    help: 'Domain whose SRV records (_etcd-client-ssl._tcp, _etcd-client._tcp) name the datastore; wins over endpoints.',
  }),
  etcdCaCertFile: optionalText({
    flag: 'etcd-ca-cert-file',
    environment: 'ETCD_CA_CERT_FILE',
    value: 'file',
    help: 'Authority that signed the datastore’s certificate.',
  }),
  etcdCertFile: optionalText({
    flag: 'etcd-cert-file',
    environment: 'ETCD_CERT_FILE',
    value: 'file',
    help: 'Our certificate for the datastore.',
  }),
  etcdKeyFile: optionalText({
    flag: 'etcd-key-file',
    environment: 'ETCD_KEY_FILE',
    value: 'file',
    help: 'Key of that certificate.',
  }),
  etcdUsername: optionalText({
    flag: 'etcd-username',
    environment: 'ETCD_USERNAME',
    value: 'name',
    help: 'Datastore user.',
  }),
  etcdPassword: optionalText({
    flag: 'etcd-password',
    environment: 'ETCD_PASSWORD',
    value: 'word',
    help: 'Datastore password; prefer the environment, a command line is visible to others.',
  }),
  redisUrl: optionalText({
    flag: 'redis-url',
    environment: 'REDIS_URL',
    value: 'url',
    help: 'Redis for what is ephemeral (status, counters): redis://host:port or unix:/path; absent: the datastore.',
  }),
  reportInterval: integer({
    flag: 'report-interval',
    environment: 'TWILL_REPORT_INTERVAL',
    default: 10,
    min: 0,
    max: 3600,
    value: 'seconds',
    help: 'How often this node reports its status and counters for the cluster to see; 0: never.',
  }),
  ip: optionalText({
    flag: 'ip',
    environment: 'IP',
    value: 'address',
    help: 'IPv4 address/length of this node for BGP; autodetect: found anew at each start; none; absent: as stored in the Node resource, else found.',
  }),
  ip6: optionalText({
    flag: 'ip6',
    environment: 'IP6',
    value: 'address',
    help: 'The same for IPv6.',
  }),
  ipAutodetectionMethod: detection({
    flag: 'ip-autodetection-method',
    environment: 'IP_AUTODETECTION_METHOD',
    help: `How to find the IPv4 address: ${methodNames}; absent: first-found.`,
  }),
  ip6AutodetectionMethod: detection({
    flag: 'ip6-autodetection-method',
    environment: 'IP6_AUTODETECTION_METHOD',
    help: 'The same for IPv6.',
  }),
  backend: choice({
    flag: 'backend',
    environment: 'CALICO_NETWORKING_BACKEND',
    default: 'bird',
    choices: ['bird', 'none'],
    value: 'name',
    help: 'bird: with our BGP speaker; none: policy only, without BGP.',
  }),
  asNumber: optionalInteger({
    flag: 'as',
    environment: 'AS',
    min: 1,
    max: 4294967295,
    value: 'number',
    help: 'AS number stored in the Node resource; absent: as stored, else the cluster’s.',
  }),
  ...poolOptions,
  felixConfig: text({
    flag: 'felix-config',
    environment: 'TWILL_FELIX_CONFIG',
    default: '/etc/calico/felix.cfg',
    value: 'file',
    help: 'Settings of felix that win over the datastore’s; need not exist.',
  }),
  healthPort: integer({
    flag: 'health-port',
    environment: 'FELIX_HEALTHPORT',
    default: 9099,
    min: 0,
    max: 65535,
    value: 'port',
    help: 'HTTP on 127.0.0.1: /liveness, /readiness, /metrics; 0 turns it off.',
  }),
  logLevel: logLevelOption,
} as const;

export type NodeOptions = OptionValues<typeof nodeOptions>;

export const cniSocket = (options: NodeOptions): string => `${options.runDir}/cni.sock`;
export const felixSocket = (options: NodeOptions): string => `${options.runDir}/felix.sock`;
export const bgpSocket = (options: NodeOptions): string => `${options.runDir}/bgp.sock`;
export const bfdSocket = (options: NodeOptions): string => `${options.runDir}/bfd.sock`;
