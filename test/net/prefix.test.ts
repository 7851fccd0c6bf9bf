// Prefixes: parsing, masking, containment, and the explanations that people get.

import assert from 'node:assert/strict';
import { parseAddress } from '../../net/address.ts';
import { readAddress, type readInterfaceAddress, readPrefix, readPrefixOrAddress } from '../../net/people.ts';
import {
  addressAt,
  comparePrefixes,
  formatPrefix,
  lastAddress,
  ordinalOf,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  parsePrefixOrAddress,
  prefixContains,
  prefixCovers,
  prefixesOverlap,
  prefixOf,
  prefixSize,
} from '../../net/prefix.ts';

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(parsed, text);
  return parsed;
}

function address(text: string) {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

describe('prefix', () => {
  it('parses masked prefixes only', () => {
    assert.deepEqual(prefix('10.0.0.64/26'), { address: 0x0a000040, length: 26 });
    assert.deepEqual(prefix('::/0'), { address: 0n, length: 0 });
    for (const text of [
      '10.0.0.1/24',
      '10.0.0.0',
      '10.0.0.0/33',
      '10.0.0.0/024',
      'fd00::1/64',
      'fd00::/129',
      '/8',
      '10.0.0.0/',
    ]) {
      assert.equal(parsePrefix(text), undefined, text);
    }
    assert.deepEqual(parseInterfaceAddress('10.0.0.1/24'), { address: 0x0a000001, length: 24 });
    assert.deepEqual(parsePrefixOrAddress('10.0.0.1'), { address: 0x0a000001, length: 32 });
  });

  it('knows its first and last address and everything between', () => {
    const block = prefix('10.0.0.64/26');
    assert.equal(lastAddress(block), address('10.0.0.127'));
    assert.equal(prefixSize(block), 64);
    assert.equal(addressAt(block, 5), address('10.0.0.69'));
    assert.equal(ordinalOf(block, address('10.0.0.69')), 5);
    assert.equal(lastAddress(prefix('0.0.0.0/0')), 0xffffffff);
    assert.equal(lastAddress(prefix('10.0.0.1/32')), address('10.0.0.1'));
    assert.equal(lastAddress(prefix('10.0.0.0/31')), address('10.0.0.1'));
    assert.equal(lastAddress(prefix('fd00::1/128')), address('fd00::1'));
    assert.equal(lastAddress(prefix('fd00::/122')), address('fd00::3f'));
    assert.deepEqual(prefixOf(0xffffffff, 0), prefix('0.0.0.0/0'));
  });

  it('contains, covers and overlaps within one family only', () => {
    assert.ok(prefixContains(prefix('10.0.0.0/8'), address('10.255.0.1')));
    assert.ok(!prefixContains(prefix('0.0.0.0/0'), address('::')));
    assert.ok(prefixCovers(prefix('10.0.0.0/8'), prefix('10.0.0.0/8')));
    assert.ok(!prefixCovers(prefix('10.0.0.0/9'), prefix('10.0.0.0/8')));
    assert.ok(prefixesOverlap(prefix('10.0.0.0/9'), prefix('10.0.0.0/8')));
    assert.ok(!prefixesOverlap(prefix('10.0.0.0/9'), prefix('10.128.0.0/9')));
  });

  it('sorts IPv4 first, then by address, the shorter prefix first', () => {
    const sorted = ['fd00::/64', '10.0.0.0/16', '9.0.0.0/8', '10.0.0.0/8'].map(prefix).sort(comparePrefixes);
    assert.deepEqual(sorted.map(formatPrefix), ['9.0.0.0/8', '10.0.0.0/8', '10.0.0.0/16', 'fd00::/64']);
  });
});

describe('parsing for people', () => {
  const reasonOf = (
    reading: ReturnType<typeof readPrefix | typeof readAddress | typeof readInterfaceAddress>,
  ): string => (reading.kind === 'invalid' ? reading.reason : 'ok');

  it('takes what is right', () => {
    assert.deepEqual(readPrefix('10.0.0.0/24'), { kind: 'ok', value: prefix('10.0.0.0/24') });
    assert.deepEqual(readPrefixOrAddress('fd00::1'), { kind: 'ok', value: prefix('fd00::1/128') });
    assert.deepEqual(readAddress('fd00::1', 6), { kind: 'ok', value: address('fd00::1') });
  });

  it('says what is wrong with a prefix, and what would be right', () => {
    const cases: [string, string][] = [
      ['10.0.0.1/24', '10.0.0.1/24 has host bits set: 10.0.0.0/24 would be the network'],
      ['10.0.0.1', '10.0.0.1 has no prefix length: 10.0.0.1/32 would be this one address'],
      ['10.0.0.0/33', 'the prefix length of "10.0.0.0/33" must be a number from 0 to 32'],
      ['10.0.0.0/255.255.255.0', '10.0.0.0/255.255.255.0 has a netmask: 10.0.0.0/24 is the form wanted'],
      ['10.0.0/24', '"10.0.0" has 3 of the 4 numbers of an IPv4 address'],
      ['fd00::/64/3', '"fd00::/64/3" has more than one "/"'],
      ['fd00::/x', 'the prefix length of "fd00::/x" must be a number from 0 to 128'],
    ];
    for (const [text, reason] of cases) assert.equal(reasonOf(readPrefix(text)), reason);
  });

  it('says what is wrong with an address', () => {
    const cases: [string, string][] = [
      ['', 'an address is missing'],
      ['10.0.0.300', '"10.0.0.300" is no IPv4 address: 300 is more than 255'],
      ['10.0.0.01', '"10.0.0.01" has a leading zero, which some programs read as octal: 10.0.0.1 is the form wanted'],
      ['10.0.0.1/24', '"10.0.0.1/24" has a prefix length where a lone address is wanted'],
      ['localhost', '"localhost" is no IP address'],
      [
        'fe80::1%eth0',
        'fe80::1%eth0 has a zone, which means something on one machine only: fe80::1 is the form wanted',
      ],
      ['fd00:::1', '"fd00:::1" is no IPv6 address: ":::" is one colon too many'],
      ['fd00::1::2', '"fd00::1::2" is no IPv6 address: "::" may stand only once'],
      ['fd00:0:0', '"fd00:0:0" is no IPv6 address: it has 3 groups of the 8'],
      ['fd00::12345', '"fd00::12345" is no IPv6 address: "12345" has more than 4 digits'],
      ['fd00::xyz', '"fd00::xyz" is no IPv6 address: "x" is no hexadecimal digit'],
    ];
    for (const [text, reason] of cases) assert.equal(reasonOf(readAddress(text)), reason);
    assert.equal(reasonOf(readAddress('10.0.0.1', 6)), '10.0.0.1 is not an IPv6 address');
  });
});
