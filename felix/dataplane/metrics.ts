// The dataplane's status as Prometheus text.

import type { DataplaneStatus } from './status.ts';

const metrics: readonly (readonly [name: string, type: string, help: string, value: (s: DataplaneStatus) => number])[] =
  [
    ['felix_in_sync', 'gauge', 'The datastore has been read completely.', (s) => (s.inSync ? 1 : 0)],
    ['felix_ready', 'gauge', 'The kernel shows the present picture.', (s) => (s.ready ? 1 : 0)],
    ['felix_endpoints', 'gauge', 'Workload endpoints of this node.', (s) => s.endpoints],
    ['felix_endpoints_programmed', 'gauge', 'Those with rules and routes in the kernel.', (s) => s.endpointsProgrammed],
    ['felix_policies', 'gauge', 'Policies and profiles that local endpoints use.', (s) => s.policies],
    ['felix_ip_sets', 'gauge', 'IP sets that those use.', (s) => s.ipSets],
    ['felix_routes', 'gauge', 'Routes to local endpoints.', (s) => s.routes],
    ['felix_applies_total', 'counter', 'Successful passes over the kernel.', (s) => s.applies],
    ['felix_apply_failures_total', 'counter', 'Failed ones.', (s) => s.failures],
    ['felix_repairs_total', 'counter', 'Times that the kernel was not as we left it.', (s) => s.repairs],
    ['felix_last_apply_seconds', 'gauge', 'Duration of the last pass.', (s) => s.lastApplyMs / 1000],
  ];

export const metricsText = (status: DataplaneStatus): string =>
  metrics
    .map(([name, type, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value(status)}\n`)
    .join('');
