// What etcd's model has beyond KvStore: relations, ranges in comparisons, nested transactions, sorting and filters; and that
// history, compaction and size accounting agree with each other.

import assert from 'node:assert/strict';
import {
  keyRange,
  Mvcc,
  MvccError,
  type MvccOperation,
  type MvccTransaction,
  prefixRange,
  type Relation,
} from '../../datastore/mvcc.ts';
import { OrderedMap } from '../../datastore/ordered-map.ts';
import { seededRandom } from './random.ts';

const put = (key: string, value = '', lease: string | undefined = '0'): MvccOperation => ({
  kind: 'put',
  key,
  value,
  lease,
});
const remove = (key: string): MvccOperation => ({ kind: 'delete', range: keyRange(key) });
const always = (...success: MvccOperation[]): MvccTransaction => ({ compare: [], success, failure: [] });
const isCode = (code: string) => (error: unknown) => error instanceof MvccError && error.code === code;
const all = { from: '\0' };

describe('datastore/mvcc', () => {
  let store: Mvcc;
  const write = (...operations: MvccOperation[]) => store.execute(always(...operations));
  const keys = (options = {}) => store.range(all, options).versions.map(({ key }) => key);

  beforeEach(() => {
    store = new Mvcc();
  });

  it('turns a prefix into a range, also one of 0xff', () => {
    assert.deepEqual(prefixRange('/a'), { from: '/a', to: '/b' });
    assert.deepEqual(prefixRange('/\xff'), { from: '/\xff', to: '0' });
    assert.deepEqual(prefixRange('\xff\xff'), { from: '\xff\xff' });
    assert.deepEqual(prefixRange(''), { from: '' });
  });

  describe('comparisons', () => {
    const holds = (relation: Relation, is: number, key = 'a') =>
      store.execute({ compare: [{ range: keyRange(key), relation, target: 'version', is }], success: [], failure: [] })
        .succeeded;

    it('know four relations, and take a missing key for zeros', () => {
      write(put('a', '1'));
      write(put('a', '2'));
      const answers = [holds('=', 2), holds('!=', 2), holds('>', 1), holds('>', 2), holds('<', 3), holds('<', 2)];
      assert.deepEqual(answers, [true, false, true, false, true, false]);
      assert.deepEqual([holds('=', 0, 'none'), holds('<', 1, 'none'), holds('>', 0, 'none')], [true, true, false]);
    });

    it('over a range hold only when they hold for every key of it', () => {
      write(put('p/1', 'x'), put('p/2', 'x'), put('q', 'y'));
      const allAre = (is: string) =>
        store.execute({
          compare: [{ range: prefixRange('p/'), relation: '=', target: 'value', is }],
          success: [],
          failure: [],
        }).succeeded;
      assert.equal(allAre('x'), true);
      write(put('p/2', 'z'));
      assert.equal(allAre('x'), false);
    });

    it('compare leases as numbers', () => {
      store.leases.grant('9', 60, 0);
      write(put('a', '', '9'));
      const less = store.execute({
        compare: [{ range: keyRange('a'), relation: '<', target: 'lease', is: '10' }],
        success: [],
        failure: [],
      });
      assert.equal(less.succeeded, true);
    });
  });

  describe('transactions', () => {
    it('nest, and all their comparisons see the state before', () => {
      const isNew = { range: keyRange('a'), relation: '=', target: 'version', is: 0 } as const;
      const outcome = write(put('a', '1'), {
        kind: 'transaction',
        transaction: { compare: [isNew], success: [put('b', 'new')], failure: [put('b', 'old')] },
      });
      assert.equal(store.get('b')?.value, 'new');
      assert.deepEqual([outcome.revision, outcome.changes.length], [2, 2]);
    });

    it('refuse a key written twice, wherever, and let two branches share one', () => {
      const nested = (success: MvccOperation[], failure: MvccOperation[]): MvccOperation => ({
        kind: 'transaction',
        transaction: { compare: [], success, failure },
      });
      const refused: MvccOperation[][] = [
        [put('a'), put('a')],
        [put('a'), remove('a')],
        [put('a'), nested([put('a')], [])],
        [put('p/1'), { kind: 'delete', range: prefixRange('p/') }],
        [nested([put('a')], []), nested([], [put('a')])],
      ];
      for (const operations of refused) assert.throws(() => write(...operations), isCode('duplicate-key'));
      write(nested([put('a')], [put('a')]), remove('b'), remove('b'));
      assert.equal(store.revision, 2);
    });

    it('keep a value or a lease on request, of keys that exist', () => {
      store.leases.grant('7', 60, 0);
      write(put('a', '1', '7'));
      write({ kind: 'put', key: 'a', value: '2', lease: undefined });
      assert.deepEqual([store.get('a')?.value, store.get('a')?.lease], ['2', '7']);
      write({ kind: 'put', key: 'a', value: undefined, lease: '0' });
      assert.deepEqual([store.get('a')?.value, store.get('a')?.lease], ['2', '0']);
      assert.throws(() => write({ kind: 'put', key: 'b', value: undefined, lease: '0' }), isCode('key-not-found'));
    });
  });

  describe('ranges', () => {
    beforeEach(() => {
      write(put('b', '1'));
      write(put('a', '3'));
      write(put('c', '2'));
      write(put('a', '3'));
    });

    it('sort by any target, either way, and cut after sorting', () => {
      const sorted = (target: 'key' | 'version' | 'createRevision' | 'modRevision' | 'value', descending: boolean) =>
        keys({ sort: { target, descending } }).join('');
      assert.equal(sorted('key', true), 'cba');
      assert.equal(sorted('createRevision', false), 'bac');
      assert.equal(sorted('modRevision', true), 'acb');
      assert.equal(sorted('value', false), 'bca');
      assert.equal(sorted('version', true), 'abc');
      const cut = store.range(all, { sort: { target: 'value', descending: true }, limit: 1 });
      assert.deepEqual([cut.versions.map(({ key }) => key), cut.more, cut.count], [['a'], true, 3]);
    });

    it('count beyond a limit when asked, and filter by revision', () => {
      assert.deepEqual(store.range(all, { limit: 1, countAll: true }).count, 3);
      assert.equal(store.range(all, { countOnly: true }).count, 3);
      assert.deepEqual(keys({ minModRevision: 3 }), ['a', 'c']);
      assert.deepEqual(keys({ maxModRevision: 4 }), ['b', 'c']);
      assert.deepEqual(keys({ minCreateRevision: 3, maxCreateRevision: 3 }), ['a']);
    });

    it('read the past with deletions and new lives of a key', () => {
      write(remove('a'));
      write(put('a', 'again'));
      const at = (revision: number) => store.get('a', revision)?.value;
      assert.deepEqual([at(2), at(3), at(5), at(6), at(7)], [undefined, '3', '3', undefined, 'again']);
      assert.equal(store.get('a')?.version, 1);
    });
  });

  describe('leases', () => {
    it('end at their deadline unless renewed, and take their keys along in one revision', () => {
      store.leases.grant('1', 10, 0);
      store.leases.grant('2', 10, 0);
      write(put('a', '', '1'), put('b', '', '1'), put('c', '', '2'));
      store.leases.renew('2', 5000);
      assert.deepEqual(store.leases.expired(9999), []);
      assert.deepEqual(store.leases.expired(10_000), ['1']);
      const { changes, revision } = store.revokeLease('1');
      assert.deepEqual(
        changes.map(({ key, modRevision }) => [key, modRevision]),
        [
          ['a', revision],
          ['b', revision],
        ],
      );
      assert.throws(() => store.revokeLease('1'), isCode('lease-not-found'));
      assert.deepEqual(keys(), ['c']);
    });

    it('follow a key from one lease to the next', () => {
      store.leases.grant('1', 10, 0);
      store.leases.grant('2', 10, 0);
      write(put('a', '', '1'));
      write(put('a', '', '2'));
      assert.equal(store.revokeLease('1').changes.length, 0);
      assert.deepEqual([...(store.leases.keysOf('2') ?? [])], ['a']);
    });
  });

  it('gives changes in pieces of whole revisions', () => {
    for (let i = 0; i < 5; i++) write(put('a', String(i)), put('b', String(i)));
    const seen: string[] = [];
    let next = 2;
    while (next <= store.revision) {
      const piece = store.readChanges(prefixRange('a'), next, store.revision, 2);
      seen.push(piece.changes.map(({ value }) => value).join(''));
      next = piece.next;
    }
    assert.deepEqual(seen, ['01', '23', '4']);
  });

  it('counts what a limit cuts off, now and in the past, as a walk over the keys would', () => {
    const random = seededRandom(11);
    const key = () => `k${String(random.below(60)).padStart(2, '0')}`;
    for (let i = 0; i < 400; i++) {
      write(random.next() < 0.6 ? put(key()) : remove(key()));
      if (i % 100 === 99) store.compact(store.revision - 40);
      const range = { from: key(), to: random.next() < 0.3 ? undefined : key() };
      const revision = store.compactedRevision + random.below(store.revision - store.compactedRevision + 1);
      const walked = store.range(range, { revision }).versions.length;
      assert.equal(store.range(range, { revision, countOnly: true }).count, walked);
      const limited = store.range(range, { revision, limit: 3, countAll: true });
      assert.deepEqual([limited.count, limited.more], [walked, walked > 3]);
    }
  });

  it('after a compaction has the state, the later history, and the size of a store that had never had the rest', () => {
    const random = seededRandom(7);
    const key = () => `k${random.below(40)}`;
    for (let i = 0; i < 500; i++) write(random.next() < 0.7 ? put(key(), 'v'.repeat(random.below(50))) : remove(key()));
    const present = store.range(all).versions.map(({ key: name, value }) => [name, value]);
    const later = store.readChanges(all, 400).changes.length;
    store.compact(399);
    assert.equal(store.readChanges(all, 400).changes.length, later);
    assert.throws(() => store.readChanges(all, 398), isCode('compacted'));
    store.compact(store.revision);
    assert.deepEqual(
      store.range(all).versions.map(({ key: name, value }) => [name, value]),
      present,
    );
    // Nothing but the state is left, apart from deletions of the very last revision.
    assert.ok(store.historySize <= 200, `${store.historySize} bytes of history are left`);
    const rebuilt = new Mvcc();
    const captured = store.capture();
    for (const version of captured.base) rebuilt.load(version);
    rebuilt.startFrom(store.compactedRevision);
    for (const change of captured.changes) rebuilt.replay(change);
    assert.equal(rebuilt.size, store.size - store.historySize);
    assert.deepEqual(
      rebuilt.range(all).versions.map(({ key: name }) => name),
      present.map(([name]) => name),
    );
  });
});

describe('datastore/ordered-map', () => {
  it('is a sorted map, under random inserts, deletes and ranges', () => {
    const random = seededRandom(3);
    const map = new OrderedMap<number>();
    const twin = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      const key = `key-${random.below(5000)}`;
      if (random.next() < 0.6) {
        map.set(key, i);
        twin.set(key, i);
      } else assert.equal(map.delete(key), twin.delete(key));
    }
    assert.equal(map.size, twin.size);
    const sorted = [...twin].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(
      [...map.range('')],
      sorted.map(([, value]) => value),
    );
    const [from, to] = ['key-2', 'key-31'];
    assert.deepEqual(
      [...map.range(from, to)],
      sorted.filter(([key]) => key >= from && key < to).map(([, value]) => value),
    );
    for (const [key, value] of sorted) assert.equal(map.get(key), value);
    assert.equal(map.get('none'), undefined);
  });
});
