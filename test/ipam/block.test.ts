// A block as a value: allocation order, owners, release with and without cooldown, exact sequence numbers.

import assert from 'node:assert/strict';
import { encodeBlock, parseBlock } from '../../datastore/model/ipam.ts';
import * as blocks from '../../ipam/block.ts';
import { type Address, formatAddress, parseAddress } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const prefix = parsePrefix('10.0.0.0/29') ?? assert.fail();
const owner = (handle: string): blocks.Owner => ({ handle, attributes: { pod: handle } });
const fresh = () => blocks.newBlock(prefix, 'host:a', now);
const texts = (addresses: readonly Address[]): string[] => addresses.map(formatAddress);
const address = (text: string): Address => parseAddress(text) ?? assert.fail();

describe('ipam block', () => {
  it('gives addresses in order and shares attributes between those of one owner', () => {
    const first = blocks.allocate(fresh(), 2, owner('x'));
    assert.deepEqual(texts(first.addresses), ['10.0.0.0', '10.0.0.1']);
    const second = blocks.allocate(first.block, 1, owner('x'));
    assert.equal(second.block.attributes.length, 1);
    assert.equal(second.block.sequenceNumber, first.block.sequenceNumber + 1n);
    assert.equal(second.block.sequenceNumberForAllocation['2'], first.block.sequenceNumber);
  });

  it('gives what is left when it runs out, and nothing once it is full', () => {
    const most = blocks.allocate(fresh(), 20, owner('x'));
    assert.equal(most.addresses.length, 8);
    assert.equal(blocks.allocate(most.block, 1, owner('y')).addresses.length, 0);
  });

  it('hands out a released address last', () => {
    const { block } = blocks.allocate(fresh(), 2, owner('x'));
    const released = blocks.release(block, [0], now, 0);
    assert.equal(released.unallocated.at(-1), 0);
    assert.equal(blocks.ownerOf(released, address('10.0.0.0')), undefined);
    assert.equal(blocks.ownerOf(released, address('10.0.0.1'))?.handle_id, 'x');
  });

  it('keeps a released address back until its cooldown is over', () => {
    const { block } = blocks.allocate(fresh(), 1, owner('x'));
    const cooling = blocks.release(block, [0], now, 60);
    assert.equal(blocks.allocateAddress(cooling, address('10.0.0.0'), owner('y')), undefined);
    assert.equal(blocks.isEmpty(blocks.endCooldown(cooling, now + 59_999, 60)), false);
    const over = blocks.endCooldown(cooling, now + 60_000, 60);
    assert.equal(blocks.isEmpty(over), true);
    assert.deepEqual(over.attributes, []);
  });

  it('gives one address only once', () => {
    const block = blocks.allocateAddress(fresh(), address('10.0.0.5'), owner('x')) ?? assert.fail();
    assert.equal(blocks.allocateAddress(block, address('10.0.0.5'), owner('y')), undefined);
  });

  it('passes over addresses that are not usable', () => {
    const { addresses } = blocks.allocate(fresh(), 1, owner('x'), (candidate) => candidate !== address('10.0.0.0'));
    assert.deepEqual(texts(addresses), ['10.0.0.1']);
  });

  it('survives its stored form with every digit of the sequence numbers and with fields that we do not know', () => {
    const { block } = blocks.allocate(fresh(), 1, owner('9007199254740993123'));
    const odd = { ...block, sequenceNumber: 1_767_225_600_123_456_789n, fromTheFuture: { a: 1 } };
    const text = encodeBlock(odd);
    assert.match(text, /"sequenceNumber":1767225600123456789[,}]/);
    assert.deepEqual(parseBlock(text), odd);
    assert.equal(encodeBlock(parseBlock(text) ?? assert.fail()), text);
  });

  it('refuses stored text that is no block', () => {
    for (const text of ['', 'null', '{}', '{"cidr":"10.0.0.1/26","allocations":[],"unallocated":[]}', '[1]']) {
      assert.equal(parseBlock(text), undefined, text);
    }
  });

  it('never loses or doubles an address over random operations', () => {
    let block = fresh();
    const model = new Map<string, string>();
    let seed = 42;
    const random = (bound: number): number => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % bound;
    };
    for (let i = 0; i < 2000; i++) {
      const handle = `h${random(5)}`;
      if (random(2) === 0) {
        const given = blocks.allocate(block, 1 + random(3), owner(handle));
        block = given.block;
        for (const one of texts(given.addresses)) {
          assert.equal(model.has(one), false, `${one} given twice`);
          model.set(one, handle);
        }
      } else {
        block = blocks.release(block, blocks.ordinalsOfHandle(block, handle), now, 0);
        for (const [one, holder] of model) if (holder === handle) model.delete(one);
      }
      assert.equal(model.size + block.unallocated.length, 8);
      for (const [one, holder] of model) assert.equal(blocks.ownerOf(block, address(one))?.handle_id, holder);
    }
  });
});
