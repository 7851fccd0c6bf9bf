// Shows that every parameter of Calico's Felix is accepted from each of its sources, the highest winning, and that those
// that do nothing here are named. The list of parameters is felix-parameters.tsv: name in felix.cfg, field of
// FelixConfiguration ("-": only from outside the datastore), kind of value, default.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { checkResourceOf, type FelixConfiguration, felixParameters } from '../../datastore/model/index.ts';
import { FelixConfig } from '../../felix/config.ts';

interface Listed {
  readonly name: string;
  /** Undefined: it has none. */
  readonly field: string | undefined;
  readonly kind: 'boolean' | 'integer' | 'duration' | 'word' | 'text';
  readonly fallback: string;
}

const isKind = (text: string): text is Listed['kind'] =>
  ['boolean', 'integer', 'duration', 'word', 'text'].includes(text);

const listed: readonly Listed[] = readFileSync(new URL('./felix-parameters.tsv', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
  .slice(1)
  .map((line) => {
    const [name = '', field = '', kind = '', fallback = ''] = line.split('\t');
    assert.ok(isKind(kind), line);
    return { name, field: field === '-' ? undefined : field, kind, fallback };
  });

/** Those that the rules and the agent look at. */
const effective = new Set([
  'AllowIPIPPacketsFromWorkloads',
  'AllowVXLANPacketsFromWorkloads',
  'VXLANPort',
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
]);

function configuration(name: string, spec: Readonly<Record<string, unknown>>): FelixConfiguration {
  const given = { kind: 'FelixConfiguration', apiVersion: 'projectcalico.org/v3', metadata: { name }, spec };
  const checked = checkResourceOf('FelixConfiguration', given);
  if (checked.kind === 'invalid') throw new Error(JSON.stringify(checked.faults));
  return checked.resource;
}

/** Resources have one spelling for each word. */
const { parameters: defaults } = new FelixConfig('node-1', {}).resolve();

/** The default as JSON, where a resource can say it plainly. */
function inJson({ name, kind, fallback }: Listed): unknown {
  if (fallback === '') return undefined;
  switch (kind) {
    case 'boolean':
      return fallback === 'true';
    case 'integer':
      return Number(fallback);
    case 'word':
      return defaults[name];
    default:
      return undefined;
  }
}

/** Durations have a unit here, and words and numbers one spelling; the meaning is the same. */
function sameValue(ours: string | undefined, { kind, fallback, name }: Listed): boolean {
  if (ours === undefined) return fallback === '';
  if (kind === 'integer') return Number(ours) === Number(fallback);
  if (kind === 'duration') return ours === `${fallback}${name.endsWith('Millis') ? 'ms' : 's'}` || ours === fallback;
  return ours.toLowerCase() === fallback.toLowerCase();
}

describe('Felix’s parameters', () => {
  it('are all known, with their fields and defaults', () => {
    assert.equal(felixParameters.size, listed.length);
    const { parameters, faults } = new FelixConfig('node-1', {}).resolve();
    assert.deepEqual(faults, []);
    for (const one of listed) {
      const known = felixParameters.get(one.name.toLowerCase());
      assert.equal(known?.name, one.name);
      assert.equal(known?.field, one.field, one.name);
      assert.ok(sameValue(parameters[one.name], one), `${one.name}: ${parameters[one.name]} is not ${one.fallback}`);
    }
  });

  it('are accepted from the environment in any case, and from the file', () => {
    const withValue = listed.filter(({ fallback }) => fallback !== '');
    const environment = Object.fromEntries(
      withValue.map(({ name, fallback }, i) => [
        [`FELIX_${name}`, `FELIX_${name.toUpperCase()}`, `felix_${name.toLowerCase()}`][i % 3],
        fallback,
      ]),
    );
    const file = `[global]\n${withValue.map(({ name, fallback }) => `${name} = ${fallback}\n`).join('')}`;
    for (const [source, sources] of [
      ['environment', { environment, file }],
      ['file', { file }],
    ] as const) {
      const resolved = new FelixConfig('node-1', sources).resolve();
      assert.deepEqual(resolved.faults, []);
      for (const one of withValue) {
        assert.equal(resolved.sources[one.name], source, one.name);
        assert.ok(sameValue(resolved.parameters[one.name], one), `${one.name}: ${resolved.parameters[one.name]}`);
      }
    }
  });

  it('are accepted from FelixConfigurations: of the node, by selector, of all', () => {
    const inResources = listed.filter((one) => one.field !== undefined && inJson(one) !== undefined);
    assert.ok(inResources.length > 80);
    const spec = Object.fromEntries(inResources.map((one) => [one.field, inJson(one)]));
    const layers = [
      ['node', configuration('node.node-1', spec)],
      ['selector', configuration('rack', { ...spec, nodeSelector: "rack == 'a'" })],
      ['global', configuration('default', spec)],
    ] as const;
    for (const [i, [source]] of layers.entries()) {
      const config = new FelixConfig('node-1', {});
      config.setNodeLabels({ rack: 'a' });
      for (const [, resource] of layers.slice(i)) config.set(resource.metadata.name, resource);
      const resolved = config.resolve();
      assert.deepEqual(resolved.faults, []);
      for (const one of inResources) {
        assert.equal(resolved.sources[one.name], source, one.name);
        assert.ok(sameValue(resolved.parameters[one.name], one), `${one.name}: ${resolved.parameters[one.name]}`);
      }
    }
  });

  it('are named when somebody sets them and they do nothing here', () => {
    for (const { name, fallback } of listed) {
      if (fallback === '') continue;
      const { withoutEffect } = new FelixConfig('node-1', { environment: { [`FELIX_${name}`]: fallback } }).resolve();
      assert.deepEqual(withoutEffect, effective.has(name) ? [] : [name]);
    }
    assert.equal(listed.filter(({ name }) => effective.has(name)).length, effective.size);
  });

  it('keep their next source’s value where one cannot be read', () => {
    for (const { name, kind, fallback } of listed) {
      if (kind !== 'boolean' && kind !== 'integer' && kind !== 'duration') continue;
      const resolved = new FelixConfig('node-1', { environment: { [`FELIX_${name}`]: 'not a value' } }).resolve();
      assert.deepEqual(
        resolved.faults.map(({ parameter, source }) => [parameter, source]),
        [[name, 'environment']],
      );
      assert.equal(resolved.sources[name], fallback === '' ? undefined : 'default', name);
    }
  });
});
