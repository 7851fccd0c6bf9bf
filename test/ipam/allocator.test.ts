// The allocator on the in-memory store: one transaction per assignment, races between nodes, borrowing, limits,
// reservations, and refusals that say why.

import assert from 'node:assert/strict';
import { KvError, type KvStore, type Transaction } from '../../datastore/kv.ts';
import { createMemoryStore } from '../../datastore/memory.ts';
import {
  affinityRoot,
  blockRoot,
  defaultIpamConfig,
  handleRoot,
  type IpamConfig,
  parseAffinity,
  parseBlock,
  parseHandle,
  partsOfAffinityKey,
} from '../../datastore/model/ipam.ts';
import { Allocator, type AssignRequest, type AssignResult, type IpamView } from '../../ipam/allocator.ts';
import type { Pool } from '../../ipam/pools.ts';
import { type IpamSnapshot, ipamProblems } from '../../ipam/usage.ts';
import { type Address, formatAddress, parseAddress } from '../../net/address.ts';
import { parsePrefix } from '../../net/prefix.ts';

const pool = (cidr: string, blockLength: number, change: Partial<Pool> = {}): Pool => ({
  name: `pool-${cidr}`,
  prefix: parsePrefix(cidr) ?? assert.fail(cidr),
  blockLength,
  disabled: false,
  automatic: true,
  servesWorkloads: true,
  selectsNode: () => true,
  selectsNamespace: () => true,
  ...change,
});

interface Cluster {
  readonly pools: readonly Pool[];
  readonly config?: Partial<IpamConfig>;
  readonly reserved?: readonly string[];
}

const view = ({ pools, config, reserved = [] }: Cluster): IpamView => ({
  pools: () => pools,
  config: () => ({ ...defaultIpamConfig, ...config }),
  nodeLabels: () => ({}),
  isReserved: (address) => reserved.includes(formatAddress(address)),
});

const allocator = (store: KvStore, node: string, cluster: Cluster): Allocator =>
  new Allocator({ store, node, view: view(cluster), now: () => 1_700_000_000_000 });

const request = (handle: string, change: Partial<AssignRequest> = {}): AssignRequest => ({
  handle,
  count: { 4: 1 },
  attributes: { node: handle.split('.')[0] ?? '' },
  ...change,
});

const assigned = (result: AssignResult): string[] => {
  if (result.kind !== 'assigned') assert.fail(result.message);
  return result.addresses.map(formatAddress);
};

const refused = (result: AssignResult): string =>
  result.kind === 'refused' ? `${result.reason}: ${result.message}` : assert.fail();

/** Counts what reaches the store. */
function counting(store: KvStore): {
  readonly store: KvStore;
  readonly calls: { reads: number; transactions: number };
} {
  const calls = { reads: 0, transactions: 0 };
  return {
    calls,
    store: {
      get: (key, options) => {
        calls.reads++;
        return store.get(key, options);
      },
      list: (prefix, options) => {
        calls.reads++;
        return store.list(prefix, options);
      },
      transact: (transaction) => {
        calls.transactions++;
        return store.transact(transaction);
      },
      watch: (prefix, from, handlers) => store.watch(prefix, from, handlers),
      grantLease: (ttl) => store.grantLease(ttl),
      compact: (revision) => store.compact(revision),
      status: () => store.status(),
      close: () => store.close(),
    },
  };
}

async function snapshot(
  store: KvStore,
  endpoints: readonly Address[],
  nodes: readonly string[],
): Promise<IpamSnapshot> {
  const blocks = (await store.list(blockRoot)).entries.flatMap(({ value }) => parseBlock(value) ?? []);
  const affinities = (await store.list(affinityRoot)).entries.flatMap(({ key, value }) => {
    const parts = partsOfAffinityKey(key);
    const affinity = parseAffinity(value);
    return parts && affinity ? [{ ...parts, affinity }] : [];
  });
  const handles = (await store.list(handleRoot)).entries.flatMap(({ key, value }) => {
    const handle = parseHandle(value);
    return handle ? [{ id: key.slice(handleRoot.length), handle }] : [];
  });
  return {
    blocks,
    affinities,
    handles,
    nodes: new Set(nodes),
    endpoints: new Map(endpoints.map((one) => [one, 'pod'])),
  };
}

describe('ipam allocator', () => {
  let store: KvStore;
  beforeEach(() => {
    store = createMemoryStore();
  });
  afterEach(() => store.close());

  it('claims a block with the first address and then needs one transaction per assignment', async () => {
    const counted = counting(store);
    const a = allocator(counted.store, 'a', { pools: [pool('10.0.0.0/16', 26)] });
    assigned(await a.assign(request('a.1')));
    counted.calls.reads = 0;
    counted.calls.transactions = 0;
    for (let i = 2; i < 12; i++) assigned(await a.assign(request(`a.${i}`)));
    assert.deepEqual(counted.calls, { reads: 0, transactions: 10 });
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a'])), []);
  });

  it('gives up a block that no pool has any more, with its affinity, when the last address goes', async () => {
    const node = (name: string, pools: readonly Pool[]) =>
      allocator(store, name, { pools, config: { ipCooldownSeconds: 30 } });
    const before = node('a', [pool('10.0.0.0/16', 26)]);
    assigned(await before.assign(request('a.1')));
    assigned(await before.assign(request('a.2')));
    const keys = async () => [
      (await store.list(blockRoot)).entries.length,
      (await store.list(affinityRoot)).entries.length,
    ];
    const pools = [pool('10.1.0.0/16', 26)];
    const after = node('a', pools);
    await after.releaseByHandle('a.1');
    assert.deepEqual(await keys(), [1, 1]);
    // Another node may be the one that cleans up.
    await node('b', pools).releaseByHandle('a.2');
    assert.deepEqual(await keys(), [0, 0]);
    assert.match(assigned(await after.assign(request('a.3'))).join(), /^10\.1\./);
    await after.releaseByHandle('a.3');
    assert.deepEqual(await keys(), [1, 1]);
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a'])), []);
  });

  it('writes what the caller wants in the same transaction, and nothing when that may not be', async () => {
    const a = allocator(store, 'a', { pools: [pool('10.0.0.0/16', 26)] });
    const also: AssignRequest['also'] = (addresses) => ({
      compare: [{ key: '/endpoint', target: 'version', is: 0 }],
      then: [{ kind: 'put', key: '/endpoint', value: addresses.map(formatAddress).join() }],
    });
    const result = await a.assign(request('a.1', { also }));
    const [address] = assigned(result);
    const entry = await store.get('/endpoint');
    assert.equal(entry?.value, address);
    assert.equal(entry?.modRevision, result.kind === 'assigned' && result.revision);
    assert.match(
      refused(await a.assign(request('a.2', { also }))),
      /^conflict: \/endpoint was changed by somebody else/,
    );
    assert.equal(await store.get(`${handleRoot}a.2`), undefined);
  });

  it('frees by handle, with the endpoint, and again without harm', async () => {
    const a = allocator(store, 'a', { pools: [pool('10.0.0.0/28', 28)] });
    const [address] = assigned(await a.assign(request('a.1')));
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/endpoint', value: 'x' }] });
    const released = await a.releaseByHandle('a.1', [{ kind: 'delete', key: '/endpoint' }]);
    assert.deepEqual(released.released.map(formatAddress), [address]);
    assert.equal(await store.get('/endpoint'), undefined);
    assert.deepEqual((await a.releaseByHandle('a.1')).released, []);
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a'])), []);
  });

  it('borrows when there is no free block, but not with strict affinity', async () => {
    const pools = [pool('10.0.0.0/29', 30)];
    const a = allocator(store, 'a', { pools });
    const b = allocator(store, 'b', { pools });
    for (let i = 0; i < 5; i++) assigned(await a.assign(request(`a.${i}`)));
    for (let i = 0; i < 3; i++) assigned(await b.assign(request(`b.${i}`)));
    assert.match(
      refused(await b.assign(request('b.3'))),
      /^exhausted: no free IPv4 address: all addresses of pool-10.0.0.0\/29/,
    );
    await a.releaseByHandle('a.0');
    const strict = allocator(store, 'c', { pools, config: { strict_affinity: true } });
    assert.match(refused(await strict.assign(request('c.0'))), /strict affinity forbids borrowing/);
    assigned(await b.assign(request('b.4')));
  });

  it('stops at maxBlocksPerHost', async () => {
    const cluster = { pools: [pool('10.0.0.0/24', 30)], config: { maxBlocksPerHost: 1, strict_affinity: true } };
    const a = allocator(store, 'a', cluster);
    for (let i = 0; i < 4; i++) assigned(await a.assign(request(`a.${i}`)));
    assert.match(refused(await a.assign(request('a.4'))), /this node has its 1 blocks \(maxBlocksPerHost\)/);
  });

  it('never gives reserved addresses, unless asked for by name', async () => {
    const cluster = { pools: [pool('10.0.0.0/30', 30)], reserved: ['10.0.0.0', '10.0.0.2'] };
    const a = allocator(store, 'a', cluster);
    const both = [...assigned(await a.assign(request('a.0'))), ...assigned(await a.assign(request('a.1')))];
    assert.deepEqual(both, ['10.0.0.1', '10.0.0.3']);
    assert.match(refused(await a.assign(request('a.2'))), /in use or reserved/);
    const wanted = { addresses: [parseAddress('10.0.0.2') ?? assert.fail()] };
    assert.deepEqual(assigned(await a.assign(request('a.3', wanted))), ['10.0.0.2']);
    assert.match(refused(await a.assign(request('a.4', wanted))), /10.0.0.2 is not free: a.3 has it/);
  });

  it('says for each pool why it does not serve', async () => {
    const cluster = {
      pools: [
        pool('10.0.0.0/24', 26, { disabled: true }),
        pool('10.1.0.0/24', 26, { selectsNode: () => false }),
        pool('10.2.0.0/24', 26, { automatic: false }),
      ],
    };
    const a = allocator(store, 'a', cluster);
    const message = refused(await a.assign(request('a.1')));
    assert.match(
      message,
      /pool-10.0.0.0\/24 .*: it is disabled; .*its nodeSelector does not match.*assignmentMode is Manual/,
    );
    assert.deepEqual(assigned(await a.assign(request('a.1', { pools: ['10.2.0.0/24'] }))).length, 1);
    assert.match(refused(await a.assign(request('a.2', { pools: ['nope'] }))), /there is no pool "nope"/);
  });

  it('gives both families or none', async () => {
    const a = allocator(store, 'a', { pools: [pool('10.0.0.0/24', 26), pool('fd00::/112', 122)] });
    const addresses = assigned(await a.assign(request('a.1', { count: { 4: 1, 6: 1 } })));
    assert.deepEqual(
      addresses.map((text) => text.includes(':')),
      [false, true],
    );
    const only4 = allocator(store, 'b', { pools: [pool('10.0.0.0/24', 26)] });
    assert.match(refused(await only4.assign(request('b.1', { count: { 4: 1, 6: 1 } }))), /no IPv6 pool/);
    assert.equal(await store.get(`${handleRoot}b.1`), undefined);
  });

  it('never gives an address twice to nodes that race for a small pool', async () => {
    const pools = [pool('10.0.0.0/26', 29)];
    const nodes = ['a', 'b', 'c', 'd'].map((node) => ({ node, allocator: allocator(store, node, { pools }) }));
    const results = await Promise.all(
      nodes.flatMap(({ node, allocator: one }) =>
        Array.from({ length: 20 }, (_, i) => one.assign(request(`${node}.${i}`))),
      ),
    );
    const all = results.flatMap((result) => (result.kind === 'assigned' ? result.addresses.map(formatAddress) : []));
    assert.equal(new Set(all).size, all.length);
    assert.equal(all.length, 64);
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a', 'b', 'c', 'd'])), []);
  });

  it('resolves a write of unknown outcome by reading back', async () => {
    for (const happened of [true, false]) {
      let faults = 1;
      const flaky: KvStore = {
        ...counting(store).store,
        transact: async (transaction: Transaction) => {
          if (faults-- <= 0) return store.transact(transaction);
          if (happened) await store.transact(transaction);
          throw new KvError('unknown-outcome', 'the connection broke');
        },
      };
      const a = allocator(flaky, `n${happened}`, { pools: [pool('10.0.0.0/24', 26)] });
      assert.equal(assigned(await a.assign(request(`n${happened}.1`))).length, 1);
    }
    const { blocks } = await snapshot(store, [], []);
    for (const block of blocks) assert.equal(block.allocations.filter((index) => index !== null).length, 1);
  });

  const oneEndpoint = (key: string): NonNullable<AssignRequest['also']> => {
    return () => ({
      compare: [{ key, target: 'version', is: 0 }],
      then: [{ kind: 'put', key, value: 'x' }],
    });
  };

  it('carries out in one transaction what waits, across blocks, and releases likewise', async () => {
    const counted = counting(store);
    const a = allocator(counted.store, 'a', { pools: [pool('10.0.0.0/16', 29)] });
    const names = Array.from({ length: 30 }, (_, i) => `a.${i}`);
    const results = await Promise.all(
      names.map((name) => a.assign(request(name, { also: oneEndpoint(`/e/${name}`) }))),
    );
    assert.equal(new Set(results.flatMap(assigned)).size, 30);
    assert.equal(counted.calls.transactions, 1);
    assert.equal((await snapshot(store, [], [])).blocks.length, 4, 'requests fill the new blocks of those before');
    const revisions = new Set(results.map((result) => result.kind === 'assigned' && result.revision));
    assert.equal(revisions.size, 1);
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a'])), []);

    counted.calls.transactions = 0;
    const released = await Promise.all(
      names.map((name) => a.releaseByHandle(name, [{ kind: 'delete', key: `/e/${name}` }])),
    );
    assert.deepEqual(
      released.flatMap((one) => one.released.map(formatAddress)).sort(),
      results.flatMap(assigned).sort(),
    );
    assert.equal(counted.calls.transactions, 1);
    assert.deepEqual((await store.list('/e/')).entries, []);
    assert.deepEqual((await store.list(handleRoot)).entries, []);
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a'])), []);
  });

  it("stays within etcd's limits for a transaction, however many wait", async () => {
    const most = { compare: 0, then: 0, otherwise: 0 };
    const watched: KvStore = {
      ...counting(store).store,
      transact: (transaction) => {
        most.compare = Math.max(most.compare, transaction.compare.length);
        most.then = Math.max(most.then, transaction.then.length);
        most.otherwise = Math.max(most.otherwise, transaction.otherwise?.length ?? 0);
        return store.transact(transaction);
      },
    };
    const a = allocator(watched, 'a', { pools: [pool('10.0.0.0/16', 28)] });
    const names = Array.from({ length: 300 }, (_, i) => `a.${i}`);
    const results = await Promise.all(
      names.map((name) => a.assign(request(name, { also: oneEndpoint(`/e/${name}`) }))),
    );
    assert.equal(new Set(results.flatMap(assigned)).size, 300);
    assert.ok(most.compare > 100 && Math.max(...Object.values(most)) <= 128, JSON.stringify(most));
    await Promise.all(names.map((name) => a.releaseByHandle(name)));
    assert.deepEqual((await store.list(handleRoot)).entries, []);
    assert.ok(Math.max(...Object.values(most)) <= 128, JSON.stringify(most));
  });

  it('leaves the others alone when one of many is refused', async () => {
    const a = allocator(store, 'a', { pools: [pool('10.0.0.0/29', 29)], config: { strict_affinity: true } });
    await store.transact({ compare: [], then: [{ kind: 'put', key: '/e/taken', value: 'somebody else' }] });
    const outside = { addresses: [parseAddress('192.0.2.1') ?? assert.fail()] };
    const requests = [
      request('a.0', { also: oneEndpoint('/e/0') }),
      request('a.1', outside),
      request('a.2', { also: oneEndpoint('/e/taken') }),
      request('a.3', { pools: ['nope'] }),
      request('a.4', { also: oneEndpoint('/e/4') }),
      request('a.5', { count: { 4: 7 } }),
    ];
    const results = await Promise.all(requests.map((one) => a.assign(one)));
    const kinds = results.map((result) => (result.kind === 'refused' ? result.reason : result.kind));
    assert.deepEqual(kinds, ['assigned', 'address-outside-pools', 'conflict', 'no-pool', 'assigned', 'exhausted']);
    const handles = (await store.list(handleRoot)).entries.map(({ key }) => key.slice(handleRoot.length));
    assert.deepEqual(handles, ['a.0', 'a.4']);
    assert.equal((await store.get('/e/taken'))?.value, 'somebody else');
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a'])), []);
  });

  it('keeps the order of requests for one handle', async () => {
    const a = allocator(store, 'a', { pools: [pool('10.0.0.0/24', 26)] });
    const [first, freed, second] = await Promise.all([
      a.assign(request('a.1')),
      a.releaseByHandle('a.1'),
      a.assign(request('a.1')),
    ]);
    assert.deepEqual(freed.released.map(formatAddress), assigned(first));
    assert.notDeepEqual(assigned(second), assigned(first));
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['a'])), []);
  });

  it('finds out for each of many whether a write of unknown outcome happened', async () => {
    for (const happened of [true, false]) {
      let faults = 1;
      const flaky: KvStore = {
        ...counting(store).store,
        transact: async (transaction: Transaction) => {
          if (faults-- <= 0) return store.transact(transaction);
          if (happened) await store.transact(transaction);
          throw new KvError('unknown-outcome', 'the connection broke');
        },
      };
      const node = `n${happened}`;
      const a = allocator(flaky, node, { pools: [pool('10.0.0.0/24', 26)] });
      const names = Array.from({ length: 10 }, (_, i) => `${node}.${i}`);
      const results = await Promise.all(
        names.map((name) => a.assign(request(name, { also: oneEndpoint(`/e/${name}`) }))),
      );
      assert.equal(new Set(results.flatMap(assigned)).size, 10);
      faults = 1;
      const released = await Promise.all(names.map((name) => a.releaseByHandle(name)));
      assert.equal(released.length, 10);
      assert.deepEqual((await store.list(`${handleRoot}${node}`)).entries, []);
    }
    assert.deepEqual(ipamProblems(await snapshot(store, [], ['ntrue', 'nfalse'])), []);
  });

  it('rejects all that were in a transaction that could not be sent, and goes on', async () => {
    let faults = 1;
    const flaky: KvStore = {
      ...counting(store).store,
      transact: async (transaction: Transaction) => {
        if (faults-- > 0) throw new KvError('unavailable', 'nobody answers');
        return store.transact(transaction);
      },
    };
    const a = allocator(flaky, 'a', { pools: [pool('10.0.0.0/24', 26)] });
    const outcomes = await Promise.allSettled(['a.0', 'a.1', 'a.2'].map((name) => a.assign(request(name))));
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    assert.equal(assigned(await a.assign(request('a.3'))).length, 1);
  });
});
