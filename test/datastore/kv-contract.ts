// The contract of KvStore: what every store must do, whoever serves it. Run by kv-contract.test.ts for the store in
// memory, and by test/system/datastore/ for twill-datastore and a real etcd.
//
// Each case works below a prefix of its own, so the cases can share one store, also one that has other data.

import assert from 'node:assert/strict';
import { type KvEntry, KvError, type KvStore, type Operation, type WatchEvent } from '../../datastore/kv.ts';

/** Counts over all stores: two suites may share one. */
let cases = 0;

export function kvContract(open: () => Promise<KvStore>): void {
  let store: KvStore;
  let base: string;

  before(async () => {
    store = await open();
  });
  after(async () => {
    await store.close();
  });
  beforeEach(() => {
    base = `/contract-${process.pid}-${++cases}/`;
  });

  const put = (key: string, value: string): Operation => ({ kind: 'put', key: base + key, value });
  const write = async (...operations: Operation[]): Promise<number> =>
    (await store.transact({ compare: [], then: operations })).revision;
  const keysOf = (entries: readonly KvEntry[]): string[] => entries.map((entry) => entry.key.slice(base.length));
  const rejects = (code: string) => (error: unknown) => error instanceof KvError && error.code === code;

  describe('reads and writes', () => {
    it('counts one revision for each transaction that changes something', async () => {
      const first = await write(put('a', '1'), put('b', '1'));
      const second = await write(put('a', '2'));
      assert.equal(second, first + 1);
      assert.equal(await write({ kind: 'delete', key: `${base}missing` }), second);
      const entry = await store.get(`${base}a`);
      assert.deepEqual(entry, {
        key: `${base}a`,
        value: '2',
        createRevision: first,
        modRevision: second,
        version: 2,
      });
    });

    it('starts a key anew after its deletion', async () => {
      await write(put('a', '1'));
      await write({ kind: 'delete', key: `${base}a` });
      assert.equal(await store.get(`${base}a`), undefined);
      const revision = await write(put('a', '2'));
      const entry = await store.get(`${base}a`);
      assert.deepEqual([entry?.version, entry?.createRevision], [1, revision]);
    });

    it('keeps text beyond ASCII, and an empty value', async () => {
      await write(put('ä€😀', 'ß→😀'), put('empty', ''));
      assert.equal((await store.get(`${base}ä€😀`))?.value, 'ß→😀');
      assert.equal((await store.get(`${base}empty`))?.value, '');
      assert.deepEqual(keysOf((await store.list(base)).entries), ['empty', 'ä€😀']);
    });

    it('reads a key as it was', async () => {
      const first = await write(put('a', '1'));
      const second = await write(put('a', '2'));
      const third = await write({ kind: 'delete', key: `${base}a` });
      const at = async (revision: number) => (await store.get(`${base}a`, { revision }))?.value;
      assert.deepEqual([await at(first), await at(second), await at(third)], ['1', '2', undefined]);
    });

    it('refuses a revision that has not come yet', async () => {
      await assert.rejects(store.get(`${base}a`, { revision: 1e12 }), rejects('invalid'));
    });
  });

  describe('lists', () => {
    it('gives exactly the prefix, in byte order', async () => {
      await write(put('b', ''), put('a', ''), put('a/x', ''), put('a-', ''), put('é', ''));
      await store.transact({ compare: [], then: [{ kind: 'put', key: `${base.slice(0, -1)}0`, value: 'beyond' }] });
      assert.deepEqual(keysOf((await store.list(base)).entries), ['a', 'a-', 'a/x', 'b', 'é']);
    });

    it('pages at one revision, whatever happens meanwhile', async () => {
      for (const key of ['a', 'b', 'c', 'd', 'e']) await write(put(key, '1'));
      const first = await store.list(base, { limit: 2 });
      assert.deepEqual([keysOf(first.entries), first.more], [['a', 'b'], true]);
      await write(put('bb', 'new'), { kind: 'delete', key: `${base}d` }, put('c', '2'));
      const revision = first.revision;
      const second = await store.list(base, { limit: 2, revision, after: `${base}b` });
      assert.deepEqual([keysOf(second.entries), second.more], [['c', 'd'], true]);
      assert.equal(second.entries[0]?.value, '1');
      assert.equal(second.revision, revision + 1, 'the header tells the present revision');
      const third = await store.list(base, { limit: 2, revision, after: `${base}d` });
      assert.deepEqual([keysOf(third.entries), third.more], [['e'], false]);
    });

    it('gives keys without values on request', async () => {
      const revision = await write(put('a', 'long'));
      const [entry] = (await store.list(base, { keysOnly: true })).entries;
      assert.deepEqual([entry?.value, entry?.modRevision], ['', revision]);
    });

    it('says which store answered', async () => {
      const { clusterId } = await store.list(base);
      assert.ok(clusterId);
      assert.equal((await store.list(base)).clusterId, clusterId);
    });
  });

  describe('transactions', () => {
    it('creates only where nothing is', async () => {
      const create = () =>
        store.transact({
          compare: [{ key: `${base}a`, target: 'version', is: 0 }],
          then: [put('a', 'mine')],
          otherwise: [{ kind: 'get', key: `${base}a` }],
        });
      assert.equal((await create()).succeeded, true);
      const second = await create();
      assert.equal(second.succeeded, false);
      assert.equal(second.entries[0]?.value, 'mine');
    });

    it('compares modRevision, createRevision, version and value', async () => {
      const created = await write(put('a', '1'));
      const changed = await write(put('a', '2'));
      const holds = async (target: 'modRevision' | 'createRevision' | 'version', is: number) =>
        (await store.transact({ compare: [{ key: `${base}a`, target, is }], then: [] })).succeeded;
      assert.equal(await holds('modRevision', changed), true);
      assert.equal(await holds('modRevision', created), false);
      assert.equal(await holds('createRevision', created), true);
      assert.equal(await holds('version', 2), true);
      assert.equal(await holds('version', 0), false);
      const valueIs = async (is: string, key = 'a') =>
        (await store.transact({ compare: [{ key: base + key, target: 'value', is }], then: [] })).succeeded;
      assert.deepEqual([await valueIs('2'), await valueIs('1'), await valueIs('', 'missing')], [true, false, false]);
    });

    it('needs every comparison', async () => {
      await write(put('a', '1'));
      const result = await store.transact({
        compare: [
          { key: `${base}a`, target: 'version', is: 1 },
          { key: `${base}b`, target: 'version', is: 1 },
        ],
        then: [put('c', 'then')],
        otherwise: [put('c', 'otherwise')],
      });
      assert.equal(result.succeeded, false);
      assert.equal((await store.get(`${base}c`))?.value, 'otherwise');
    });

    it('writes several keys in one revision and reads its own writes', async () => {
      await write(put('old/1', ''), put('old/2', ''), put('x', ''));
      const result = await store.transact({
        compare: [],
        then: [
          put('a', '1'),
          { kind: 'get', key: `${base}a` },
          { kind: 'delete-prefix', prefix: `${base}old/` },
          { kind: 'get', key: `${base}old/1` },
          { kind: 'delete', key: `${base}x` },
        ],
      });
      assert.equal(result.entries.length, 5);
      assert.deepEqual([result.entries[1]?.value, result.entries[3]], ['1', undefined]);
      const { entries } = await store.list(base);
      assert.deepEqual(keysOf(entries), ['a']);
      assert.equal(entries[0]?.modRevision, result.revision);
    });

    it('refuses a key written twice, and changes nothing then', async () => {
      await assert.rejects(write(put('a', '1'), put('b', '1'), put('a', '2')), rejects('invalid'));
      assert.deepEqual((await store.list(base)).entries, []);
    });

    it('refuses more than 128 operations', async () => {
      const many = Array.from({ length: 129 }, (_, i) => put(`k${i}`, ''));
      await assert.rejects(write(...many), rejects('invalid'));
      await write(...many.slice(1));
    });

    it('lets exactly one of many racing writers win', async () => {
      const revision = await write(put('a', '0'));
      const race = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.transact({
            compare: [{ key: `${base}a`, target: 'modRevision', is: revision }],
            then: [put('a', String(i + 1))],
          }),
        ),
      );
      assert.equal(race.filter((result) => result.succeeded).length, 1);
    });
  });

  describe('watches', () => {
    it('delivers puts and deletes with what was there before, in order', async () => {
      const start = await write(put('a', '1'));
      const watched = watching(store, base, start + 1);
      await write(put('a', '2'));
      await write({ kind: 'delete', key: `${base}a` });
      const last = await write(put('a', '3'));
      await watched.until(last);
      assert.deepEqual(watched.events.map(brief(base)), ['a=2 was 1', 'a deleted was 2', 'a=3']);
      watched.close();
    });

    it('starts in the past, and from the first revision given', async () => {
      await write(put('a', '1'));
      const from = await write(put('b', '1'));
      const last = await write(put('c', '1'));
      const watched = watching(store, base, from);
      await watched.until(last);
      assert.deepEqual(watched.events.map(brief(base)), ['b=1', 'c=1']);
      watched.close();
    });

    it('keeps a transaction together and leaves out other prefixes', async () => {
      const start = await write(put('start', ''));
      const watched = watching(store, `${base}in/`, start + 1);
      await write(put('out', '1'), put('in/a', '1'), put('in/b', '1'), put('in/c', '1'));
      const last = await write(put('in/a', '2'));
      await watched.until(last);
      assert.deepEqual(watched.events.map(brief(`${base}in/`)), ['a=1', 'b=1', 'c=1', 'a=2 was 1']);
      for (const batch of watched.batches) {
        const size = batch.filter((event) => revisionOf(event) === start + 1).length;
        assert.ok(size === 0 || size === 3, 'a revision is never split over two calls');
      }
      watched.close();
    });

    it('sees each of many writes once', async () => {
      const start = await write(put('start', ''));
      const watched = watching(store, base, start + 1);
      await Promise.all(Array.from({ length: 500 }, (_, i) => write(put(`k${i % 50}`, String(i)))));
      const last = await write(put('end', ''));
      await watched.until(last);
      assert.equal(watched.events.length, 501);
      const revisions = watched.events.map(revisionOf);
      assert.deepEqual(
        revisions,
        [...new Set(revisions)].sort((a, b) => a - b),
      );
      watched.close();
    });

    it('is silent after close', async () => {
      const start = await write(put('a', ''));
      const closed = watching(store, base, start + 1);
      const open = watching(store, base, start + 1);
      closed.close();
      await open.until(await write(put('a', '2')));
      assert.deepEqual(closed.events, []);
      open.close();
    });
  });

  describe('compaction', () => {
    it('ends reads and watches of what is gone, and nothing else', async () => {
      const first = await write(put('a', '1'));
      const live = watching(store, base, first + 1);
      await write(put('a', '2'));
      const third = await write(put('b', '3'));
      await live.until(third);
      await store.compact(third);
      await assert.rejects(store.get(`${base}a`, { revision: first }), rejects('compacted'));
      await assert.rejects(store.list(base, { revision: first }), rejects('compacted'));
      await assert.rejects(store.compact(third), rejects('compacted'));
      await assert.rejects(store.compact(1e12), rejects('invalid'));
      const late = watching(store, base, first + 1);
      assert.equal((await late.ended).code, 'compacted');
      assert.deepEqual(late.events, []);
      assert.equal((await store.get(`${base}a`))?.value, '2');
      const last = await write(put('a', '4'));
      await live.until(last);
      assert.equal(live.events.length, 3);
      live.close();
    });
  });

  describe('leases', () => {
    it('deletes the keys of a revoked lease, in one revision', async () => {
      const lease = await store.grantLease(60);
      const revision = await write(
        { kind: 'put', key: `${base}a`, value: '1', lease: lease.id },
        { kind: 'put', key: `${base}b`, value: '1', lease: lease.id },
        put('c', '1'),
      );
      assert.equal((await store.get(`${base}a`))?.lease, lease.id);
      const watched = watching(store, base, revision + 1);
      await lease.revoke();
      await watched.until(revision + 1);
      assert.deepEqual(watched.events.map(brief(base)), ['a deleted was 1', 'b deleted was 1']);
      assert.deepEqual(keysOf((await store.list(base)).entries), ['c']);
      watched.close();
    });

    it('leaves a key that was written again without the lease', async () => {
      const lease = await store.grantLease(60);
      await write({ kind: 'put', key: `${base}a`, value: '1', lease: lease.id });
      await write(put('a', '2'));
      await lease.revoke();
      assert.equal((await store.get(`${base}a`))?.value, '2');
    });

    it('refuses a lease that it does not know', async () => {
      await assert.rejects(write({ kind: 'put', key: `${base}a`, value: '1', lease: '987654321' }), rejects('invalid'));
    });
  });

  it('tells its status', async () => {
    const revision = await write(put('a', '1'));
    const status = await store.status();
    assert.equal(status.revision, revision);
    assert.equal(status.clusterId, (await store.list(base)).clusterId);
    assert.ok(status.sizeBytes > 0 && status.version !== '');
  });
}

interface Watched {
  readonly events: readonly WatchEvent[];
  readonly batches: readonly (readonly WatchEvent[])[];
  readonly ended: Promise<KvError>;
  until(revision: number): Promise<void>;
  close(): void;
}

/** A watch that remembers; `until` waits for the events of a revision. */
export function watching(store: KvStore, prefix: string, fromRevision: number, timeoutMs = 5000): Watched {
  const batches: (readonly WatchEvent[])[] = [];
  const events: WatchEvent[] = [];
  let reached = 0;
  let wake = (): void => {};
  let end: (error: KvError) => void = () => {};
  const ended = new Promise<KvError>((resolve) => {
    end = resolve;
  });
  const watch = store.watch(prefix, fromRevision, {
    onEvents: (batch, revision) => {
      batches.push(batch);
      events.push(...batch);
      reached = revision;
      wake();
    },
    onEnd: (error) => end(error),
  });
  const until = (revision: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no events up to revision ${revision} within ${timeoutMs} ms, only to ${reached}`)),
        timeoutMs,
      );
      wake = () => {
        if (reached < revision) return;
        clearTimeout(timer);
        resolve();
      };
      wake();
    });
  return { events, batches, ended, until, close: () => watch.close() };
}

const revisionOf = (event: WatchEvent): number => (event.kind === 'put' ? event.entry.modRevision : event.modRevision);

const brief =
  (base: string) =>
  (event: WatchEvent): string => {
    const was = event.previous ? ` was ${event.previous.value}` : '';
    return event.kind === 'put'
      ? `${event.entry.key.slice(base.length)}=${event.entry.value}${was}`
      : `${event.key.slice(base.length)} deleted${was}`;
  };
