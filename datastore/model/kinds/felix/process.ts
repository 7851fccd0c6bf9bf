// Parameters of Felix as a process: logs, metrics, health, flow logs, reports.

import { boolean, choice, duration, integer } from '../../schema/scalars.ts';
import { anyText, healthTimeouts, parameter, pattern } from './parameter.ts';

export const processParameters = {
  // Process: Feature detection/overrides
  featureDetectOverride: parameter('FeatureDetectOverride', anyText, '', ''),
  featureGates: parameter('FeatureGates', anyText, '', ''),

  // Process: Go runtime
  goGCThreshold: parameter('GoGCThreshold', integer(), '40', ''),
  goMaxProcs: parameter('GoMaxProcs', integer(), '-1', ''),
  goMemoryLimitMB: parameter('GoMemoryLimitMB', integer(), '-1', ''),

  // Process: Health port and timeouts
  healthEnabled: parameter('HealthEnabled', boolean, 'false', ''),
  healthHost: parameter('HealthHost', anyText, 'localhost', ''),
  healthPort: parameter('HealthPort', integer(0, 65535), '9099', ''),
  healthTimeoutOverrides: parameter('HealthTimeoutOverrides', healthTimeouts, '', ''),

  // Process: Logging
  logActionRateLimit: parameter('LogActionRateLimit', anyText, '', ''),
  logActionRateLimitBurst: parameter('LogActionRateLimitBurst', integer(), '5', ''),
  logDebugFilenameRegex: parameter('LogDebugFilenameRegex', pattern, '', ''),
  logFilePath: parameter('LogFilePath', anyText, '/var/log/calico/felix.log', ''),
  logPrefix: parameter('LogPrefix', anyText, 'calico-packet', ''),
  logSeverityFile: parameter(
    'LogSeverityFile',
    choice('Debug', 'Error', 'Fatal', 'Info', 'Trace', 'Warning'),
    'INFO',
    '',
  ),
  logSeverityScreen: parameter(
    'LogSeverityScreen',
    choice('Debug', 'Error', 'Fatal', 'Info', 'Trace', 'Warning'),
    'INFO',
    '',
  ),
  logSeveritySys: parameter(
    'LogSeveritySys',
    choice('Debug', 'Error', 'Fatal', 'Info', 'Trace', 'Warning'),
    'INFO',
    '',
  ),

  // Process: Prometheus metrics
  prometheusGoMetricsEnabled: parameter('PrometheusGoMetricsEnabled', boolean, 'true', ''),
  prometheusMetricsCAFile: parameter('PrometheusMetricsCAFile', anyText, '', ''),
  prometheusMetricsCertFile: parameter('PrometheusMetricsCertFile', anyText, '', ''),
  prometheusMetricsClientAuth: parameter(
    'PrometheusMetricsClientAuth',
    choice('NoClientCert', 'RequireAndVerifyClientCert', 'RequireAnyClientCert', 'VerifyClientCertIfGiven'),
    'NoClientCert',
    '',
  ),
  prometheusMetricsEnabled: parameter('PrometheusMetricsEnabled', boolean, 'false', ''),
  prometheusMetricsHost: parameter('PrometheusMetricsHost', anyText, '', ''),
  prometheusMetricsKeyFile: parameter('PrometheusMetricsKeyFile', anyText, '', ''),
  prometheusMetricsPort: parameter('PrometheusMetricsPort', integer(0, 65535), '9091', ''),
  prometheusProcessMetricsEnabled: parameter('PrometheusProcessMetricsEnabled', boolean, 'true', ''),
  prometheusWireGuardMetricsEnabled: parameter('PrometheusWireGuardMetricsEnabled', boolean, 'true', ''),

  // Flow logs: file reports
  flowLogsCollectorDebugTrace: parameter('FlowLogsCollectorDebugTrace', boolean, 'false', ''),
  flowLogsFlushInterval: parameter('FlowLogsFlushInterval', duration(), '300', ''),
  flowLogsGoldmaneServer: parameter('FlowLogsGoldmaneServer', anyText, '', ''),
  flowLogsLocalReporter: parameter('FlowLogsLocalReporter', choice('Disabled', 'Enabled'), 'Disabled', ''),
  flowLogsPolicyEvaluationMode: parameter(
    'FlowLogsPolicyEvaluationMode',
    choice('Continuous', 'None'),
    'Continuous',
    '',
  ),

  // AWS integration
  awsSrcDstCheck: parameter('AWSSrcDstCheck', choice('Disable', 'DoNothing', 'Enable'), 'DoNothing', ''),

  // Debug/test-only (generally unsupported)
  debugDisableLogDropping: parameter('DebugDisableLogDropping', boolean, 'false', ''),
  debugHost: parameter('DebugHost', anyText, 'localhost', ''),
  debugMemoryProfilePath: parameter('DebugMemoryProfilePath', anyText, '', ''),
  debugPort: parameter('DebugPort', integer(0, 65535), '', ''),
  debugSimulateCalcGraphHangAfter: parameter('DebugSimulateCalcGraphHangAfter', duration(), '0', ''),
  debugSimulateDataplaneApplyDelay: parameter('DebugSimulateDataplaneApplyDelay', duration(), '0', ''),
  debugSimulateDataplaneHangAfter: parameter('DebugSimulateDataplaneHangAfter', duration(), '0', ''),

  // Usage reporting
  usageReportingEnabled: parameter('UsageReportingEnabled', boolean, 'true', ''),
  usageReportingInitialDelay: parameter('UsageReportingInitialDelaySecs', duration(), '300', ''),
  usageReportingInterval: parameter('UsageReportingIntervalSecs', duration(), '86400', ''),
};
