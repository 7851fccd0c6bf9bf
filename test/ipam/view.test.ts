// The allocator's picture of the cluster, fed with stored resources: pools with their selectors, reservations, settings.

import assert from 'node:assert/strict';
import { ipamConfigKey, resourceKey } from '../../datastore/model/index.ts';
import { choosePools } from '../../ipam/pools.ts';
import { ClusterView } from '../../ipam/view.ts';
import { parseAddress } from '../../net/address.ts';

const stored = (kind: string, name: string, spec: unknown, labels = {}): string =>
  JSON.stringify({
    kind,
    apiVersion: 'projectcalico.org/v3',
    metadata: { name, labels, uid: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec,
  });

const pool = (name: string, spec: unknown) => ({
  key: resourceKey({ kind: 'IPPool', name }),
  value: stored('IPPool', name, spec),
  revision: 1,
});

const query = { family: 4, nodeLabels: { rack: 'a' }, namespaceLabels: {} } as const;

describe('ipam view', () => {
  it('follows pools as they come, change and go', () => {
    const view = new ClusterView('n');
    view.onUpdates([pool('p', { cidr: '10.0.0.0/16', nodeSelector: "rack == 'a'" })]);
    assert.equal(view.pools()[0]?.blockLength, 26);
    assert.equal(choosePools(view.pools(), query).pools.length, 1);
    assert.equal(choosePools(view.pools(), { ...query, nodeLabels: { rack: 'b' } }).pools.length, 0);
    view.onUpdates([pool('p', { cidr: '10.0.0.0/16', disabled: true })]);
    assert.equal(choosePools(view.pools(), query).pools.length, 0);
    view.onUpdates([{ key: resourceKey({ kind: 'IPPool', name: 'p' }), value: undefined, revision: 3 }]);
    assert.deepEqual(view.pools(), []);
  });

  it('counts a pool that it can not read as missing', () => {
    const view = new ClusterView('n');
    view.onUpdates([pool('p', { cidr: '10.0.0.0/16' })]);
    view.onUpdates([pool('p', { cidr: '10.0.0.1/16' })]);
    assert.deepEqual(view.pools(), []);
  });

  it('knows reservations, its own labels and the settings; unreadable settings are the strictest', () => {
    const view = new ClusterView('n');
    view.onUpdates([
      {
        key: resourceKey({ kind: 'IPReservation', name: 'r' }),
        value: stored('IPReservation', 'r', { reservedCIDRs: ['10.0.0.1/30', '10.0.0.9'] }),
        revision: 1,
      },
      { key: resourceKey({ kind: 'Node', name: 'n' }), value: stored('Node', 'n', {}, { rack: 'a' }), revision: 1 },
      { key: resourceKey({ kind: 'Node', name: 'n2' }), value: stored('Node', 'n2', {}, { rack: 'b' }), revision: 1 },
      { key: ipamConfigKey, value: '{"strict_affinity":false,"maxBlocksPerHost":3}', revision: 1 },
    ]);
    assert.equal(view.isReserved(parseAddress('10.0.0.3') ?? assert.fail()), true);
    assert.equal(view.isReserved(parseAddress('10.0.0.9') ?? assert.fail()), true);
    assert.equal(view.isReserved(parseAddress('10.0.0.4') ?? assert.fail()), false);
    assert.deepEqual(view.nodeLabels(), { rack: 'a' });
    assert.equal(view.config().maxBlocksPerHost, 3);
    view.onUpdates([{ key: ipamConfigKey, value: 'rubbish', revision: 2 }]);
    assert.equal(view.config().strict_affinity, true);
  });
});
