// twill-bgp's configuration file: what it becomes, and how each mistake is named.

import assert from 'node:assert/strict';
import { settingsFromJson } from '../../bgp/file-config.ts';
import { MD5_KEY_MAX_BYTES } from '../../bgp/md5-key.ts';
import { defaultBestPath } from '../../bgp/settings.ts';
import { md5KeyMaxBytes } from '../../linux/sockets.ts';
import { formatPrefix } from '../../net/prefix.ts';

const base = { routerId: '10.99.0.1', asn: 65000, listen: [{ address: '10.99.0.1' }] };
const neighbor = { address: '10.99.1.1', asn: 64601 };

function problemsOf(file: object): readonly string[] {
  const result = settingsFromJson(JSON.stringify(file));
  return result.kind === 'problems' ? result.problems : [];
}

describe('configuration file', () => {
  it('has the timers of RFC 4271 that are off unless asked for', () => {
    const neighborsOf = (rest: object) => {
      const result = settingsFromJson(JSON.stringify({ ...base, neighbors: [{ ...neighbor, ...rest }] }));
      return result.kind === 'settings' ? result.settings.peers : result.problems;
    };
    const [peer] = neighborsOf({ delayOpen: 2, advertisementInterval: 30 });
    assert(typeof peer === 'object');
    assert.equal(peer.delayOpenSec, 2);
    assert.equal(peer.advertisementIntervalSec, 30);
    assert.match(String(neighborsOf({ advertisementInterval: -1 })), /advertisementInterval/);
    assert.match(String(neighborsOf({ delayOpen: 'long' })), /delayOpen/);
  });

  it('becomes settings, with defaults for what it leaves out', () => {
    const file = {
      ...base,
      clusterId: '10.99.0.9',
      holdTime: 180,
      fib: false,
      policy: { import: 'accept', export: 'accept' },
      originate: [{ prefix: '10.65.0.0/26', blackhole: true }],
      neighbors: [
        { ...neighbor, type: 'ebgp', passive: true, families: ['ipv4-unicast', 'ipv6-unicast'], maxPrefixes: 5 },
        { address: 'fd00::1', asn: 65000, routeReflectorClient: true, port: 1179 },
      ],
    };
    const result = settingsFromJson(JSON.stringify(file));
    assert.equal(result.kind, 'settings');
    if (result.kind !== 'settings') return;
    const { settings } = result;
    assert.equal(settings.clusterId, 0x0a630009);
    assert.equal(settings.fib, undefined);
    assert.deepEqual(settings.listen, [{ address: 0x0a630001, port: 179 }]);
    assert.deepEqual(settings.originate, [
      { prefix: { address: 0x0a410000, length: 26 }, blackhole: true, communities: [] },
    ]);
    const [first, second] = settings.peers;
    assert.deepEqual(
      [first?.name, first?.passive, first?.holdTimeSec, first?.families.length, first?.maxPrefixes?.limit],
      ['file:10.99.1.1', true, 180, 2, 5],
    );
    assert.deepEqual(
      [second?.address, second?.port, second?.routeReflectorClient, second?.families],
      [(0xfd00n << 112n) | 1n, 1179, true, ['ipv4-unicast']],
    );
  });

  it('refuses TCP-MD5 keys that the kernel does not take, or that others would read differently', () => {
    const of = (password: string) => problemsOf({ ...base, neighbors: [{ ...neighbor, password }] });
    assert.deepEqual(of('secret\0tail'), [
      'neighbors[0].password: contains a NUL byte, where other routers take it to end',
    ]);
    assert.deepEqual(of('é'.repeat(41)), ['neighbors[0].password: has 82 bytes, and TCP-MD5 keys have at most 80']);
    assert.deepEqual(of(''), ['neighbors[0].password: is empty']);
    assert.deepEqual(of('é'.repeat(40)), []);
    assert.equal(MD5_KEY_MAX_BYTES, md5KeyMaxBytes);
  });

  it('reads monitoring stations with what they want to hear', () => {
    const station = { address: '10.0.0.9', port: 1790 };
    const result = settingsFromJson(
      JSON.stringify({
        ...base,
        bmp: [station, { ...station, locRib: true, adjRibOut: ['post-policy', 'pre-policy'] }],
      }),
    );
    assert.equal(result.kind, 'settings');
    if (result.kind !== 'settings') return;
    const common = { address: 0x0a000009, port: 1790 };
    assert.deepEqual(result.settings.bmp, [
      common,
      { ...common, locRib: true, adjRibOut: ['post-policy', 'pre-policy'] },
    ]);
    const [problem] = problemsOf({ ...base, bmp: [{ ...station, adjRibOut: ['all'] }] });
    assert.match(problem ?? '', /bmp\[0\]\.adjRibOut.*a list of pre-policy, post-policy/);
  });

  it('reads ranges of neighbors, and limits with their warning and restart', () => {
    const result = settingsFromJson(
      JSON.stringify({
        ...base,
        neighbors: [
          { ...neighbor, maxPrefixes: 100, maxPrefixesWarnAt: 90, maxPrefixesRestart: 60, ownIpv6Address: 'fd00::1' },
        ],
        dynamicNeighbors: [
          { range: '10.9.0.0/24', password: 'key' },
          { range: 'fd00:9::/64', asn: 64602, name: 'rack' },
        ],
      }),
    );
    assert.equal(result.kind, 'settings');
    if (result.kind !== 'settings') return;
    const [peer] = result.settings.peers;
    assert.deepEqual(peer?.maxPrefixes, { limit: 100, warnAtPercent: 90, restartAfterSec: 60 });
    assert.equal(peer?.ownIpv6Address, (0xfd00n << 112n) | 1n);
    assert.deepEqual(
      result.settings.dynamicPeers.map(({ name, range, asn, password }) => [name, formatPrefix(range), asn, password]),
      [
        ['file:10.9.0.0/24', '10.9.0.0/24', undefined, 'key'],
        ['rack', 'fd00:9::/64', 64602, undefined],
      ],
    );
  });

  it('reads local-as with its mode, and how best paths compare', () => {
    const result = settingsFromJson(
      JSON.stringify({
        ...base,
        preferOldest: true,
        neighbors: [
          { ...neighbor, localAs: 64999 },
          { ...neighbor, address: '10.99.1.2', localAs: 64999, localAsMode: 'dual-as' },
        ],
      }),
    );
    assert.equal(result.kind, 'settings');
    if (result.kind !== 'settings') return;
    assert.deepEqual(result.settings.bestPath, { ...defaultBestPath, preferOldest: true });
    assert.deepEqual(
      result.settings.peers.map(({ localAs }) => localAs),
      [
        { asn: 64999, noPrepend: true, replaceAs: true, dualAs: false },
        { asn: 64999, noPrepend: false, replaceAs: false, dualAs: true },
      ],
    );
  });

  const mistakes: readonly (readonly [string, object, string])[] = [
    ['a missing router id', { ...base, routerId: undefined }, 'routerId: is missing; it must be an IPv4 address'],
    ['an AS of 0', { ...base, asn: 0 }, 'asn: 0 is not a whole number from 1 to 4294967295'],
    ['a field that does not exist', { ...base, neighbours: [] }, 'neighbours: no such field'],
    [
      'a wrong address',
      { ...base, neighbors: [{ ...neighbor, address: '10.0.0' }] },
      'neighbors[0].address: "10.0.0" is not an IP address',
    ],
    [
      'an unknown family',
      { ...base, neighbors: [{ ...neighbor, families: ['ipv4'] }] },
      'neighbors[0].families: ["ipv4"] is not a list of ipv4-unicast, ipv6-unicast',
    ],
    [
      'a type that does not go with the AS',
      { ...base, neighbors: [{ ...neighbor, type: 'ibgp' }] },
      'neighbors[0].type: "ibgp" does not go with AS 64601 while ours is 65000',
    ],
    [
      'a policy that a file can not have',
      { ...base, policy: { import: 'reject' } },
      'policy: only {"import": "accept", "export": "accept"} is possible in a file',
    ],
    [
      'a prefix with host bits',
      { ...base, originate: [{ prefix: '10.0.0.1/8' }] },
      'originate[0].prefix: "10.0.0.1/8" is not a prefix as "10.0.0.0/26"',
    ],
    [
      'a mode without a local AS',
      { ...base, neighbors: [{ ...neighbor, localAsMode: 'plain' }] },
      'neighbors[0].localAsMode: has no effect without localAs',
    ],
    ['neighbors that are no list', { ...base, neighbors: {} }, 'neighbors: must be a list'],
  ];
  for (const [name, file, problem] of mistakes) {
    it(`names ${name}`, () => assert.deepEqual(problemsOf(file), [problem]));
  }

  it('says where the JSON ends', () => {
    const result = settingsFromJson('{');
    assert.equal(result.kind === 'problems' && /^not JSON: /.test(result.problems[0] ?? ''), true);
  });
});
