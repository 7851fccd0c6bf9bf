// Parameters of Felix as a process: logs, metrics, health, flow logs, reports.

import { boolean, choice, duration, integer } from '../../schema/scalars.ts';
import { anyText, gates, healthTimeouts, listenHost, logRate, overrides, parameter, pattern } from './parameter.ts';

export const processParameters = {
  // Process: Feature detection/overrides
  featureDetectOverride: parameter(
    'FeatureDetectOverride',
    overrides,
    '',
    'Capabilities of kernel and tools to assume or to deny, as name=true separated by commas.',
  ),
  featureGates: parameter(
    'FeatureGates',
    gates,
    '',
    'Experimental features to switch on, as name=value separated by commas.',
  ),

  // Process: Go runtime
  goGCThreshold: parameter('GoGCThreshold', integer(), '40', "Garbage collection threshold of Calico's Go runtime."),
  goMaxProcs: parameter('GoMaxProcs', integer(), '-1', "Threads of Calico's Go runtime; -1 leaves it to the runtime."),
  goMemoryLimitMB: parameter('GoMemoryLimitMB', integer(), '-1', "Memory limit of Calico's Go runtime; -1 for none."),

  // Process: Health port and timeouts
  healthEnabled: parameter('HealthEnabled', boolean, 'false', 'Whether liveness and readiness are served.'),
  healthHost: parameter('HealthHost', anyText, 'localhost', 'Address that the health endpoint listens on.'),
  healthPort: parameter('HealthPort', integer(0, 65535), '9099', 'Port of the health endpoint.'),
  healthTimeoutOverrides: parameter(
    'HealthTimeoutOverrides',
    healthTimeouts,
    '',
    'Other time-outs for parts that report their health.',
  ),

  // Process: Logging
  logActionRateLimit: parameter(
    'LogActionRateLimit',
    logRate,
    '',
    'How often rules with action Log may log, as 10/second.',
  ),
  logActionRateLimitBurst: parameter(
    'LogActionRateLimitBurst',
    integer(0),
    '5',
    'Packets that may exceed logActionRateLimit at once.',
  ),
  logDebugFilenameRegex: parameter('LogDebugFilenameRegex', pattern, '', 'Source files whose debug logs are kept.'),
  logFilePath: parameter('LogFilePath', anyText, '/var/log/calico/felix.log', 'File for logs; none for no file.'),
  logPrefix: parameter('LogPrefix', anyText, 'calico-packet', 'What lines of rules with action Log begin with.'),
  logSeverityFile: parameter(
    'LogSeverityFile',
    choice('Debug', 'Error', 'Fatal', 'Info', 'Trace', 'Warning'),
    'INFO',
    'From which severity on to log to the file.',
  ),
  logSeverityScreen: parameter(
    'LogSeverityScreen',
    choice('Debug', 'Error', 'Fatal', 'Info', 'Trace', 'Warning'),
    'INFO',
    'From which severity on to log to standard output.',
  ),
  logSeveritySys: parameter(
    'LogSeveritySys',
    choice('Debug', 'Error', 'Fatal', 'Info', 'Trace', 'Warning'),
    'INFO',
    'From which severity on to log to syslog.',
  ),

  // Process: Prometheus metrics
  prometheusGoMetricsEnabled: parameter(
    'PrometheusGoMetricsEnabled',
    boolean,
    'true',
    'Whether metrics of the runtime are served.',
  ),
  prometheusMetricsCAFile: parameter(
    'PrometheusMetricsCAFile',
    anyText,
    '',
    'Authority that clients of the metrics must be signed by.',
  ),
  prometheusMetricsCertFile: parameter(
    'PrometheusMetricsCertFile',
    anyText,
    '',
    'Certificate of the metrics endpoint.',
  ),
  prometheusMetricsClientAuth: parameter(
    'PrometheusMetricsClientAuth',
    choice('NoClientCert', 'RequireAndVerifyClientCert', 'RequireAnyClientCert', 'VerifyClientCertIfGiven'),
    'NoClientCert',
    'Whether clients of the metrics need a certificate.',
  ),
  prometheusMetricsEnabled: parameter('PrometheusMetricsEnabled', boolean, 'false', 'Whether metrics are served.'),
  prometheusMetricsHost: parameter(
    'PrometheusMetricsHost',
    listenHost,
    '',
    'Address that the metrics endpoint listens on; all when empty.',
  ),
  prometheusMetricsKeyFile: parameter('PrometheusMetricsKeyFile', anyText, '', 'Key of the metrics endpoint.'),
  prometheusMetricsPort: parameter('PrometheusMetricsPort', integer(0, 65535), '9091', 'Port of the metrics endpoint.'),
  prometheusProcessMetricsEnabled: parameter(
    'PrometheusProcessMetricsEnabled',
    boolean,
    'true',
    'Whether metrics of the process are served.',
  ),
  prometheusWireGuardMetricsEnabled: parameter(
    'PrometheusWireGuardMetricsEnabled',
    boolean,
    'true',
    'Whether metrics of WireGuard are served.',
  ),

  // Flow logs: file reports
  flowLogsCollectorDebugTrace: parameter(
    'FlowLogsCollectorDebugTrace',
    boolean,
    'false',
    'Whether the flow collector logs every flow.',
  ),
  flowLogsFlushInterval: parameter('FlowLogsFlushInterval', duration(), '300', 'How often flow logs are written.'),
  flowLogsGoldmaneServer: parameter('FlowLogsGoldmaneServer', anyText, '', 'Where flow logs are sent.'),
  flowLogsLocalReporter: parameter(
    'FlowLogsLocalReporter',
    choice('Disabled', 'Enabled'),
    'Disabled',
    'Whether flow logs can be read from a local socket.',
  ),
  flowLogsPolicyEvaluationMode: parameter(
    'FlowLogsPolicyEvaluationMode',
    choice('Continuous', 'None'),
    'Continuous',
    'Whether staged policies are evaluated for flows that go on.',
  ),

  // AWS integration
  awsSrcDstCheck: parameter(
    'AWSSrcDstCheck',
    choice('Disable', 'DoNothing', 'Enable'),
    'DoNothing',
    "Whether to change the source/destination check of the node's AWS interface.",
  ),

  // Debug/test-only (generally unsupported)
  debugDisableLogDropping: parameter(
    'DebugDisableLogDropping',
    boolean,
    'false',
    'Whether to wait rather than drop logs under load.',
  ),
  debugHost: parameter('DebugHost', anyText, 'localhost', 'Address that the debug endpoint listens on.'),
  debugMemoryProfilePath: parameter('DebugMemoryProfilePath', anyText, '', 'File for a memory profile.'),
  debugPort: parameter('DebugPort', integer(0, 65535), '', 'Port of the debug endpoint; none when empty.'),
  debugSimulateCalcGraphHangAfter: parameter(
    'DebugSimulateCalcGraphHangAfter',
    duration(),
    '0',
    'For tests: the calculation stops after this time.',
  ),
  debugSimulateDataplaneApplyDelay: parameter(
    'DebugSimulateDataplaneApplyDelay',
    duration(),
    '0',
    'For tests: every apply takes this much longer.',
  ),
  debugSimulateDataplaneHangAfter: parameter(
    'DebugSimulateDataplaneHangAfter',
    duration(),
    '0',
    'For tests: the dataplane stops after this time.',
  ),

  // Usage reporting
  usageReportingEnabled: parameter(
    'UsageReportingEnabled',
    boolean,
    'true',
    'Whether Calico reports its version and cluster size to its makers; Twill never does.',
  ),
  usageReportingInitialDelay: parameter(
    'UsageReportingInitialDelaySecs',
    duration(),
    '300',
    'Time before the first report.',
  ),
  usageReportingInterval: parameter('UsageReportingIntervalSecs', duration(), '86400', 'Time between reports.'),
};
