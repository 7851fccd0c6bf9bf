// Shows what settings follow from resources: identity, mesh, reflectors, BGPPeers from both ends, filters, blocks; and
// that a wrong resource is reported and takes nothing else with it.

import assert from 'node:assert/strict';
import { BgpCollector } from '../../../bgp/config/collector.ts';
import { routerIdOf, type SettingsResult, speakerSettings } from '../../../bgp/config/speaker-settings.ts';
import { matchesInterface } from '../../../bgp/discovery.ts';
import type { PeerSettings } from '../../../bgp/settings.ts';
import { affinityKey, isKind, resourceKey } from '../../../datastore/model/index.ts';
import { formatAddress, parseIpv4 } from '../../../net/address.ts';
import { formatPrefix, parsePrefix } from '../../../net/prefix.ts';

describe('bgp settings from resources', () => {
  const threeNodes = [node('a', '10.0.0.1/24'), node('b', '10.0.0.2/24'), node('c', '10.0.0.3/24')];

  it('makes a mesh of all nodes, with the defaults', () => {
    const { settings, problems } = settingsOf('a', threeNodes);
    assert.deepEqual(problems, []);
    assert.equal(settings?.asn, 64512);
    assert.equal(settings?.routerId, parseIpv4('10.0.0.1'));
    assert.deepEqual(settings?.listen, [{ address: 0, port: 179 }]);
    assert.deepEqual(settings?.fib, {
      table: 254,
      protocol: 81,
      priority: 1024,
      priority6: 1024,
      only: [],
      workloadProtocol: 80,
    });
    assert.deepEqual(names(settings?.peers), ['mesh:10.0.0.2', 'mesh:10.0.0.3']);
    const [peer] = settings?.peers ?? [];
    assert.deepEqual(
      { ...peer, importFilter: undefined, exportFilter: undefined },
      {
        name: 'mesh:10.0.0.2',
        address: parseIpv4('10.0.0.2'),
        port: 179,
        asn: 64512,
        passive: false,
        sourceAddress: parseIpv4('10.0.0.1'),
        families: ['ipv4-unicast'],
        holdTimeSec: 90,
        keepaliveTimeSec: 0,
        connectRetrySec: 5,
        routeReflectorClient: false,
        nextHop: 'auto',
        allowedOwnAsns: 0,
        gracefulRestart: true,
        addPathSend: false,
        addPathReceive: false,
        importFilter: undefined,
        exportFilter: undefined,
      },
    );
  });

  it('makes one session for both families between nodes that have both, and another one in case it does not', () => {
    const { settings } = settingsOf('a', [
      node('a', '10.0.0.1/24', { ipv6Address: 'fd00::1/64' }),
      node('b', '10.0.0.2/24', { ipv6Address: 'fd00::2/64' }),
      node('c', '10.0.0.3/24'),
    ]);
    assert.deepEqual(names(settings?.peers), ['mesh:10.0.0.2', 'mesh:10.0.0.3', 'mesh:fd00::2']);
    const [both, ipv4Only, fallback] = settings?.peers ?? [];
    const fd001 = (0xfd00n << 112n) | 1n;
    assert.deepEqual([both?.families, both?.ownIpv6Address], [['ipv4-unicast', 'ipv6-unicast'], fd001]);
    assert.deepEqual([both?.fallbackFor, fallback?.fallbackFor], [undefined, 'mesh:10.0.0.2']);
    assert.deepEqual([ipv4Only?.families, ipv4Only?.ownIpv6Address], [['ipv4-unicast'], undefined]);
    assert.deepEqual(fallback?.families, ['ipv6-unicast']);
    assert.deepEqual(settings?.listen.length, 2);
  });

  it('lets a BGPPeer with the address of one family take that session out of the pair', () => {
    const { settings } = settingsOf('a', [
      node('a', '10.0.0.1/24', { ipv6Address: 'fd00::1/64' }),
      node('b', '10.0.0.2/24', { ipv6Address: 'fd00::2/64' }),
      peer('b-by-ipv4', { node: 'a', peerIP: '10.0.0.2', asNumber: 64512 }),
    ]);
    assert.deepEqual(
      settings?.peers.map(({ name, families, fallbackFor }) => [name, families, fallbackFor]),
      [
        ['mesh:fd00::2', ['ipv6-unicast'], undefined],
        ['node:b-by-ipv4:10.0.0.2', ['ipv4-unicast'], undefined],
      ],
    );
  });

  it('makes pairs of the sessions that one BGPPeer selects', () => {
    const { settings } = settingsOf('a', [
      node('a', '10.0.0.1/24', { ipv6Address: 'fd00::1/64' }),
      node('r', '10.0.0.9/24', { ipv6Address: 'fd00::9/64', routeReflectorClusterID: '1.0.0.1' }, { role: 'rr' }),
      peer('to-rr', { peerSelector: "role == 'rr'" }),
    ]);
    assert.deepEqual(
      settings?.peers.map(({ name, families, fallbackFor }) => [name, families.length, fallbackFor]),
      [
        ['global:to-rr:10.0.0.9', 2, undefined],
        ['global:to-rr:fd00::9', 1, 'global:to-rr:10.0.0.9'],
      ],
    );
  });

  it('carries with an external peer what its annotation says, the family of peerIP without one', () => {
    const tor = (name: string, peerIP: string, families?: string, spec: object = {}): Given => [
      'BGPPeer',
      name,
      { peerIP, asNumber: 65100, ...spec },
      {},
      families === undefined ? {} : { 'twill.io/families': families },
    ];
    const dual = node('a', '10.0.0.1/24', { ipv6Address: 'fd00::1/64' });
    const familiesOf = (...given: Given[]) =>
      settingsOf('a', [dual, ...given]).settings?.peers.map(({ families }) => families.join());
    // Two BGPPeers for one router, as Calico needs them: each carries its own family.
    assert.deepEqual(familiesOf(tor('v4', '10.0.0.254'), tor('v6', 'fd00::254')), ['ipv4-unicast', 'ipv6-unicast']);
    assert.deepEqual(familiesOf(tor('v4', '10.0.0.254', 'ipv6, ipv4')), ['ipv4-unicast,ipv6-unicast']);
    assert.deepEqual(familiesOf(tor('v6', 'fd00::254', 'ipv4 ipv6')), ['ipv4-unicast,ipv6-unicast']);
    const [peer] = settingsOf('a', [dual, tor('v4', '10.0.0.254', 'ipv4, ipv6')]).settings?.peers ?? [];
    assert.deepEqual([peer?.ownIpv4Address, peer?.ownIpv6Address], [0x0a000001, (0xfd00n << 112n) | 1n]);
    const problemsOf = (own: Given, given: Given) =>
      settingsOf('a', [own, given]).problems.map(({ field, problem }) => `${field}: ${problem}`);
    const field = 'metadata.annotations.twill.io/families';
    assert.deepEqual(problemsOf(dual, tor('v4', '10.0.0.254', 'v4')), [
      `${field}: "v4" is not a list of families; write "ipv4", "ipv6" or "ipv4, ipv6"`,
    ]);
    assert.deepEqual(problemsOf(node('a', '10.0.0.1/24'), tor('v4', '10.0.0.254', 'ipv4, ipv6')), [
      `${field}: Node/a has no IPv6 address in spec.bgp, so there is no next hop for IPv6 routes`,
    ]);
  });

  it('obeys BGPConfiguration: AS, port, mesh off, bind mode, restart time', () => {
    const on = settingsOf('a', [
      ...threeNodes,
      configuration('default', { asNumber: 64999, listenPort: 1790, bindMode: 'NodeIP', nodeMeshMaxRestartTime: '3m' }),
      configuration('node.b', { listenPort: 1799 }),
    ]).settings;
    assert.equal(on?.asn, 64999);
    assert.deepEqual(on?.listen, [{ address: parseIpv4('10.0.0.1'), port: 1790 }]);
    assert.deepEqual(
      on?.peers.map(({ port, asn, restartTimeSec }) => [port, asn, restartTimeSec]),
      [
        [1799, 64999, 180],
        [1790, 64999, 180],
      ],
    );
    const off = settingsOf('a', [...threeNodes, configuration('default', { nodeToNodeMeshEnabled: false })]);
    assert.deepEqual(off.settings?.peers, []);
  });

  it('uses a node’s own AS number, so that a mesh may be eBGP', () => {
    const nodes = [node('a', '10.0.0.1/24', { asNumber: 65001 }), node('b', '10.0.0.2/24', { asNumber: 65002 })];
    const { settings } = settingsOf('a', nodes);
    assert.deepEqual([settings?.asn, settings?.peers[0]?.asn], [65001, 65002]);
  });

  it('leaves reflectors out of the mesh, and makes the others their clients', () => {
    const nodes = [
      node('a', '10.0.0.1/24'),
      node('b', '10.0.0.2/24'),
      node('r', '10.0.0.9/24', { routeReflectorClusterID: '1.0.0.1' }, { role: 'reflector' }),
      node('s', '10.0.0.10/24', { routeReflectorClusterID: '1.0.0.1' }, { role: 'reflector' }),
      peer('to-reflectors', { peerSelector: "role == 'reflector'" }),
    ];
    assert.deepEqual(names(settingsOf('a', nodes).settings?.peers), [
      'global:to-reflectors:10.0.0.10',
      'global:to-reflectors:10.0.0.9',
      'mesh:10.0.0.2',
    ]);
    const reflector = settingsOf('r', nodes).settings;
    assert.equal(reflector?.clusterId, parseIpv4('1.0.0.1'));
    assert.deepEqual(
      reflector?.peers.map(({ name, routeReflectorClient }) => [name, routeReflectorClient]),
      [
        ['global:to-reflectors:10.0.0.1', true],
        // The other reflector has the same cluster id.
        ['global:to-reflectors:10.0.0.10', false],
        ['global:to-reflectors:10.0.0.2', true],
      ],
    );
  });

  it('peers back for the selected nodes, unless that is left to people', () => {
    const nodes = (reversePeering?: string) => [
      node('a', '10.0.0.1/24', {}, { rack: '1' }),
      node('t', '10.0.0.9/24', {}, { rack: '2' }),
      configuration('default', { nodeToNodeMeshEnabled: false }),
      peer('up', {
        nodeSelector: "rack == '1'",
        peerSelector: "rack == '2'",
        ...(reversePeering ? { reversePeering } : {}),
      }),
    ];
    assert.deepEqual(names(settingsOf('a', nodes()).settings?.peers), ['node:up:10.0.0.9']);
    assert.deepEqual(names(settingsOf('t', nodes()).settings?.peers), ['node:up:10.0.0.1']);
    assert.deepEqual(names(settingsOf('t', nodes('Manual')).settings?.peers), []);
  });

  it('makes external peers: of one node, of selected ones, of all; with every option', () => {
    const resources = [
      node('a', '10.0.0.1/24', {}, { rack: '1' }),
      configuration('default', { nodeToNodeMeshEnabled: false }),
      peer('all', { peerIP: '192.0.2.1', asNumber: 65100 }),
      peer('mine', {
        node: 'a',
        peerIP: '192.0.2.2:1790',
        asNumber: 65101,
        localASNumber: 65000,
        nextHopMode: 'Keep',
        sourceAddress: 'None',
        keepaliveTime: '5s',
        maxRestartTime: '60s',
        ttlSecurity: 1,
        numAllowedLocalASNumbers: 2,
      }),
      peer('rack', { nodeSelector: "rack == '1'", peerIP: '192.0.2.3', asNumber: 64512 }),
      peer('other-rack', { nodeSelector: "rack == '2'", peerIP: '192.0.2.4', asNumber: 64512 }),
      peer('other-node', { node: 'b', peerIP: '192.0.2.5', asNumber: 64512 }),
    ];
    const { settings, problems } = settingsOf('a', resources);
    assert.deepEqual(problems, []);
    assert.deepEqual(names(settings?.peers), ['global:all:192.0.2.1', 'node:mine:192.0.2.2', 'node:rack:192.0.2.3']);
    const mine = settings?.peers[1];
    assert.deepEqual(
      [
        mine?.port,
        mine?.asn,
        mine?.localAs,
        mine?.nextHop,
        mine?.sourceAddress,
        mine?.keepaliveTimeSec,
        mine?.holdTimeSec,
      ],
      [1790, 65101, { asn: 65000, noPrepend: true, replaceAs: true, dualAs: false }, 'keep', undefined, 5, 15],
    );
    assert.deepEqual([mine?.restartTimeSec, mine?.ttlSecurityHops, mine?.allowedOwnAsns], [60, 1, 2]);
  });

  it('lets the more particular of two peers with one address win, and says so', () => {
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      peer('everybody', { peerIP: '10.0.0.2', asNumber: 64512 }),
      peer('my-own', { node: 'a', peerIP: '10.0.0.2', asNumber: 65002 }),
    ]);
    assert.deepEqual(names(settings?.peers), ['mesh:10.0.0.3', 'node:my-own:10.0.0.2']);
    assert.deepEqual(problems, [
      {
        resource: 'BGPPeer/everybody',
        field: 'spec',
        problem: 'the session with 10.0.0.2 is made by BGPPeer/my-own',
      },
    ]);
  });

  it('advertises confirmed blocks only, with the communities of their range', () => {
    const { settings } = settingsOf('a', [
      ...threeNodes,
      affinity('a', '10.244.1.0/26', 'confirmed'),
      affinity('a', '10.244.0.0/26', 'confirmed'),
      affinity('a', '10.244.2.0/26', 'pending'),
      configuration('default', {
        communities: [{ name: 'pods', value: '65000:7' }],
        prefixAdvertisements: [{ cidr: '10.244.1.0/24', communities: ['pods', '1:2:3'] }],
      }),
    ]);
    assert.deepEqual(
      settings?.originate.map(({ prefix, blackhole, communities }) => [formatPrefix(prefix), blackhole, communities]),
      [
        ['10.244.0.0/26', true, []],
        [
          '10.244.1.0/26',
          true,
          [
            { kind: 'standard', value: 65000 * 65536 + 7 },
            { kind: 'large', global: 1, local1: 2, local2: 3 },
          ],
        ],
      ],
    );
  });

  it('exports own blocks and pool routes only, but no pool that forbids it; imports all', () => {
    const { settings } = settingsOf('a', [
      ...threeNodes,
      pool('pods', '10.244.0.0/16', {}),
      pool('private', '10.99.0.0/16', { disableBGPExport: true }),
    ]);
    const [peerSettings] = settings?.peers ?? [];
    assert.deepEqual(peerSettings?.importFilter, { rules: [], otherwise: 'accept' });
    assert.equal(peerSettings?.exportFilter.otherwise, 'reject');
    assert.deepEqual(
      peerSettings?.exportFilter.rules.map(({ origin, action, source, match }) => [
        origin,
        action,
        source ?? (match && formatPrefix(match.prefix)),
      ]),
      [
        ['IPPool/private disableBGPExport', 'reject', '10.99.0.0/16'],
        ['own blocks', 'accept', 'local'],
        ['IPPool/pods', 'accept', '10.244.0.0/16'],
      ],
    );
  });

  it('puts a peer’s BGPFilters before that', () => {
    const { settings } = settingsOf('a', [
      ...threeNodes,
      peer('tor', { peerIP: '192.0.2.1', asNumber: 65100, filters: ['first', 'second'] }),
      filter('first', {
        exportV4: [
          { action: 'Reject', cidr: '10.244.9.0/24', matchOperator: 'In', prefixLength: { min: 26, max: 26 } },
        ],
        importV6: [{ action: 'Reject', source: 'RemotePeers', interface: 'eth*' }],
      }),
      filter('second', {
        importV4: [
          {
            action: 'Accept',
            peerType: 'eBGP',
            communities: { values: ['65000:1'] },
            asPathPrefix: [65100],
            operations: [
              { addCommunity: { value: '1:1:1' } },
              { prependASPath: { prefix: [65000, 65000] } },
              { setPriority: { value: 512 } },
            ],
          },
        ],
      }),
    ]);
    const tor = settings?.peers[0];
    assert.deepEqual(tor?.exportFilter.rules[0], {
      origin: 'BGPFilter/first exportV4[0]',
      action: 'reject',
      family: 'ipv4-unicast',
      match: { prefix: parsePrefix('10.244.9.0/24'), operator: 'in', minLength: 26, maxLength: 26 },
      operations: [],
    });
    assert.deepEqual(tor?.importFilter.rules, [
      {
        origin: 'BGPFilter/first importV6[0]',
        action: 'reject',
        family: 'ipv6-unicast',
        source: 'remote-peers',
        interface: 'eth*',
        operations: [],
      },
      {
        origin: 'BGPFilter/second importV4[0]',
        action: 'accept',
        family: 'ipv4-unicast',
        peerType: 'ebgp',
        communities: [{ kind: 'standard', value: 65000 * 65536 + 1 }],
        asPathPrefix: [65100],
        operations: [
          { kind: 'add-community', community: { kind: 'large', global: 1, local1: 1, local2: 1 } },
          { kind: 'prepend-as-path', asns: [65000, 65000] },
          { kind: 'set-priority', priority: 512 },
        ],
      },
    ]);
  });

  it('passes nothing through a filter that is missing, and leaves other peers alone', () => {
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      peer('tor', { peerIP: '192.0.2.1', asNumber: 65100, filters: ['gone'] }),
    ]);
    const tor = settings?.peers.find(({ name }) => name.startsWith('global:tor'));
    assert.deepEqual(tor?.importFilter, { rules: [], otherwise: 'reject' });
    assert.deepEqual(tor?.exportFilter, { rules: [], otherwise: 'reject' });
    assert.equal(settings?.peers.length, 3);
    assert.deepEqual([problems[0]?.resource, problems[0]?.field], ['BGPPeer/tor', 'spec.filters[0]']);
  });

  it('keeps a session down whose password cannot be read, and uses one that can', () => {
    const password = (name: string) => ({ secretKeyRef: { name, key: 'bgp' } });
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      configuration('default', { nodeToNodeMeshEnabled: false }),
      peer('open', { peerIP: '192.0.2.1', asNumber: 65100, password: password('tor') }),
      peer('shut', { peerIP: '192.0.2.2', asNumber: 65100, password: password('none') }),
    ]);
    assert.deepEqual(
      settings?.peers.map(({ name, password: text }) => [name, text]),
      [['global:open:192.0.2.1', 'from tor/bgp']],
    );
    assert.deepEqual(problems, [
      {
        resource: 'BGPPeer/shut',
        field: 'spec.password',
        problem: 'Secret none has no key bgp here; the session stays down',
      },
    ]);
  });

  it('keeps sessions down whose keys TCP-MD5 can not have, or that others would read differently', () => {
    const mesh = { nodeMeshPassword: { secretKeyRef: { name: 'nul', key: 'bgp' } } };
    const password = { secretKeyRef: { name: 'long', key: 'bgp' } };
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      configuration('default', mesh),
      peer('tor', { peerIP: '192.0.2.1', asNumber: 65100, password }),
    ]);
    assert.deepEqual(settings?.peers, []);
    assert.deepEqual(
      [...new Set(problems.map(({ resource, field, problem }) => `${resource} ${field}: ${problem}`))],
      [
        'BGPPeer/tor spec.password: key bgp of Secret long has 82 bytes, and TCP-MD5 keys have at most 80; the session stays down',
        'BGPConfiguration/default spec.nodeMeshPassword: key bgp of Secret nul contains a NUL byte, where other routers take it to end; the session stays down',
      ],
    );
  });

  it('says from which severity on to log: the node’s own before the common one, and nothing when neither does', () => {
    const levelOf = (...given: Given[]) => {
      const collector = collect('a', [...threeNodes, ...given]);
      return speakerSettings(collector.resources(), 'a').logLevel;
    };
    const common = configuration('default', { logSeverityScreen: 'Warning' });
    assert.equal(levelOf(), undefined);
    assert.equal(levelOf(common), 'warn');
    assert.equal(levelOf(common, configuration('node.a', { logSeverityScreen: 'Trace' })), 'trace');
    assert.equal(levelOf(common, configuration('node.b', { logSeverityScreen: 'Trace' })), 'warn');
    assert.equal(levelOf(common, configuration('node.a', { listenPort: 1179 })), 'warn');
    for (const [severity, level] of [
      ['Debug', 'debug'],
      ['Info', 'info'],
      ['Error', 'error'],
      ['Fatal', 'fatal'],
    ]) {
      assert.equal(levelOf(configuration('default', { logSeverityScreen: severity })), level);
    }
  });

  it('takes monitoring stations from an annotation, a node’s own before the common one', () => {
    const stations = (name: string, text: string): Given => [
      'BGPConfiguration',
      name,
      {},
      {},
      { 'twill.io/bmp': text },
    ];
    const common = settingsOf('a', [...threeNodes, stations('default', '10.0.0.9:1790, [fd00::9]:5000')]);
    assert.deepEqual(
      common.settings?.bmp?.map(({ address, port }) => `${formatAddress(address)} ${port}`),
      ['10.0.0.9 1790', 'fd00::9 5000'],
    );
    assert.equal(common.settings?.bmp?.[0]?.locRib, undefined);
    const locRib = settingsOf('a', [...threeNodes, stations('default', '10.0.0.9:1790, loc-rib')]);
    assert.deepEqual(
      locRib.settings?.bmp?.map((one) => [one.port, one.locRib]),
      [[1790, true]],
    );
    const out = settingsOf('a', [
      ...threeNodes,
      stations('default', '10.0.0.9:1790, adj-rib-out, adj-rib-out-pre-policy, loc-rib'),
    ]);
    assert.deepEqual(
      out.settings?.bmp?.map(({ port, locRib, adjRibOut }) => [port, locRib, adjRibOut]),
      [[1790, true, ['post-policy', 'pre-policy']]],
    );
    const own = settingsOf('a', [...threeNodes, stations('default', '10.0.0.9:1790'), stations('node.a', '10.0.0.9')]);
    assert.equal(own.settings?.bmp, undefined);
    assert.deepEqual(
      own.problems.map(({ resource, field }) => `${resource} ${field}`),
      ['BGPConfiguration/node.a metadata.annotations.twill.io/bmp'],
    );
  });

  it('takes peers from the ranges that a BGPPeer names, and makes no session of its own for it', () => {
    const ranges: Given = ['BGPPeer', 'rack', {}, {}, { 'twill.io/listen-range': '10.9.0.0/24' }];
    const { settings, problems } = settingsOf('a', [...threeNodes, ranges]);
    assert.deepEqual(problems, []);
    assert.deepEqual(names(settings?.peers), ['mesh:10.0.0.2', 'mesh:10.0.0.3']);
    const [range] = settings?.dynamicPeers ?? [];
    assert.deepEqual(
      [range?.name, range && formatPrefix(range.range), range?.asn, range?.families],
      ['range:rack', '10.9.0.0/24', undefined, ['ipv4-unicast']],
    );
    const known: Given = ['BGPPeer', 'rack', { asNumber: 65100 }, {}, { 'twill.io/listen-range': '10.9.0.0/24' }];
    assert.equal(settingsOf('a', [...threeNodes, known]).settings?.dynamicPeers[0]?.asn, 65100);
  });

  it('takes the mode of a local AS from an annotation', () => {
    const localAs = (mode: string, spec: object = { localASNumber: 65000 }): Given => [
      'BGPPeer',
      'tor',
      { peerIP: '10.0.0.254', asNumber: 65100, ...spec },
      {},
      { 'twill.io/local-as': mode },
    ];
    const modeOf = (mode: string) =>
      settingsOf('a', [...threeNodes, localAs(mode)]).settings?.peers.find(({ name }) => name.startsWith('global'))
        ?.localAs;
    const mode = (noPrepend: boolean, replaceAs: boolean, dualAs: boolean) => ({
      asn: 65000,
      noPrepend,
      replaceAs,
      dualAs,
    });
    assert.deepEqual(modeOf('plain'), mode(false, false, false));
    assert.deepEqual(modeOf('no-prepend'), mode(true, false, false));
    assert.deepEqual(modeOf('no-prepend, replace-as, dual-as'), mode(true, true, true));
    assert.deepEqual(modeOf('replaced'), mode(true, true, false), 'Calico’s when it can not be read');
    const problemsOf = (given: Given) => settingsOf('a', [...threeNodes, given]).problems.map(({ problem }) => problem);
    assert.deepEqual(problemsOf(localAs('replaced')), [
      '"replaced" is not a mode; write "plain", or some of no-prepend, replace-as, dual-as',
    ]);
    assert.deepEqual(problemsOf(localAs('plain', {})), ['has no effect without spec.localASNumber']);
  });

  it('takes how best paths compare from an annotation', () => {
    const bestPath = (name: string, text: string): Given => [
      'BGPConfiguration',
      name,
      {},
      {},
      { 'twill.io/best-path': text },
    ];
    const defaults = { alwaysCompareMed: false, ignoreAsPathLength: false, multipathRelax: true, preferOldest: false };
    const common = bestPath('default', 'always-compare-med, prefer-oldest deterministic-med');
    assert.deepEqual(settingsOf('a', [...threeNodes, common]).settings?.bestPath, {
      ...defaults,
      alwaysCompareMed: true,
      preferOldest: true,
    });
    const own = settingsOf('a', [
      ...threeNodes,
      common,
      bestPath('node.a', 'no-multipath-relax ignore-as-path-length'),
    ]);
    assert.deepEqual(own.settings?.bestPath, { ...defaults, multipathRelax: false, ignoreAsPathLength: true });
    const wrong = settingsOf('a', [...threeNodes, bestPath('default', 'oldest')]);
    assert.equal(wrong.settings?.bestPath, undefined);
    assert.match(
      wrong.problems[0]?.problem ?? '',
      /^"oldest" is not a list of ways to compare paths; there are always-/,
    );
  });

  it('names what is reserved for later, and goes on with all else', () => {
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      configuration('default', { serviceClusterIPs: [{ cidr: '10.96.0.0/12' }], ignoredInterfaces: ['docker0'] }),
    ]);
    assert.equal(settings?.peers.length, 2);
    assert.deepEqual(problems.map(({ resource, field }) => `${resource} ${field}`).sort(), [
      'BGPConfiguration/default spec.serviceClusterIPs',
    ]);
    assert(problems.every(({ problem }) => problem.includes('reserved for later')));
  });

  describe('peers that are workloads of the node', () => {
    const pod = (
      nodeName: string,
      name: string,
      ipNetworks: string[],
      labels: Readonly<Record<string, string>>,
    ): Given => [
      'WorkloadEndpoint',
      `default/${nodeName}-k8s-${name}-eth0`,
      {
        node: nodeName,
        orchestrator: 'k8s',
        pod: name,
        endpoint: 'eth0',
        interfaceName: `cali${name}`,
        ipNetworks,
        profiles: ['kns.default'],
      },
      labels,
    ];
    const pods = [
      pod('a', 'router', ['10.244.0.5/32', 'fd00:244::5/128'], { role: 'router' }),
      pod('a', 'other', ['10.244.0.6/32'], {}),
      pod('b', 'far', ['10.244.1.5/32'], { role: 'router' }),
      ['Profile', 'kns.default', { labelsToApply: { 'pcns.team': 'net' } }, {}] satisfies Given,
    ];
    const selecting = (localWorkloadSelector: string, spec: object = {}) =>
      peer('routers', { localWorkloadSelector, asNumber: 65401, ...spec });
    const workloadPeers = ({ settings }: Pick<SettingsResult, 'settings'>) =>
      (settings?.peers ?? [])
        .filter(({ name }) => name.startsWith('local-workload'))
        .map(({ name, asn, sourceAddress, families }) => [
          name,
          asn,
          sourceAddress === undefined ? '' : formatAddress(sourceAddress),
          families.join(),
        ]);

    it('are those that the selector selects, by their own labels and those of their profiles', () => {
      const router = ['local-workload:routers:10.244.0.5', 65401, '10.0.0.1', 'ipv4-unicast'];
      const selector = "role == 'router' && projectcalico.org/namespace == 'default'";
      const { settings, problems } = settingsOf('a', [...threeNodes, ...pods, selecting(selector)]);
      assert.deepEqual(workloadPeers({ settings }), [router]);
      assert.deepEqual(
        problems.map(({ field, problem }) => `${field} ${problem.split(':')[0]}`),
        [
          'spec.localWorkloadSelector default/a-k8s-router-eth0 has an IPv6 address, and there is none here to peer from',
        ],
      );
      const both = settingsOf('a', [...threeNodes, ...pods, selecting("pcns.team == 'net'")]);
      assert.equal(workloadPeers(both).length, 2);
      assert.deepEqual(workloadPeers(settingsOf('a', [...threeNodes, ...pods, selecting('all()', { node: 'b' })])), []);
    });

    it('call the address that is for that, which the node then has', () => {
      const given = [
        ...threeNodes,
        ...pods,
        selecting("role == 'router'"),
        configuration('default', {
          localWorkloadPeeringIPV4: '169.254.0.179',
          localWorkloadPeeringIPV6: 'fd00:179::1',
          bindMode: 'NodeIP',
        }),
      ];
      const result = speakerSettings(collect('a', given).resources(), 'a');
      assert.deepEqual(workloadPeers(result), [
        ['local-workload:routers:10.244.0.5', 65401, '169.254.0.179', 'ipv4-unicast'],
        ['local-workload:routers:fd00:244::5', 65401, 'fd00:179::1', 'ipv6-unicast'],
      ]);
      assert.deepEqual(result.localAddresses.map(formatAddress), ['169.254.0.179', 'fd00:179::1']);
      assert.deepEqual(
        result.settings?.listen.map(({ address }) => formatAddress(address)),
        ['169.254.0.179', 'fd00:179::1', '10.0.0.1'],
      );
      const none = speakerSettings(collect('c', given).resources(), 'c');
      assert.deepEqual(none.localAddresses, [], 'a node without such workloads has no use for it');
    });

    it('can not call a link-local IPv6 address, and that is said', () => {
      const { problems } = settingsOf('a', [
        ...threeNodes,
        selecting('all()'),
        configuration('default', { localWorkloadPeeringIPV6: 'fe80::179' }),
      ]);
      assert.deepEqual(
        problems.map(({ field, problem }) => `${field}: ${problem}`),
        [
          'spec.localWorkloadPeeringIPV6: fe80::179 is a link-local address; give one of a unique local range, as fd00:179::1',
        ],
      );
    });

    it('are not followed while nobody selects any', () => {
      const collector = collect('a', [...threeNodes, ...pods]);
      assert.equal(collector.wantsWorkloads, false);
      assert.equal(collector.resources().workloads.size, 2, 'those of other nodes are not kept');
      assert.equal(collect('a', [...threeNodes, selecting('all()')]).wantsWorkloads, true);
      collector.forgetWorkloads();
      assert.equal(collector.resources().workloads.size, 0);
    });
  });

  it('takes BFD from an annotation: one hop inside the node’s network, several outside', () => {
    const annotated = (name: string, peerIP: string, bfd: string): Given => [
      'BGPPeer',
      name,
      { peerIP, asNumber: 65100 },
      {},
      { 'twill.io/bfd': bfd },
    ];
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      annotated('near', '10.0.0.254', '50ms x 3'),
      annotated('far', '192.0.2.1', '300ms*5'),
      annotated('wrong', '192.0.2.2', 'fast'),
    ]);
    assert.deepEqual(
      settings?.peers.map(({ name, bfd }) => [name.split(':')[1], bfd]).filter(([, bfd]) => bfd),
      [
        ['far', { minTxMs: 300, minRxMs: 300, multiplier: 5, multihop: true }],
        ['near', { minTxMs: 50, minRxMs: 50, multiplier: 3, multihop: false }],
      ],
    );
    assert.deepEqual(
      problems.map(({ resource, field }) => [resource, field]),
      [['BGPPeer/wrong', 'metadata.annotations.twill.io/bfd']],
    );
  });

  it('peers over interfaces that a BGPPeer names', () => {
    const fabric: Given = ['BGPPeer', 'fabric', { nodeSelector: "rack == '1'" }, {}, { 'twill.io/interface': 'eth*' }];
    const given = [node('a', '10.0.0.1/24', {}, { rack: '1' }), node('b', '10.0.0.2/24'), fabric];
    const { interfaces, settings, problems } = speakerSettings(collect('a', given).resources(), 'a');
    assert.deepEqual(problems, []);
    const [{ pattern, template } = { pattern: '', template: undefined }] = interfaces;
    assert.deepEqual(
      [pattern, template?.name, template?.asn, template?.sourceAddress, template?.families],
      ['eth*', 'interface:fabric', 0, undefined, ['ipv4-unicast', 'ipv6-unicast']],
    );
    assert.deepEqual(settings?.listen.at(-1), { address: 0n, port: 179 });
    assert.deepEqual(speakerSettings(collect('b', given).resources(), 'b').interfaces, []);
    assert.equal(matchesInterface('eth*', 'eth0.5'), true);
    assert.equal(matchesInterface('eth*', 'veth0'), false);
    assert.equal(matchesInterface('e.0', 'ex0'), false);
  });

  it('leaves pools that others program out of the kernel, and takes route priorities', () => {
    const exceptWith = (programClusterRoutes?: string): string[] => {
      const { settings } = settingsOf('a', [
        ...threeNodes,
        pool('plain', '10.244.0.0/16', {}),
        pool('tunnel', '10.245.0.0/16', { ipipMode: 'Always' }),
        configuration('default', programClusterRoutes ? { programClusterRoutes } : {}),
      ]);
      return (settings?.fib?.except ?? []).map(formatPrefix);
    };
    assert.deepEqual(exceptWith(), []);
    assert.deepEqual(exceptWith('Enabled'), []);
    assert.deepEqual(exceptWith('EnabledNoEncapOnly'), ['10.245.0.0/16']);
    assert.deepEqual(exceptWith('EnabledIPIPOnly'), ['10.244.0.0/16']);
    assert.deepEqual(exceptWith('Disabled'), ['10.244.0.0/16', '10.245.0.0/16']);
    const { settings } = settingsOf('a', [
      ...threeNodes,
      configuration('default', { ipv4NormalRoutePriority: 100, ipv6NormalRoutePriority: 200 }),
    ]);
    assert.deepEqual([settings?.fib?.priority, settings?.fib?.priority6], [100, 200]);
    const ofFilters = { 'ipv4-unicast': 100, 'ipv6-unicast': 200 };
    assert.deepEqual(settings?.peers[0]?.importFilter.normalPriority, ofFilters);
    assert.deepEqual(settings?.peers[0]?.exportFilter.normalPriority, ofFilters);
    const onlyIpv4 = settingsOf('a', [...threeNodes, configuration('default', { ipv4NormalRoutePriority: 100 })]);
    assert.deepEqual([onlyIpv4.settings?.fib?.priority, onlyIpv4.settings?.fib?.priority6], [100, 1024]);
  });

  it('reaches a peer by the gateway that its BGPPeer names', () => {
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      peer('far', { peerIP: '192.0.2.1', asNumber: 65100, reachableBy: '10.0.0.253' }),
      peer('port', { peerIP: '192.0.2.2:1790', asNumber: 65100, reachableBy: '10.0.0.254' }),
      peer('others', { node: 'b', peerIP: '192.0.2.3', asNumber: 65100, reachableBy: '10.0.0.254' }),
      peer('itself', { peerIP: '192.0.2.4', asNumber: 65100, reachableBy: '192.0.2.4' }),
    ]);
    assert.deepEqual(
      settings?.staticRoutes?.map(({ origin, prefix, gateway }) => [
        origin,
        formatPrefix(prefix),
        formatAddress(gateway),
      ]),
      [
        ['BGPPeer/far reachableBy', '192.0.2.1/32', '10.0.0.253'],
        ['BGPPeer/port reachableBy', '192.0.2.2/32', '10.0.0.254'],
      ],
    );
    assert.deepEqual(
      problems.map(({ resource, field, problem }) => `${resource} ${field}: ${problem}`),
      [
        'BGPPeer/itself spec.reachableBy: "192.0.2.4" is not the address of a gateway to 192.0.2.4; write one of the same family',
      ],
    );
  });

  it('announces pods beside the blocks inside pools only, and needs no blackhole for a block of one address', () => {
    const { settings } = settingsOf('a', [
      ...threeNodes,
      pool('plain', '10.244.0.0/16', {}),
      affinity('a', '10.244.0.1/32', 'confirmed'),
      configuration('default', { prefixAdvertisements: [{ cidr: '10.244.0.0/16', communities: ['1:2'] }] }),
    ]);
    assert.deepEqual(settings?.workloads?.inside.map(formatPrefix), ['10.244.0.0/16']);
    assert.equal(settings?.workloads?.communities.length, 1);
    assert.deepEqual(
      settings?.originate.map(({ blackhole }) => blackhole),
      [false],
    );
  });

  it('drains when its Node says so', () => {
    const drained: Given = ['Node', 'a', { bgp: { ipv4Address: '10.0.0.1/24' } }, {}, { 'twill.io/drain-bgp': 'true' }];
    assert.equal(speakerSettings(collect('a', [drained]).resources(), 'a').drain, true);
    assert.equal(speakerSettings(collect('a', threeNodes).resources(), 'a').drain, false);
  });

  it('reports what cannot work: unknown AS, missing family, unreadable resource, missing node', () => {
    const { settings, problems } = settingsOf('a', [
      ...threeNodes,
      peer('no-as', { peerIP: '192.0.2.1' }),
      peer('ipv6', { peerIP: 'fd00::1', asNumber: 65100 }),
      ['BGPPeer', 'broken', { peerIP: 'nonsense' }, {}],
    ]);
    assert.equal(settings?.peers.length, 2);
    assert.deepEqual(problems.map(({ resource, field }) => `${resource} ${field}`).sort(), [
      'BGPPeer/broken spec.peerIP',
      'BGPPeer/ipv6 spec.peerIP',
      'BGPPeer/no-as spec.asNumber',
    ]);
    const missing = settingsOf('z', threeNodes);
    assert.equal(missing.settings, undefined);
    assert.deepEqual(missing.problems[0]?.resource, 'Node/z');
  });

  it('gives a node without IPv4 a stable router id', () => {
    const id = routerIdOf({ address4: undefined, name: 'node-1' });
    assert.equal(id, routerIdOf({ address4: undefined, name: 'node-1' }));
    assert.notEqual(id, routerIdOf({ address4: undefined, name: 'node-2' }));
    assert.match(formatAddress(id), /^\d+\.\d+\.\d+\.\d+$/);
  });

  it('does not depend on the order of arrival, and forgets what is deleted', () => {
    const resources = [...threeNodes, peer('tor', { peerIP: '192.0.2.1', asNumber: 65100 })];
    const forward = settingsOf('a', resources);
    assert.deepEqual(settingsOf('a', [...resources].reverse()), forward);
    const collector = collect('a', resources);
    collector.onUpdates([
      { key: resourceKey({ kind: 'BGPPeer', name: 'tor' }), value: undefined, revision: 9 },
      { key: resourceKey({ kind: 'Node', name: 'c' }), value: undefined, revision: 9 },
    ]);
    assert.deepEqual(names(speakerSettings(collector.resources(), 'a').settings?.peers), ['mesh:10.0.0.2']);
  });
});

type Given = readonly [
  kind: string,
  name: string,
  spec: object,
  labels: Readonly<Record<string, string>>,
  annotations?: Readonly<Record<string, string>>,
];

function node(
  name: string,
  ipv4Address: string,
  bgp: object = {},
  labels: Readonly<Record<string, string>> = {},
): Given {
  return ['Node', name, { bgp: { ipv4Address, ...bgp } }, labels];
}
const configuration = (name: string, spec: object): Given => ['BGPConfiguration', name, spec, {}];
const peer = (name: string, spec: object): Given => ['BGPPeer', name, spec, {}];
const filter = (name: string, spec: object): Given => ['BGPFilter', name, spec, {}];
const pool = (name: string, cidr: string, spec: object): Given => ['IPPool', name, { cidr, ...spec }, {}];
const affinity = (nodeName: string, block: string, state: string): Given => [
  'affinity',
  `${nodeName} ${block}`,
  { state },
  {},
];

function collect(nodeName: string, given: readonly Given[]): BgpCollector {
  const secrets = new Map([
    ['none', undefined],
    ['nul', 'secret\0tail'],
    ['long', 'é'.repeat(41)],
  ]);
  const secretOf = (name: string, key: string) => (secrets.has(name) ? secrets.get(name) : `from ${name}/${key}`);
  const collector = new BgpCollector(nodeName, secretOf);
  collector.onUpdates(
    given.map(([kind, name, spec, labels, annotations = {}], i) => {
      const value = JSON.stringify(
        kind === 'affinity'
          ? spec
          : {
              kind,
              apiVersion: 'projectcalico.org/v3',
              metadata: { ...placeOf(kind, name), labels, annotations },
              spec,
            },
      );
      return { key: keyFor(kind, name), value, revision: i + 1 };
    }),
  );
  return collector;
}

/** Names of namespaced resources are given as "namespace/name". */
function placeOf(kind: string, text: string): { name: string; namespace?: string } {
  const [namespace = '', name = ''] = text.split('/');
  return kind === 'WorkloadEndpoint' ? { namespace, name } : { name: text };
}

function keyFor(kind: string, name: string): string {
  if (isKind(kind)) return resourceKey({ kind, ...placeOf(kind, name) });
  const [nodeName = '', block = ''] = name.split(' ');
  const prefix = parsePrefix(block);
  assert(prefix);
  return affinityKey(nodeName, prefix);
}

function settingsOf(nodeName: string, given: readonly Given[]): Pick<SettingsResult, 'settings' | 'problems'> {
  const collector = collect(nodeName, given);
  const { settings, problems } = speakerSettings(collector.resources(), nodeName);
  return { settings, problems: [...collector.problems(), ...problems] };
}

const names = (peers: readonly PeerSettings[] | undefined): string[] => (peers ?? []).map(({ name }) => name);
