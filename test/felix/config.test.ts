// Shows which source of a Felix parameter wins, and that every source's notation gives the same value.

import assert from 'node:assert/strict';
import { checkResourceOf, type FelixConfiguration } from '../../datastore/model/index.ts';
import { FelixConfig, parseFelixFile } from '../../felix/config.ts';

function configuration(name: string, spec: Readonly<Record<string, unknown>>): FelixConfiguration {
  const given = { kind: 'FelixConfiguration', apiVersion: 'projectcalico.org/v3', metadata: { name }, spec };
  const checked = checkResourceOf('FelixConfiguration', given);
  if (checked.kind === 'invalid') throw new Error(JSON.stringify(checked.faults));
  return checked.resource;
}

function config(
  sources: ConstructorParameters<typeof FelixConfig>[1],
  ...configurations: readonly FelixConfiguration[]
): FelixConfig {
  const resolved = new FelixConfig('node-1', sources);
  resolved.setNodeLabels({ rack: 'a' });
  for (const one of configurations) resolved.set(one.metadata.name, one);
  return resolved;
}

describe('felix configuration', () => {
  it('takes the highest source that sets a parameter', () => {
    const all = [
      configuration('default', { interfacePrefix: 'global' }),
      configuration('rack-a', { nodeSelector: "rack == 'a'", interfacePrefix: 'selector' }),
      configuration('rack-b', { nodeSelector: "rack == 'b'", interfacePrefix: 'other' }),
      configuration('node.node-1', { interfacePrefix: 'node' }),
      configuration('node.node-2', { interfacePrefix: 'neighbour' }),
    ];
    const file = '[global]\n# comment\nInterfacePrefix = file\n';
    const environment = { FELIX_INTERFACEPREFIX: 'env', OTHER: 'x' };
    const winner = (resolved: FelixConfig): readonly (string | undefined)[] => {
      const { parameters, sources } = resolved.resolve();
      return [parameters['InterfacePrefix'], sources['InterfacePrefix']];
    };
    assert.deepEqual(winner(config({ environment, file }, ...all)), ['env', 'environment']);
    assert.deepEqual(winner(config({ file }, ...all)), ['file', 'file']);
    assert.deepEqual(winner(config({}, ...all)), ['node', 'node']);
    assert.deepEqual(winner(config({}, ...all.slice(0, 3))), ['selector', 'selector']);
    assert.deepEqual(winner(config({}, ...all.slice(0, 1))), ['global', 'global']);
    assert.deepEqual(winner(config({})), ['cali', 'default']);
  });

  it('puts every notation into one', () => {
    const fromText = config({
      environment: {
        FELIX_RouteRefreshInterval: '60',
        FELIX_IPTABLESMARKMASK: '0xff000000',
        felix_defaultendpointtohostaction: 'ACCEPT',
        FELIX_Ipv6Support: 'NO',
        FELIX_FailsafeInboundHostPorts: 'tcp:22,udp:10.0.0.0/8:68',
        FELIX_IptablesLockProbeIntervalMillis: '50',
      },
    }).resolve().parameters;
    const fromResource = config(
      {},
      configuration('default', {
        routeRefreshInterval: '60s',
        iptablesMarkMask: 0xff000000,
        defaultEndpointToHostAction: 'Accept',
        ipv6Support: false,
        failsafeInboundHostPorts: [
          { protocol: 'TCP', port: 22 },
          { protocol: 'UDP', net: '10.0.0.0/8', port: 68 },
        ],
        iptablesLockProbeInterval: '50ms',
      }),
    ).resolve().parameters;
    assert.deepEqual(fromText, fromResource);
    assert.equal(fromText['RouteRefreshInterval'], '60s');
    assert.equal(fromText['IptablesMarkMask'], '4278190080');
    assert.equal(fromText['DefaultEndpointToHostAction'], 'Accept');
    assert.equal(fromText['Ipv6Support'], 'false');
    assert.equal(fromText['FailsafeInboundHostPorts'], 'tcp:22,udp:10.0.0.0/8:68');
    assert.equal(fromText['HealthPort'], '9099');
  });

  it('passes over a value that is not acceptable, and reports it', () => {
    const resolved = config({
      environment: { FELIX_HEALTHPORT: 'high', FELIX_IPV6SUPPORT: 'maybe' },
      file: 'HealthPort=70',
    });
    const { parameters, faults } = resolved.resolve();
    assert.equal(parameters['HealthPort'], '70');
    assert.equal(parameters['Ipv6Support'], 'true');
    assert.deepEqual(faults.map(({ parameter, source, value }) => `${source} ${parameter}=${value}`).sort(), [
      'environment HealthPort=high',
      'environment Ipv6Support=maybe',
    ]);
  });

  it('names what is set and does nothing here', () => {
    const resolved = config(
      { environment: { FELIX_XDPENABLED: 'true', FELIX_INTERFACEPREFIX: 'tap', FELIX_DATASTORETYPE: 'etcdv3' } },
      configuration('default', { bpfEnabled: true, logPrefix: 'x' }),
    );
    assert.deepEqual(resolved.resolve().withoutEffect.toSorted(), ['BPFEnabled', 'DatastoreType', 'XDPEnabled']);
  });

  it('accepts every default', () => {
    assert.deepEqual(config({}).resolve().faults, []);
  });

  it('reads felix.cfg whatever its sections', () => {
    assert.deepEqual(
      [...parseFelixFile('[global]\n LogFilePath = none \n;x\n# y = z\n[other]\nInterfacePrefix: tap\nnonsense')],
      [
        ['logfilepath', 'none'],
        ['interfaceprefix', 'tap'],
      ],
    );
  });
});
