// Which Felix parameters have an effect here. All of Calico's are accepted; those that are set and do nothing are named once,
// so that nobody relies on them.

import { FelixConfig } from '../config.ts';

const effective: ReadonlySet<string> = new Set([
  'DatastoreType',
  'DefaultEndpointToHostAction',
  'DisableConntrackInvalidCheck',
  'EtcdAddr',
  'EtcdCaFile',
  'EtcdCertFile',
  'EtcdEndpoints',
  'EtcdKeyFile',
  'EtcdScheme',
  'FailsafeInboundHostPorts',
  'FailsafeOutboundHostPorts',
  'FelixHostname',
  'HealthPort',
  'InterfacePrefix',
  'IptablesFilterDenyAction',
  'IptablesMarkMask',
  'LogActionRateLimit',
  'LogActionRateLimitBurst',
  'LogPrefix',
  'NATOutgoingAddress',
  'NATOutgoingExclusions',
  'NATPortRange',
  'NftablesFilterDenyAction',
  'NftablesMarkMask',
]);

let defaults: Readonly<Record<string, string>> | undefined;

/** Names of parameters that somebody has set to something else than their default, and that change nothing here. */
export function parametersWithoutEffect(parameters: Readonly<Record<string, string>>): string[] {
  defaults ??= new FelixConfig('', {}).resolve().parameters;
  const names: string[] = [];
  for (const [name, value] of Object.entries(parameters)) {
    if (!effective.has(name) && value !== defaults[name]) names.push(name);
  }
  return names.sort();
}
