// Felix's parameters from all their sources. The highest that sets a parameter wins:
//
//   environment FELIX_<NAME>  >  file felix.cfg  >  FelixConfiguration node.<name>  >  those whose nodeSelector selects the
//   node (by name)  >  FelixConfiguration default  >  the parameter's default
//
// The result is text in one notation whatever the source: "true", "10", durations with units ("90s"), words as the
// parameter's type writes them, lists separated by commas, ports as "tcp:22" or "tcp:10.0.0.0/8:22". A value that is not
// acceptable counts as not given by its source, and is reported.

import {
  type FelixConfiguration,
  type FelixParameter,
  felixParameters,
  matches,
  parseDurationMs,
  parseSelector,
} from '../datastore/model/index.ts';

export interface ConfigSources {
  /** Variables whose names begin with FELIX_, in any case. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Text of felix.cfg. */
  readonly file?: string;
}

export type ConfigSource = 'environment' | 'file' | 'node' | 'selector' | 'global' | 'default';

export interface ResolvedConfig {
  /** By the parameter's name, as in felix.cfg. Parameters without a value are absent. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly sources: Readonly<Record<string, ConfigSource>>;
  readonly faults: readonly ConfigFault[];
  /** Parameters that somebody set and that do nothing here: accepted for Calico's sake. */
  readonly withoutEffect: readonly string[];
}

/** What of all parameters shapes the rules and routes of this felix. Those of the process itself are in agent/options.ts. */
const effective: ReadonlySet<string> = new Set([
  'AllowIPIPPacketsFromWorkloads',
  'AllowVXLANPacketsFromWorkloads',
  'DefaultEndpointToHostAction',
  'DisableConntrackInvalidCheck',
  'FailsafeInboundHostPorts',
  'FailsafeOutboundHostPorts',
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
  'VXLANPort',
]);

/** What an administrator should hear about the configuration. */
export type ConfigNotes = Pick<ResolvedConfig, 'faults' | 'withoutEffect'>;

export interface ConfigFault {
  readonly parameter: string;
  readonly source: ConfigSource;
  readonly value: string;
  readonly problem: string;
}

interface Layer {
  readonly source: ConfigSource;
  /** By the parameter's name in lower case. */
  readonly values: ReadonlyMap<string, unknown>;
}

export class FelixConfig {
  readonly #nodeName: string;
  readonly #local: readonly Layer[];
  readonly #configurations = new Map<string, FelixConfiguration>();
  #nodeLabels: ReadonlyMap<string, string> = new Map();

  constructor(nodeName: string, sources: ConfigSources) {
    this.#nodeName = nodeName;
    this.#local = [
      { source: 'environment', values: environmentValues(sources.environment ?? {}) },
      { source: 'file', values: parseFelixFile(sources.file ?? '') },
    ];
  }

  set(name: string, configuration: FelixConfiguration | undefined): void {
    if (configuration) this.#configurations.set(name, configuration);
    else this.#configurations.delete(name);
  }

  setNodeLabels(labels: Readonly<Record<string, string>>): void {
    this.#nodeLabels = new Map(Object.entries(labels));
  }

  resolve(): ResolvedConfig {
    const layers = [...this.#local, ...this.#layersOfDatastore()];
    const parameters: Record<string, string> = {};
    const sources: Record<string, ConfigSource> = {};
    const faults: ConfigFault[] = [];
    for (const [key, parameter] of felixParameters) {
      const { name } = parameter;
      for (const { source, values } of [...layers, defaultLayer(key, parameter)]) {
        const given = values.get(key);
        if (given === undefined || given === null || given === '') continue;
        const text = normalize(parameter, given);
        if (text === undefined) {
          const value = typeof given === 'string' ? given : JSON.stringify(given);
          faults.push({ parameter: name, source, value, problem: `${value} is not acceptable for ${name}` });
          continue;
        }
        parameters[name] = text;
        sources[name] = source;
        break;
      }
    }
    const withoutEffect = Object.entries(sources)
      .filter(([name, source]) => source !== 'default' && !effective.has(name))
      .map(([name]) => name);
    return { parameters, sources, faults, withoutEffect };
  }

  #layersOfDatastore(): readonly Layer[] {
    const own = `node.${this.#nodeName}`;
    const bySelector = [...this.#configurations.entries()]
      .filter(
        ([name, { spec }]) => name !== 'default' && !name.startsWith('node.') && this.#isSelected(spec.nodeSelector),
      )
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const layers: Layer[] = [];
    const add = (source: ConfigSource, configuration: FelixConfiguration | undefined): void => {
      if (configuration) layers.push({ source, values: specValues(configuration) });
    };
    add('node', this.#configurations.get(own));
    for (const [, configuration] of bySelector) add('selector', configuration);
    add('global', this.#configurations.get('default'));
    return layers;
  }

  #isSelected(selector: string | undefined): boolean {
    if (selector === undefined) return false;
    const parsed = parseSelector(selector);
    return parsed.kind === 'selector' && matches(parsed.selector, this.#nodeLabels);
  }
}

const defaultLayer = (key: string, parameter: FelixParameter): Layer => ({
  source: 'default',
  values: new Map([[key, parameter.default]]),
});

function environmentValues(environment: Readonly<Record<string, string | undefined>>): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(environment)) {
    if (/^felix_/i.test(name) && value !== undefined) values.set(name.slice('felix_'.length).toLowerCase(), value);
  }
  return values;
}

/** Lines `Name = value` of an INI file; sections and comments mean nothing. */
export function parseFelixFile(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^\s*([A-Za-z]\w*)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) values.set(name.toLowerCase(), value);
  }
  return values;
}

function specValues(configuration: FelixConfiguration): ReadonlyMap<string, unknown> {
  const spec: Readonly<Record<string, unknown>> = configuration.spec;
  const values = new Map<string, unknown>();
  for (const [key, { field }] of felixParameters) if (field) values.set(key, spec[field]);
  return values;
}

/** The value in the one notation; undefined when the parameter cannot take it. */
function normalize(parameter: FelixParameter, given: unknown): string | undefined {
  const { type, name } = parameter;
  if (typeof given !== 'string') return normalizeJson(given);
  const kind = type.kind === 'scalar' ? type.name : type.kind;
  if (kind === 'boolean') return normalizeBoolean(given);
  if (kind === 'duration') return normalizeDuration(given, name);
  if (kind.startsWith('integer')) {
    const number = /^(-?\d+|0x[0-9a-f]+)$/i.test(given) ? Number(given) : undefined;
    return number !== undefined && accepts(parameter, number) ? String(number) : undefined;
  }
  if (type.kind !== 'scalar') return given;
  if (kind.includes(' | ')) {
    return kind.split(' | ').find((word) => word.toLowerCase() === given.toLowerCase());
  }
  return accepts(parameter, given) ? given : undefined;
}

function accepts({ type }: FelixParameter, value: unknown): boolean {
  if (type.kind !== 'scalar') return true;
  const read = type.read(value);
  return typeof read !== 'object';
}

function normalizeBoolean(text: string): string | undefined {
  if (/^(true|1|yes|y|t)$/i.test(text)) return 'true';
  return /^(false|0|no|n|f)$/i.test(text) ? 'false' : undefined;
}

/** In the environment and the file a bare number is in the unit that the name says, or else in seconds. */
function normalizeDuration(text: string, name: string): string | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return name.endsWith('Millis') ? `${text}ms` : `${text}s`;
  return parseDurationMs(text) === undefined ? undefined : text;
}

function normalizeJson(value: unknown): string {
  if (Array.isArray(value)) return value.map(normalizeJson).join(',');
  if (typeof value === 'object' && value !== null) {
    const { protocol, net, port } = value as Readonly<Record<string, unknown>>;
    if (typeof protocol === 'string' && port !== undefined) {
      return [protocol.toLowerCase(), ...(net === undefined ? [] : [String(net)]), String(port)].join(':');
    }
    return JSON.stringify(value);
  }
  return String(value);
}
