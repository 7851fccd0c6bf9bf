// Addresses: text to integer and back, canonical output, and what is refused.

import assert from 'node:assert/strict';
import {
  addressFromBytes,
  addressPlus,
  addressToBytes,
  compareAddresses,
  formatAddress,
  parseAddress,
} from '../../net/address.ts';
import { randomAddress, seededRandom } from './random.ts';

describe('address', () => {
  it('parses and prints IPv4', () => {
    assert.equal(parseAddress('0.0.0.0'), 0);
    assert.equal(parseAddress('10.1.2.3'), 0x0a010203);
    assert.equal(parseAddress('255.255.255.255'), 0xffffffff);
    assert.equal(formatAddress(0xc0a80001), '192.168.0.1');
  });

  it('prints IPv6 as RFC 5952 wants it', () => {
    const canonical: [string, string][] = [
      ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
      ['::', '::'],
      ['0:0:0:0:0:0:0:1', '::1'],
      ['1::', '1::'],
      // §4.2.2: one zero group alone is not shortened; §4.2.3: the longest run, the first of equals.
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
      ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
      ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      // §5: IPv4-mapped.
      ['::ffff:c000:0201', '::ffff:192.0.2.1'],
      ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ];
    for (const [text, wanted] of canonical) {
      const address = parseAddress(text);
      assert.ok(address !== undefined, text);
      assert.equal(formatAddress(address), wanted);
    }
  });

  it('refuses what is no address', () => {
    const wrong = [
      '',
      '1',
      '1.2.3',
      '1.2.3.4.5',
      '1.2.3.256',
      '01.2.3.4',
      '1.2.3.4/8',
      ' 1.2.3.4',
      '1..2.3',
      '1.2.3.',
      'a.b.c.d',
    ];
    wrong.push(
      ':',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '12345::',
      'fe80::1%eth0',
      '::g',
      '1:2:3:4:5:6:7::8',
      '::1.2.3',
    );
    for (const text of wrong) assert.equal(parseAddress(text), undefined, text);
  });

  it('survives text and bytes both ways, whatever the address', () => {
    const random = seededRandom(1);
    for (let i = 0; i < 2000; i++) {
      const family = i % 2 ? 4 : 6;
      const address = randomAddress(random, family);
      assert.equal(parseAddress(formatAddress(address)), address);
      assert.equal(addressFromBytes(addressToBytes(address), family), address);
    }
  });

  it('orders IPv4 before IPv6, then by value', () => {
    const sorted = [1n, 2, 0n, 0xffffffff].sort(compareAddresses);
    assert.deepEqual(sorted, [2, 0xffffffff, 0n, 1n]);
    assert.equal(addressPlus(0x0affffff, 1), 0x0b000000);
  });
});
