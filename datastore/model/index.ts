// The resource model: what other folders import.

export * from './ipam.ts';
export * from './keys.ts';
export { parsePeerIp } from './kinds/bgp.ts';
export type { Metadata } from './kinds/common.ts';
export { builtInProfile } from './kinds/endpoint.ts';
export { type FelixField, felixFields, felixParameters } from './kinds/felix/felix-configuration.ts';
export type { FelixParameter } from './kinds/felix/parameter.ts';
export { builtInTiers } from './kinds/policy.ts';
export * from './kinds.ts';
export * from './resource.ts';
export { parseDurationMs } from './schema/scalars.ts';
export {
  type ParsedPort,
  type Port,
  type Protocol,
  parsePort,
  parseProtocol,
  protocolNumbers,
} from './schema/scalars-net.ts';
export * from './selector/index.ts';
export * from './workload-names.ts';
