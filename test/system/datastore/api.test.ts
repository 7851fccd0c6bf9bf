// The parts of etcd's API that KvStore does not use but other programs do: the same raw calls to a real etcd and to
// twill-datastore, with the same answers.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { Etcd3, type IWatchCreateRequest, type IWatchResponse } from 'etcd3';
import { until } from '../../datastore/until.ts';
import { type Daemon, freePort, startEtcd, startTwillDatastore, temporaryDirectory } from './processes.ts';

for (const name of ['etcd', 'twill-datastore'] as const) {
  describe(`etcd’s API, served by ${name}`, function () {
    this.timeout(30_000);
    const directory = temporaryDirectory();
    let daemon: Daemon;
    let client: Etcd3;

    before(async () => {
      const clientPort = await freePort();
      const dataDir = `${directory.path}/data`;
      daemon =
        name === 'etcd'
          ? startEtcd({ dataDir, clientPort, peerPort: await freePort() })
          : startTwillDatastore({ dataDir, listen: `127.0.0.1:${clientPort}` });
      await daemon.answers({ port: clientPort });
      client = new Etcd3({ hosts: `127.0.0.1:${clientPort}`, grpcOptions: { 'grpc.max_receive_message_length': -1 } });
    });
    after(async () => {
      client.close();
      await daemon.stop();
      directory.remove();
    });

    const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
    const put = (key: string, value: string | Buffer = '') =>
      client.kv.put({ key: bytes(key), value: Buffer.from(value) });

    /** All responses of a stream with these watches. */
    const watch = async (...requests: IWatchCreateRequest[]) => {
      const stream = await client.watchClient.watch();
      const responses: IWatchResponse[] = [];
      stream.on('data', (response: IWatchResponse) => responses.push(response));
      stream.on('error', () => {});
      for (const request of requests) stream.write({ create_request: request });
      await until(() => responses.filter(({ created }) => created).length === requests.length, 'the watches');
      const events = (id = '0') =>
        responses
          .filter((response) => response.watch_id === id)
          .flatMap((response) => response.events)
          .map(
            ({ type, kv, prev_kv: previous }) =>
              `${type} ${kv.key}=${kv.value}${previous ? ` was ${previous.value}` : ''}`,
          );
      return { stream, responses, events };
    };

    it('takes any bytes as key and value', async () => {
      const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      await client.kv.put({ key: bytes('bin\x00\xff\x80'), value });
      const { kvs } = await client.kv.range({ key: bytes('bin\x00'), range_end: bytes('bin\x01') });
      assert.deepEqual(kvs[0]?.key, bytes('bin\x00\xff\x80'));
      assert.deepEqual(kvs[0]?.value, value);
    });

    it('gives previous values of puts and deletes, and counts what is deleted', async () => {
      await put('prev/a', '1');
      const again = await client.kv.put({ key: bytes('prev/a'), value: bytes('2'), prev_kv: true });
      assert.equal(again.prev_kv.value.toString(), '1');
      await put('prev/b', '3');
      const gone = await client.kv.deleteRange({ key: bytes('prev/'), range_end: bytes('prev0'), prev_kv: true });
      assert.deepEqual([gone.deleted, gone.prev_kvs.map(({ value }) => value.toString())], ['2', ['2', '3']]);
    });

    it('sorts, counts and limits', async () => {
      for (const [key, value] of [
        ['sort/a', '2'],
        ['sort/b', '3'],
        ['sort/c', '1'],
      ] as const)
        await put(key, value);
      const range = { key: bytes('sort/'), range_end: bytes('sort0') };
      const byValue = await client.kv.range({ ...range, sort_target: 'Value', sort_order: 'Descend', limit: 2 });
      assert.deepEqual(
        [byValue.kvs.map(({ key }) => key.toString()), byValue.more, byValue.count],
        [['sort/b', 'sort/a'], true, '3'],
      );
      const counted = await client.kv.range({ ...range, count_only: true });
      assert.deepEqual([counted.kvs.length, counted.count], [0, '3']);
      const keys = await client.kv.range({ ...range, keys_only: true, limit: 1 });
      assert.deepEqual([keys.kvs[0]?.value.length, keys.count, keys.more], [0, '3', true]);
    });

    if (name === 'twill-datastore') {
      it('gives a snapshot that becomes a store of its own, with its history and another cluster id', async () => {
        await put('snapshot/a', '1');
        const { header } = await put('snapshot/a', '2');
        const blobs: Buffer[] = [];
        const stream = await client.maintenance.snapshot();
        await new Promise<void>((resolve, reject) => {
          stream.on('data', ({ blob }: { readonly blob: Buffer }) => blobs.push(blob));
          stream.on('end', resolve);
          stream.on('error', reject);
        });
        const file = `${directory.path}/backup`;
        writeFileSync(file, Buffer.concat(blobs), { mode: 0o600 });
        const port = await freePort();
        const restored = startTwillDatastore({
          dataDir: `${directory.path}/restored`,
          listen: `127.0.0.1:${port}`,
          extra: ['--restore', file],
        });
        await restored.answers({ port });
        const other = new Etcd3({ hosts: `127.0.0.1:${port}` });
        const now = await other.kv.range({ key: bytes('snapshot/a') });
        const before = await other.kv.range({ key: bytes('snapshot/a'), revision: Number(header.revision) - 1 });
        other.close();
        await restored.stop();
        assert.deepEqual([now.kvs[0]?.value.toString(), before.kvs[0]?.value.toString()], ['2', '1']);
        assert.equal(now.header.revision, header.revision);
        assert.notEqual(now.header.cluster_id, header.cluster_id);
        const again = startTwillDatastore({
          dataDir: `${directory.path}/restored`,
          listen: `127.0.0.1:${port}`,
          extra: ['--restore', file],
        });
        await until(() => !again.running, 'a restore over data to be refused', 10_000);
        assert.match(again.output, /already holds a store/);
      });
    }

    it('runs nested transactions, and compares by relation and over ranges', async () => {
      await put('txn/a', '5');
      await put('txn/b', '6');
      const { succeeded, responses } = await client.kv.txn({
        compare: [
          { key: bytes('txn/'), range_end: bytes('txn0'), target: 'Value', result: 'Greater', value: bytes('4') },
          { key: bytes('txn/a'), target: 'Version', result: 'NotEqual', version: 7 },
        ],
        success: [
          {
            request_txn: {
              compare: [{ key: bytes('txn/none'), target: 'Create', result: 'Equal', create_revision: 0 }],
              success: [{ request_put: { key: bytes('txn/inner'), value: bytes('yes'), prev_kv: true } }],
              failure: [],
            },
          },
          { request_range: { key: bytes('txn/inner') } },
        ],
        failure: [],
      });
      assert.equal(succeeded, true);
      assert.equal(responses[1]?.response_range?.kvs[0]?.value.toString(), 'yes');
    });

    it('filters watches: only puts, only deletes, with and without previous values', async () => {
      const range = { key: bytes('filter/'), range_end: bytes('filter0') };
      const { stream, events } = await watch(
        { ...range, filters: ['Nodelete'], prev_kv: true },
        { ...range, filters: ['Noput'], prev_kv: true },
        range,
      );
      await put('filter/a', '1');
      await put('filter/a', '2');
      await client.kv.deleteRange({ key: bytes('filter/a') });
      await until(() => events('2').length === 3 && events('1').length === 1 && events('0').length === 2, 'the events');
      assert.deepEqual(events('0'), ['Put filter/a=1', 'Put filter/a=2 was 1']);
      assert.deepEqual(events('1'), ['Delete filter/a= was 2']);
      assert.deepEqual(events('2'), ['Put filter/a=1', 'Put filter/a=2', 'Delete filter/a=']);
      stream.cancel();
    });

    it('cancels one watch and goes on with the others', async () => {
      const { stream, responses, events } = await watch({ key: bytes('cancel/a') }, { key: bytes('cancel/b') });
      stream.write({ cancel_request: { watch_id: '0' } });
      await until(() => responses.some(({ canceled }) => canceled), 'the cancellation');
      await put('cancel/a');
      await put('cancel/b');
      await until(() => events('1').length === 1, 'the other watch');
      assert.deepEqual(events('0'), []);
      stream.cancel();
    });

    it('answers a request for progress with its revision', async () => {
      const { header } = await put('progress/a');
      const { stream, responses } = await watch({ key: bytes('progress/none') });
      stream.write({ progress_request: {} });
      await until(() => responses.some(({ created, events }) => !created && events.length === 0), 'the progress');
      const progress = responses.find(({ created }) => !created);
      assert.ok(Number(progress?.header.revision) >= Number(header.revision));
      stream.cancel();
    });

    it('splits what is large into fragments when asked, and not otherwise', async () => {
      const value = Buffer.alloc(300_000, 'x');
      const first = await put('fragment/start');
      for (let i = 0; i < 12; i++) await put(`fragment/${i}`, value);
      const range = { key: bytes('fragment/'), range_end: bytes('fragment0'), start_revision: first.header.revision };
      const { stream, responses, events } = await watch({ ...range, fragment: true }, range);
      await until(() => events('0').length === 13 && events('1').length === 13, 'all events');
      const fragments = responses
        .filter(({ watch_id: id }) => id === '0')
        .map((response) => 'fragment' in response && response.fragment);
      assert.ok(fragments.filter((fragment) => fragment === true).length >= 1, fragments.join(' '));
      assert.equal(fragments.at(-1), false);
      assert.ok(
        responses
          .filter(({ watch_id: id }) => id === '1')
          .every((response) => !('fragment' in response && response.fragment)),
      );
      stream.cancel();
    });

    it('grants, lists, renews, shows and expires leases', async () => {
      const granted = await client.leaseClient.leaseGrant({ TTL: 60, ID: '4711' });
      assert.deepEqual([granted.ID, granted.TTL], ['4711', '60']);
      await assert.rejects(client.leaseClient.leaseGrant({ TTL: 60, ID: '4711' }), /lease already exists/);
      await client.kv.put({ key: bytes('lease/a'), value: bytes('1'), lease: '4711' });
      const shown = await client.leaseClient.leaseTimeToLive({ ID: '4711', keys: true });
      assert.deepEqual([shown.grantedTTL, shown.keys.map(String)], ['60', ['lease/a']]);
      assert.ok(Number(shown.TTL) >= 58);
      assert.deepEqual((await client.leaseClient.leaseTimeToLive({ ID: '1' })).TTL, '-1');

      const brief = await client.leaseClient.leaseGrant({ TTL: 1 });
      await client.kv.put({ key: bytes('lease/b'), value: bytes('1'), lease: brief.ID });
      const gone = async () => (await client.kv.range({ key: bytes('lease/b') })).kvs.length === 0;
      await until(gone, 'the lease to expire', 10_000);
      assert.equal((await client.leaseClient.leaseTimeToLive({ ID: brief.ID })).TTL, '-1');
      await assert.rejects(client.leaseClient.leaseRevoke({ ID: brief.ID }));
      assert.equal((await client.kv.range({ key: bytes('lease/a') })).kvs[0]?.lease, '4711');
    });

    // etcd does the same; here it is ours that has to prove it.
    if (name === 'twill-datastore') {
      it('keeps a lease over a restart, with a whole term', async () => {
        await client.leaseClient.leaseGrant({ TTL: 30, ID: '99' });
        await client.kv.put({ key: bytes('lease/kept'), value: bytes('1'), lease: '99' });
        const args = daemon.child.spawnargs.slice(1);
        await daemon.stop('SIGKILL');
        const listen = args[args.indexOf('--listen') + 1] ?? '';
        daemon = startTwillDatastore({ dataDir: `${directory.path}/data`, listen });
        await daemon.answers({ port: Number(listen.split(':')[1]) });
        const shown = await client.leaseClient.leaseTimeToLive({ ID: '99', keys: true });
        assert.ok(Number(shown.TTL) >= 25);
        assert.deepEqual(shown.keys.map(String), ['lease/kept']);
      });
    }
  });
}
