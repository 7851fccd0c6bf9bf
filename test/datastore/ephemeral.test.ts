// Reports of nodes under leases of the in-memory store, and the refusal of an address that is no Redis.

import assert from 'node:assert/strict';
import { openEphemeral } from '../../datastore/ephemeral.ts';
import { createMemoryStore, type MemoryStore } from '../../datastore/memory.ts';
import { ephemeralContract } from './ephemeral-contract.ts';

describe('reports in the datastore', () => {
  let store: MemoryStore;
  beforeEach(() => {
    store = createMemoryStore();
  });
  afterEach(() => store.close());

  ephemeralContract(() => ({ open: () => openEphemeral({ store }) }));

  it('says what a Redis address looks like', async () => {
    await assert.rejects(
      openEphemeral({ store, redisUrl: 'localhost:6379' }),
      /"localhost:6379" is not a Redis address: redis:\/\//,
    );
  });
});
