// What holds for every store of reports: the last one counts, each kind by itself, and one that is not renewed is gone.

import assert from 'node:assert/strict';
import type { EphemeralStore } from '../../datastore/ephemeral.ts';
import { until } from './until.ts';

export interface EphemeralHarness {
  /** Another client of the same store each time: one node's process. */
  open(): Promise<EphemeralStore>;
}

export function ephemeralContract(harness: () => EphemeralHarness): void {
  const nodesOf = async (store: EphemeralStore): Promise<string> =>
    (await store.read('status')).map(({ node }) => node).join();

  it('keeps the last report of each node and kind', async () => {
    const [a, b, reader] = [await harness().open(), await harness().open(), await harness().open()];
    assert.deepEqual(await reader.read('hits'), []);
    await b.publish('status', 'b', '{"is":"b"}', 60);
    await a.publish('status', 'a', '{"is":"first"}', 60);
    await a.publish('status', 'a', '{"is":"ä"}', 60);
    assert.deepEqual(await reader.read('status'), [
      { node: 'a', json: '{"is":"ä"}' },
      { node: 'b', json: '{"is":"b"}' },
    ]);
    assert.deepEqual(await reader.read('hits'), []);
    await a.publish('hits', 'a', '{}', 60);
    assert.deepEqual(await reader.read('hits'), [{ node: 'a', json: '{}' }]);
    for (const store of [a, b, reader]) await store.close();
  });

  it('forgets a node whose process stopped renewing', async () => {
    const [dying, living, reader] = [await harness().open(), await harness().open(), await harness().open()];
    await dying.publish('status', 'dying', '{}', 1);
    await living.publish('status', 'living', '{}', 60);
    assert.match(await nodesOf(reader), /dying.*living/);
    await dying.close();
    await until(async () => !(await nodesOf(reader)).includes('dying'), 'the report to end');
    assert.match(await nodesOf(reader), /living/);
    for (const store of [living, reader]) await store.close();
  });
}
