// HPACK as the RFC's own examples have it, and as node:http2 writes it.

import assert from 'node:assert/strict';
import { encodeHeaders, HeaderDecoder } from '../../../datastore/http2/hpack.ts';
import { readHuffman } from '../../../datastore/http2/huffman.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('HPACK', () => {
  it('reads the three requests of RFC 7541 C.4 (Huffman, a table that grows)', () => {
    const decoder = new HeaderDecoder();
    const base = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ];
    assert.deepEqual(decoder.decode(hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff')), base);
    assert.deepEqual(decoder.decode(hex('8286 84be 5886 a8eb 1064 9cbf')), [...base, ['cache-control', 'no-cache']]);
    assert.deepEqual(decoder.decode(hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf')), [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ]);
  });

  it('drops the oldest entries when its table is full (RFC 7541 C.6)', () => {
    const decoder = new HeaderDecoder(256);
    const first = decoder.decode(
      hex(
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      ),
    );
    assert.deepEqual(first, [
      [':status', '302'],
      ['cache-control', 'private'],
      ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
      ['location', 'https://www.example.com'],
    ]);
    // :status 307 pushes :status 302 out: index 65 is cache-control now.
    assert.deepEqual(decoder.decode(hex('4883 640e ffc1 c0bf')), [
      [':status', '307'],
      ['cache-control', 'private'],
      ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
      ['location', 'https://www.example.com'],
    ]);
    assert.throws(() => decoder.decode(hex('c2')), /no header with index 66/);
  });

  it('reads back what it writes, of any length', () => {
    for (const length of [0, 1, 126, 127, 128, 254, 255, 300, 20_000]) {
      const headers = [
        [':path', 'x'.repeat(length)],
        ['n'.repeat(length), 'ü'],
      ] as const;
      assert.deepEqual(new HeaderDecoder().decode(encodeHeaders(headers)), headers);
    }
  });

  it('refuses what is no HPACK', () => {
    const cases = [
      ['', '40', /ends too early/],
      ['a name that is cut off', '400a 6375', /ends too early/],
      ['index 0', '80', /no header with index 0/],
      ['a number without end', 'ff ffff ffff ffff', /too large/],
      ['a table larger than announced', '3fe2 1f', /larger than announced/],
      ['padding of a whole byte', '0001 6182 1fff', /does not end/],
      ['padding with a zero', '0001 6181 18', /does not end/],
      ['the end inside of a string', '0001 6184 ffff ffff', /not in Huffman code/],
    ] as const;
    for (const [what, block, message] of cases) {
      assert.throws(() => new HeaderDecoder().decode(hex(block)), message, what);
    }
    assert.equal(readHuffman(hex('1f')), 'a');
  });
});
