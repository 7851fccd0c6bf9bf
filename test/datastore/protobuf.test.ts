// Messages of protobuf as they are written and read: numbers of any size, texts, messages in messages, and what is none.

import assert from 'node:assert/strict';
import { FieldReader, MessageWriter, readFields } from '../../datastore/protobuf.ts';

describe('datastore/protobuf', () => {
  const message = new MessageWriter()
    .number(1, 300)
    .number(2, 2 ** 53 - 1)
    .bigNumber(3, -1n)
    .text(4, 'ä€')
    .message(5, new MessageWriter().number(1, 1).text(2, ''))
    .finish();

  it('reads back what it wrote, field by field', () => {
    const fields = new FieldReader(message);
    const next = (): FieldReader => {
      assert.ok(fields.next());
      return fields;
    };
    assert.deepEqual([next().number, fields.integer(), fields.bigInteger()], [1, 300, 300n]);
    assert.deepEqual([next().number, fields.integer()], [2, 2 ** 53 - 1]);
    assert.deepEqual([next().number, BigInt.asIntN(64, fields.bigInteger())], [3, -1n]);
    assert.deepEqual([next().number, fields.text(), fields.bytes()], [4, 'ä€', Buffer.from('ä€')]);
    const inner = next().message();
    assert.deepEqual(
      [inner.next(), inner.integer(), inner.next(), inner.text(), inner.next()],
      [true, 1, true, '', false],
    );
    assert.equal(fields.next(), false);
  });

  it('reads the same by both ways', () => {
    const fields = new FieldReader(message);
    for (const { number, value, bytes } of readFields(message)) {
      fields.next();
      assert.deepEqual(
        [fields.number, bytes.length > 0 ? fields.bytes() : fields.bigInteger()],
        [number, bytes.length > 0 ? bytes : value],
      );
    }
  });

  it('refuses what is no message', () => {
    const readAll = (bytes: Buffer): void => {
      const fields = new FieldReader(bytes);
      while (fields.next());
    };
    assert.throws(() => readAll(message.subarray(0, 2)), /does not end/);
    assert.throws(() => readAll(message.subarray(0, -1)), /longer than the answer/);
    assert.throws(() => readAll(Buffer.of(0x0d, 0, 0, 0, 0)), /unknown wire type 5/);
  });
});
