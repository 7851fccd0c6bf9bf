// Parameters that only the environment and felix.cfg can set.

import { boolean, duration } from '../../schema/scalars.ts';
import { anyText, type FelixParameter, parameter, texts } from './parameter.ts';

export const localParameters: readonly FelixParameter[] = [
  parameter('DatastoreType', anyText, 'etcdv3', 'Kind of datastore.'),
  parameter('EtcdAddr', anyText, '127.0.0.1:2379', 'Address of etcd, without scheme; older than EtcdEndpoints.'),
  parameter('EtcdCaFile', anyText, '', 'Authority that etcd’s certificate must be signed by.'),
  parameter('EtcdCertFile', anyText, '', 'Certificate to show to etcd.'),
  parameter('EtcdEndpoints', texts, '', 'Endpoints of etcd, separated by commas.'),
  parameter('EtcdKeyFile', anyText, '', 'Key of the certificate to show to etcd.'),
  parameter('EtcdScheme', anyText, 'http', 'http or https, with EtcdAddr.'),
  parameter('FelixHostname', anyText, '', 'Name of this node; the host’s own when empty.'),
  parameter('TyphaAddr', anyText, '', 'Address of Typha; Twill has none.'),
  parameter('TyphaCAFile', anyText, '', 'Authority that Typha’s certificate must be signed by.'),
  parameter('TyphaCN', anyText, '', 'Common name that Typha’s certificate must have.'),
  parameter('TyphaCertFile', anyText, '', 'Certificate to show to Typha.'),
  parameter('TyphaK8sNamespace', anyText, 'kube-system', "Namespace of Typha's Service."),
  parameter('TyphaK8sServiceName', anyText, '', "Name of Typha's Service."),
  parameter('TyphaKeyFile', anyText, '', 'Key of the certificate to show to Typha.'),
  parameter('TyphaReadTimeout', duration(), '30', 'Silence after which a connection to Typha is given up.'),
  parameter('TyphaURISAN', anyText, '', 'URI that Typha’s certificate must have.'),
  parameter('TyphaWriteTimeout', duration(), '10', 'How long a write to Typha may take.'),
  parameter('DebugBPFCgroupV2', anyText, '', 'For tests: the cgroup that programs are attached to.'),
  parameter('DebugCPUProfilePath', anyText, '/tmp/felix-cpu-<timestamp>.pprof', 'File for a processor profile.'),
  parameter('DebugPanicAfter', duration(), '0', 'For tests: felix ends after this time.'),
  parameter('DebugSimulateDataRace', boolean, 'false', 'For tests: a data race.'),
];
