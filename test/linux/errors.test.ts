// What the kernel and nft say when they refuse, as codes; socket addresses and TCP-MD5 keys as bytes.

import assert from 'node:assert/strict';
import { errnoName, hasCode, LinuxError } from '../../linux/errors.ts';
import { parseNftError } from '../../linux/nftables-error.ts';
import { netlinkAddress, parseSocketAddress, socketAddress } from '../../linux/sockaddr.ts';
import { routeFilter } from '../../linux/socket-filter.ts';
import { md5Signature } from '../../linux/sockets.ts';
import { parseAddress } from '../../net/address.ts';
import { hex, plain } from './hex.ts';

describe('errors', () => {
  it('have names, and say whether to try again', () => {
    assert.equal(errnoName(17), 'EEXIST');
    assert.equal(errnoName(9999), 'E9999');
    assert.ok(new LinuxError('EBUSY', 'x').retryable);
    assert.ok(!new LinuxError('EEXIST', 'x').retryable);
    assert.ok(hasCode(new LinuxError('EEXIST', 'x'), 'ENOENT', 'EEXIST'));
    assert.ok(!hasCode(new Error('EEXIST'), 'EEXIST'));
  });

  it('of nft have a code, and a line where nft gives one', () => {
    const cases: [string, string, number | undefined][] = [
      ['Error: Could not process rule: No such file or directory\ndelete table inet x\n        ^', 'ENOENT', undefined],
      ['/dev/stdin:3:27-47: Error: Could not process rule: File exists\nadd …', 'EEXIST', 3],
      ['/dev/stdin:1:5-5: Error: syntax error, unexpected end of file\n', 'SYNTAX', 1],
      ['internal:0:0-0: Error: Could not process rule: Device or resource busy\n', 'EBUSY', 0],
      ['Error: interval overlaps with an existing one\n', 'EEXIST', undefined],
      ['something else', 'EIO', undefined],
      ['', 'EIO', undefined],
    ];
    for (const [message, code, line] of cases) {
      const failure = parseNftError(message);
      assert.deepEqual([failure.code, failure.line], [code, line || undefined], message);
    }
  });
});

describe('socket addresses', () => {
  const ipv6 = parseAddress('fe80::2') ?? assert.fail();

  it('are the bytes that bind() wants', () => {
    assert.equal(hex(socketAddress(0x0a000001, 179)), plain('0200 00b3 0a000001 00000000 00000000'));
    assert.equal(
      hex(socketAddress(ipv6, 179, 3)),
      plain('0a00 00b3 00000000 fe800000 00000000 00000000 00000002 03000000'),
    );
    assert.deepEqual(parseSocketAddress(socketAddress(ipv6, 179, 3)), { address: ipv6, port: 179 });
    assert.equal(hex(netlinkAddress(0x11)), plain('1000 0000 00000000 11000000'));
  });

  it('carry TCP-MD5 keys at the kernel’s offsets', () => {
    const bytes = md5Signature(0x0a000001, 24, 'secret');
    assert.equal(bytes.length, 216);
    assert.equal(hex(bytes.subarray(0, 16)), plain('0200 0000 0a000001 00000000 00000000'));
    assert.equal(hex(bytes.subarray(128, 144)), plain('01 18 0600 00000000 736563726574 0000'));
    assert.equal(hex(md5Signature(0x0a000001, undefined, undefined).subarray(128, 136)), '0000000000000000');
    assert.throws(() => md5Signature(1, undefined, 'x'.repeat(81)), /at most 80 bytes/);
  });
});

describe('route protocol filter', () => {
  /** Just enough of a classic BPF machine. */
  function run(program: Uint8Array, packet: Uint8Array): number {
    const view = new DataView(program.buffer);
    const data = new DataView(packet.buffer);
    let accumulator = 0;
    for (let pc = 0; ; pc++) {
      const [code, ifTrue, ifFalse] = [
        view.getUint16(pc * 8, true),
        view.getUint8(pc * 8 + 2),
        view.getUint8(pc * 8 + 3),
      ];
      const k = view.getUint32(pc * 8 + 4, true);
      if (code === 0x06) return k;
      if (code === 0x20) accumulator = data.getUint32(k);
      else if (code === 0x28) accumulator = data.getUint16(k);
      else if (code === 0x30) accumulator = data.getUint8(k);
      else if (code === 0x15) pc += accumulator === k ? ifTrue : ifFalse;
      else assert.fail(`unknown code ${code}`);
    }
  }

  it('drops routes of the protocols, and nothing else', () => {
    const program = routeFilter({ protocols: [80, 81] });
    const message = (type: number, protocol: number, portId = 0): Uint8Array => {
      const packet = new Uint8Array(64);
      new DataView(packet.buffer).setUint16(4, type, true);
      new DataView(packet.buffer).setUint32(12, portId, true);
      packet[21] = protocol;
      return packet;
    };
    for (const type of [24, 25]) {
      assert.equal(run(program, message(type, 80)), 0);
      assert.equal(run(program, message(type, 81)), 0);
      assert.equal(run(program, message(type, 4)), 0xffffffff);
    }
    assert.equal(run(program, message(16, 80)), 0xffffffff);
    const ownChanges = routeFilter({ protocols: [81], portId: 0x89abcdef });
    assert.equal(run(ownChanges, message(24, 81, 0x89abcdef)), 0);
    assert.equal(run(ownChanges, message(25, 81, 0x89abcdef)), 0);
    assert.equal(run(ownChanges, message(25, 81, 0x12345678)), 0xffffffff);
    assert.equal(run(ownChanges, message(25, 81)), 0xffffffff);
    assert.equal(run(ownChanges, message(24, 4, 0x89abcdef)), 0xffffffff);
  });
});
