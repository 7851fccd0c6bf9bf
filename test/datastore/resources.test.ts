// Typed access to resources: identity, compare-and-swap, refusals, and what bootstrap makes.

import assert from 'node:assert/strict';
import { bootstrap, datastoreReady } from '../../datastore/bootstrap.ts';
import { KvError } from '../../datastore/kv.ts';
import { createMemoryStore } from '../../datastore/memory.ts';
import { type DraftOf, resourceKey } from '../../datastore/model/index.ts';
import {
  AlreadyExistsError,
  ConflictError,
  ForbiddenError,
  InvalidError,
  NotFoundError,
  Resources,
} from '../../datastore/resources.ts';

const apiVersion = 'projectcalico.org/v3';
const now = () => new Date('2026-11-21T05:00:00.123Z');

function setUp() {
  const store = createMemoryStore();
  let uid = 0;
  return { store, resources: new Resources(store, { now, newUid: () => `uid-${++uid}` }) };
}

const pool = (name: string, cidr: string): DraftOf<'IPPool'> => ({
  kind: 'IPPool',
  apiVersion,
  metadata: { name },
  spec: { cidr },
});

describe('resources', () => {
  it('stores Calico’s JSON under Calico’s key', async () => {
    const { store, resources } = setUp();
    const created = await resources.create<'IPPool'>(pool('main', '10.0.0.0/16'));
    const entry = await store.get('/calico/resources/v3/projectcalico.org/ippools/main');
    assert.deepEqual(JSON.parse(entry?.value ?? ''), {
      kind: 'IPPool',
      apiVersion,
      metadata: { name: 'main', uid: 'uid-1', creationTimestamp: '2026-11-21T05:00:00Z' },
      spec: {
        cidr: '10.0.0.0/16',
        vxlanMode: 'Never',
        ipipMode: 'Never',
        blockSize: 26,
        nodeSelector: 'all()',
        allowedUses: ['Workload', 'Tunnel'],
        assignmentMode: 'Automatic',
      },
    });
    assert.equal(created.metadata.resourceVersion, String(entry?.modRevision));
    assert.deepEqual(await resources.get('IPPool', 'main'), created);
  });

  it('refuses to create twice, and to read or delete what is not there', async () => {
    const { resources } = setUp();
    await resources.create<'IPPool'>(pool('main', '10.0.0.0/16'));
    await assert.rejects(resources.create<'IPPool'>(pool('main', '10.1.0.0/16')), AlreadyExistsError);
    await assert.rejects(resources.get('IPPool', 'other'), NotFoundError);
    await assert.rejects(resources.delete('IPPool', 'other'), /resource does not exist: IPPool\(other\)/);
    await assert.rejects(resources.update<'IPPool'>(pool('other', '10.2.0.0/16')), NotFoundError);
  });

  it('updates only from the version that was read', async () => {
    const { resources } = setUp();
    const first = await resources.create<'IPPool'>(pool('main', '10.0.0.0/16'));
    const second = await resources.update<'IPPool'>({ ...first, spec: { ...first.spec, natOutgoing: true } });
    assert.equal(second.metadata.uid, first.metadata.uid);
    await assert.rejects(
      resources.update<'IPPool'>({ ...first, spec: { ...first.spec, disabled: true } }),
      ConflictError,
    );
    const blind = await resources.update<'IPPool'>(pool('main', '10.0.0.0/16'));
    assert.equal(blind.metadata.uid, first.metadata.uid);
    assert.equal(blind.spec.natOutgoing, undefined);
    await assert.rejects(resources.delete('IPPool', 'main', undefined, first.metadata.resourceVersion), ConflictError);
    await resources.delete('IPPool', 'main', undefined, blind.metadata.resourceVersion);
    assert.equal(await resources.find('IPPool', 'main'), undefined);
  });

  it('keeps immutable fields, refuses overlaps and missing tiers', async () => {
    const { resources } = setUp();
    await resources.create<'IPPool'>(pool('main', '10.0.0.0/16'));
    await assert.rejects(resources.update<'IPPool'>(pool('main', '10.1.0.0/16')), /spec.cidr: cannot change/);
    await assert.rejects(resources.create<'IPPool'>(pool('sub', '10.0.4.0/24')), /overlaps IPPool main/);
    const policy: DraftOf<'NetworkPolicy'> = {
      kind: 'NetworkPolicy',
      apiVersion,
      metadata: { name: 'allow', namespace: 'prod' },
      spec: { tier: 'security' },
    };
    await assert.rejects(resources.create<'NetworkPolicy'>(policy), InvalidError);
    await resources.create<'Tier'>({ kind: 'Tier', apiVersion, metadata: { name: 'security' }, spec: { order: 10 } });
    const created = await resources.create<'NetworkPolicy'>(policy);
    assert.deepEqual(created.metadata.labels, { 'projectcalico.org/tier': 'security' });
    await assert.rejects(resources.delete('Tier', 'security'), ForbiddenError);
    await resources.delete('NetworkPolicy', 'allow', 'prod');
    await resources.delete('Tier', 'security');
  });

  it('refuses block sizes that do not fit what is left, and other uses of a pool for balancers', async () => {
    const { store, resources } = setUp();
    await store.transact({
      compare: [],
      then: [{ kind: 'put', key: '/calico/ipam/v2/assignment/ipv4/block/10.0.1.0-26', value: '{}' }],
    });
    const draft = pool('main', '10.0.0.0/16');
    await assert.rejects(
      resources.create<'IPPool'>({ ...draft, spec: { ...draft.spec, blockSize: 28 } }),
      /spec.blockSize: does not fit 10.0.1.0\/26, .* set 26/,
    );
    await resources.create<'IPPool'>(draft);
    const balancers = pool('balancers', '192.0.2.0/24');
    await resources.create<'IPPool'>({ ...balancers, spec: { ...balancers.spec, allowedUses: ['LoadBalancer'] } });
    await assert.rejects(resources.update<'IPPool'>(balancers), /spec.allowedUses: cannot change from LoadBalancer/);
  });

  it('stores a pool’s range in canonical text', async () => {
    const { resources } = setUp();
    const created = await resources.create<'IPPool'>(pool('six', 'FD00:0:0::/64'));
    assert.equal(created.spec.cidr, 'fd00::/64');
    await resources.update<'IPPool'>(pool('six', 'fd00:0::/64'));
  });

  for (const happened of [true, false]) {
    it(`finds out what became of a write without an answer (it ${happened ? 'had' : 'had not'} happened)`, async () => {
      const { store, resources } = setUp();
      const transact = store.transact.bind(store);
      let unanswered = false;
      store.transact = async (transaction) => {
        if (!unanswered) return await transact(transaction);
        unanswered = false;
        if (happened) await transact(transaction);
        throw new KvError('unknown-outcome', 'no answer');
      };
      unanswered = true;
      const created = await resources.create<'IPPool'>(pool('main', '10.0.0.0/16'));
      assert.deepEqual(await resources.get('IPPool', 'main'), created);
      unanswered = true;
      const updated = await resources.update<'IPPool'>({ ...created, spec: { ...created.spec, disabled: true } });
      assert.deepEqual(await resources.get('IPPool', 'main'), updated);
      assert.equal(updated.spec.disabled, true);
      unanswered = true;
      await resources.delete('IPPool', 'main');
      assert.equal(await resources.find('IPPool', 'main'), undefined);
    });
  }

  it('keeps what newer versions have written', async () => {
    const { store, resources } = setUp();
    const key = resourceKey({ kind: 'IPPool', name: 'main' });
    const stored = {
      kind: 'IPPool',
      apiVersion,
      metadata: { name: 'main', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z', newer: 1 },
      spec: { cidr: '10.0.0.0/16', colour: 'green' },
      extra: [1],
    };
    await store.transact({ compare: [], then: [{ kind: 'put', key, value: JSON.stringify(stored) }] });
    const read = await resources.get('IPPool', 'main');
    assert.equal(read.spec.blockSize, 26);
    assert.equal('colour' in read.spec, true);
  });

  it('lists valid and invalid ones apart', async () => {
    const { store, resources } = setUp();
    await resources.create<'IPPool'>(pool('main', '10.0.0.0/16'));
    const key = resourceKey({ kind: 'IPPool', name: 'broken' });
    await store.transact({ compare: [], then: [{ kind: 'put', key, value: '{"kind":"IPPool"}' }] });
    const list = await resources.list('IPPool');
    assert.deepEqual(
      list.resources.map((found) => found.metadata.name),
      ['main'],
    );
    assert.deepEqual(
      list.invalid.map((found) => found.id.name),
      ['broken'],
    );
  });

  it('bootstraps once, from any number of nodes', async () => {
    const { store, resources } = setUp();
    const options = { version: '0.1.0', clusterType: ['etcd'], pools: { ipv4: { cidr: '192.168.0.0/16' } } };
    const made = await Promise.all([1, 2, 3].map(() => bootstrap(new Resources(store), options)));
    assert.deepEqual(made.flat().sort(), [
      'ClusterInformation/default',
      'FelixConfiguration/default',
      'IPPool/default-ipv4-ippool',
      'Tier/default',
      'Tier/kube-admin',
      'Tier/kube-baseline',
    ]);
    assert.equal(await datastoreReady(resources), true);
    const revision = (await resources.list('Tier')).revision;
    assert.deepEqual(await bootstrap(resources, options), []);
    assert.equal((await resources.list('Tier')).revision, revision);
    await assert.rejects(resources.delete('Tier', 'default'), ForbiddenError);
  });
});
