// Shows that messages come out of a byte stream whole and in order, wherever reads cut it, and that a bad header is
// answered as RFC 4271 §6.1 says.

import assert from 'node:assert/strict';
import { MessageReader } from '../../bgp/message-reader.ts';
import { encodeMessage } from '../../bgp/wire/codec.ts';

describe('bgp message reader', () => {
  const keepalive = encodeMessage({ kind: 'keepalive' });
  const shutdown = encodeMessage({ kind: 'notification', code: 6, subcode: 2, data: Buffer.from('\u0004text') });
  const refresh = encodeMessage({ kind: 'route-refresh', afi: 1, safi: 1, subtype: 0 });
  const stream = Buffer.concat([keepalive, shutdown, keepalive, refresh, refresh]);
  const expected = [keepalive, shutdown, keepalive, refresh, refresh].map((bytes) =>
    Buffer.from(bytes).toString('hex'),
  );

  function readAll(chunks: readonly Uint8Array[]): string[] {
    const reader = new MessageReader();
    const seen: string[] = [];
    for (const chunk of chunks) {
      const refusal = reader.read(chunk, (bytes, from, to) => {
        seen.push(Buffer.from(bytes.subarray(from, to)).toString('hex'));
        return true;
      });
      assert.equal(refusal, undefined);
    }
    return seen;
  }

  it('reads a stream cut at any two places, and octet by octet', () => {
    for (let a = 0; a <= stream.length; a++) {
      for (let b = a; b <= stream.length; b += 3) {
        assert.deepEqual(readAll([stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b)]), expected);
      }
    }
    assert.deepEqual(readAll(Array.from(stream, (octet) => Uint8Array.of(octet))), expected);
  });

  it('stops when told to', () => {
    let seen = 0;
    new MessageReader().read(stream, () => ++seen < 2);
    assert.equal(seen, 2);
  });

  it('refuses a bad marker, length and type, whole or cut', () => {
    const bad = (change: (bytes: Uint8Array) => void): Uint8Array => {
      const bytes = keepalive.slice();
      change(bytes);
      return bytes;
    };
    const cases: [Uint8Array, string][] = [
      [bad((bytes) => bytes.fill(0, 3, 4)), '1/1'],
      [bad((bytes) => bytes.fill(18, 17, 18)), '1/2'],
      [bad((bytes) => bytes.fill(0x20, 16, 17)), '1/2'],
      [bad((bytes) => bytes.fill(9, 18, 19)), '1/3'],
    ];
    for (const [bytes, code] of cases) {
      for (const cut of [0, 10]) {
        const reader = new MessageReader();
        const before = Buffer.concat([keepalive, bytes.subarray(0, cut)]);
        reader.read(before, () => true);
        const refusal = reader.read(bytes.subarray(cut), () => true);
        assert.equal(`${refusal?.code}/${refusal?.subcode}`, code);
      }
    }
  });
});
