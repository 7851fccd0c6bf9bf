// Parameters that only the environment and felix.cfg can set.

import { boolean, duration } from '../../schema/scalars.ts';
import { anyText, type FelixParameter, parameter, texts } from './parameter.ts';

export const localParameters: readonly FelixParameter[] = [
  parameter('DatastoreType', anyText, 'etcdv3', ''),
  parameter('EtcdAddr', anyText, '127.0.0.1:2379', ''),
  parameter('EtcdCaFile', anyText, '', ''),
  parameter('EtcdCertFile', anyText, '', ''),
  parameter('EtcdEndpoints', texts, '', ''),
  parameter('EtcdKeyFile', anyText, '', ''),
  parameter('EtcdScheme', anyText, 'http', ''),
  parameter('FelixHostname', anyText, '', ''),
  parameter('TyphaAddr', anyText, '', ''),
  parameter('TyphaCAFile', anyText, '', ''),
  parameter('TyphaCN', anyText, '', ''),
  parameter('TyphaCertFile', anyText, '', ''),
  parameter('TyphaK8sNamespace', anyText, 'kube-system', ''),
  parameter('TyphaK8sServiceName', anyText, '', ''),
  parameter('TyphaKeyFile', anyText, '', ''),
  parameter('TyphaReadTimeout', duration(), '30', ''),
  parameter('TyphaURISAN', anyText, '', ''),
  parameter('TyphaWriteTimeout', duration(), '10', ''),
  parameter('DebugBPFCgroupV2', anyText, '', ''),
  parameter('DebugCPUProfilePath', anyText, '/tmp/felix-cpu-<timestamp>.pprof', ''),
  parameter('DebugPanicAfter', duration(), '0', ''),
  parameter('DebugSimulateDataRace', boolean, 'false', ''),
];
