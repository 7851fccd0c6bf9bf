// The address that a node takes when nobody says which: each way to find it, and the ways that there are not.

import assert from 'node:assert/strict';
import { detectAddress, parseMethod, withLength } from '../../agent/autodetect.ts';
import { defaultPoolRange, uniqueLocalRange } from '../../agent/default-pool.ts';

const one = (cidr: string) => {
  const [address = ''] = cidr.split('/');
  const common = { address, netmask: '', mac: '', internal: false, cidr };
  return cidr.includes(':')
    ? { ...common, family: 'IPv6' as const, scopeid: 0 }
    : { ...common, family: 'IPv4' as const };
};

const interfaces = {
  cali0123: [one('10.65.0.1/32')],
  docker0: [one('172.17.0.1/16')],
  eth0: [one('169.254.7.7/16'), one('fe80::1/64'), one('192.0.2.7/24'), one('2001:db8::7/64')],
  eth1: [one('198.51.100.9/26'), one('198.51.100.10/26')],
  lo: [{ ...one('127.0.0.1/8'), internal: true }],
};

const find = (method: string, family: 4 | 6, found = interfaces as Parameters<typeof withLength>[1]) =>
  detectAddress(parseMethod(method), family, {
    interfaces: found,
    sourceTowards: async (host, wanted) => (host === 'gateway' && wanted === 4 ? '198.51.100.10' : undefined),
    internalAddresses: ['2001:db8::7', '198.51.100.9'],
  });

describe('detecting a node’s address', () => {
  it('first-found passes over loopback, pods, bridges, tunnels and link-local addresses', async () => {
    assert.equal(await find('first-found', 4), '192.0.2.7/24');
    assert.equal(await find('first-found', 6), '2001:db8::7/64');
    assert.equal(await find('first-found', 4, { lo: [{ ...one('127.0.0.1/8'), internal: true }] }), undefined);
  });

  const cases: readonly (readonly [string, 4 | 6, string | undefined])[] = [
    ['interface=eth1', 4, '198.51.100.9/26'],
    ['interface=wlan.*, docker.*', 4, '172.17.0.1/16'],
    ['interface=wlan.*', 4, undefined],
    ['interface=eth1', 6, undefined],
    ['skip-interface=eth0', 4, '198.51.100.9/26'],
    ['skip-interface=eth0,eth1', 4, undefined],
    ['cidr=203.0.113.0/24,198.51.100.10/32', 4, '198.51.100.10/26'],
    ['cidr=2001:db8::/32', 6, '2001:db8::7/64'],
    ['cidr=203.0.113.0/24', 4, undefined],
    ['can-reach=gateway', 4, '198.51.100.10/26'],
    ['can-reach=nowhere', 4, undefined],
    ['kubernetes-internal-ip', 4, '198.51.100.9/26'],
    ['kubernetes-internal-ip', 6, '2001:db8::7/64'],
  ];
  for (const [method, family, address] of cases) {
    it(`${method}, IPv${family}: ${address ?? 'none'}`, async () => assert.equal(await find(method, family), address));
  }

  it('refuses what is no way', () => {
    assert.throws(
      () => parseMethod('first'),
      /^Error: "first" is no way to find an address; give first-found, can-reach/,
    );
    assert.throws(() => parseMethod('interface='), /is no way to find an address/);
    assert.throws(() => parseMethod('first-found=eth0'), /is no way to find an address/);
    assert.throws(() => parseMethod('interface=eth['), /^Error: "eth\[" is not a regular expression/);
    assert.throws(() => parseMethod('cidr=10.0.0.1/8'), /^Error: "10.0.0.1\/8" is not a network/);
  });

  it('gives an address the length that its interface knows', () => {
    assert.equal(withLength('192.0.2.7', interfaces), '192.0.2.7/24');
    assert.equal(withLength('192.0.2.8', interfaces), '192.0.2.8');
    assert.equal(withLength('192.0.2.7/32', interfaces), '192.0.2.7/32');
  });
});

describe('the default pool', () => {
  it('is the first range that this machine does not use', () => {
    assert.equal(defaultPoolRange({}), '192.168.0.0/16');
    assert.equal(defaultPoolRange({ a: [one('192.168.7.1/24'), one('172.16.0.1/12')] }), undefined);
    assert.equal(defaultPoolRange({ a: [one('192.168.7.1/24'), one('172.16.0.1/16')] }), '172.17.0.0/16');
  });

  it('makes a random unique local /48 for IPv6', () => {
    const of = (...bytes: number[]) => uniqueLocalRange(() => Uint8Array.from(bytes));
    assert.equal(of(0x12, 0x34, 0x56, 0x78, 0x9a), 'fd12:3456:789a::/48');
    assert.equal(of(0, 0, 0, 0, 1), 'fd00:0:1::/48');
    assert.equal(of(0, 0, 0, 0, 0), 'fd00::/48');
  });
});
