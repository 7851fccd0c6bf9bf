// ClusterInformation, KubeControllersConfiguration: the cluster as a whole.

import { boolean, choice, duration, integer, text } from '../schema/scalars.ts';
import { labelKey, labelValue, selector } from '../schema/scalars-names.ts';
import { network } from '../schema/scalars-net.ts';
import { any, list, map, object, optional } from '../schema/types.ts';
import { kind } from './common.ts';

const anyText = text();
const onlyDefault = text({ name: 'name', pattern: /^default$/, remedy: 'call it default' });

export const clusterInformation = kind('ClusterInformation', {
  plural: 'clusterinformations',
  shortNames: ['clusterinfo'],
  doc: 'What the cluster is; written by Twill. There is one, called default.',
  name: onlyDefault,
  spec: object({
    clusterGUID: optional(anyText, 'Identity of the cluster: 32 hexadecimal digits.'),
    clusterType: optional(anyText, 'What the cluster is made of, separated by commas.'),
    calicoVersion: optional(anyText, 'Version of the newest component that has run.'),
    datastoreReady: optional(boolean, 'While false, agents leave the kernel as it is and the CNI plugin waits.'),
    variant: optional(anyText, 'Which product wrote this.'),
  }),
  protectedNames: ['default'],
});

const reconciler = (doc: string) =>
  optional(
    object({ reconcilerPeriod: optional(duration(), 'Time between complete comparisons; 5m when absent.') }),
    doc,
  );

const template = object({
  generateName: optional(anyText, 'Put between the node’s name and "-auto-hep".'),
  interfacePattern: optional(anyText, 'Regular expression for the interfaces.'),
  interfaceCIDRs: optional(list(network), 'Only addresses of these networks.'),
  interfaceSelector: optional(anyText, 'Which interfaces.'),
  labels: optional(map(labelKey, labelValue), 'Labels of the host endpoints.'),
  nodeSelector: optional(selector(), 'Nodes that the template is for.'),
});

const controllers = object({
  node: optional(
    object({
      reconcilerPeriod: optional(duration(), 'Time between complete comparisons; 5m when absent.'),
      syncLabels: optional(choice('Enabled', 'Disabled'), 'Copy the labels of Kubernetes’ nodes.'),
      hostEndpoint: optional(
        object({
          autoCreate: optional(choice('Enabled', 'Disabled'), 'Keep a host endpoint for every node.'),
          createDefaultHostEndpoint: optional(choice('Enabled', 'Disabled'), 'Whether that is for all interfaces.'),
          templates: optional(list(template), 'Further host endpoints for every node.'),
        }),
        'Host endpoints made by the controller.',
      ),
      leakGracePeriod: optional(duration(), 'Age from which a leaked address is taken back; 15m when absent.'),
    }),
    'Nodes and addresses.',
  ),
  policy: reconciler('Kubernetes’ policies.'),
  workloadEndpoint: reconciler('Labels of pods.'),
  serviceAccount: reconciler('Profiles of service accounts.'),
  namespace: reconciler('Profiles of namespaces.'),
  loadBalancer: optional(
    object({ assignIPs: optional(choice('AllServices', 'RequestedServicesOnly'), 'Which Services get an address.') }),
    'Addresses of load balancers.',
  ),
  migration: optional(
    object({
      policyNameMigrator: optional(choice('Enabled', 'Disabled'), 'Rename policies that carry their tier in the name.'),
    }),
    'Conversions of old data.',
  ),
});

export const kubeControllersConfiguration = kind('KubeControllersConfiguration', {
  plural: 'kubecontrollersconfigurations',
  shortNames: ['kcconfig', 'kubecontrollersconfig'],
  doc: 'Settings of the controllers. There is one, called default.',
  name: onlyDefault,
  spec: object({
    logSeverityScreen: optional(
      choice('None', 'Debug', 'Info', 'Warning', 'Error', 'Fatal'),
      'From which severity on to log.',
    ),
    healthChecks: optional(choice('Enabled', 'Disabled'), 'Whether health is reported.'),
    etcdV3CompactionPeriod: optional(duration(), 'Time between compactions of etcd; 10m when absent, 0 never.'),
    prometheusMetricsPort: optional(integer(0, 65535), 'Port for metrics; 9094 when absent, 0 none.'),
    debugProfilePort: optional(integer(0, 65535), 'Port for profiles; none when absent.'),
    controllers: optional(controllers, 'Which controllers run, and how.'),
  }),
  status: object({
    runningConfig: optional(any, 'The settings in force.'),
    environmentVars: optional(map(anyText, anyText), 'Environment variables that override settings.'),
  }),
});
