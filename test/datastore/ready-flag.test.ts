// Whether the datastore is locked follows ClusterInformation, and only where it can be read.

import assert from 'node:assert/strict';
import { ReadyFlag } from '../../datastore/ready-flag.ts';

describe('datastore/ready-flag', () => {
  const information = (spec: unknown): string =>
    JSON.stringify({
      kind: 'ClusterInformation',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'default' },
      spec,
    });

  it('follows what is said, keeps it over nonsense, and is open when nothing is said', () => {
    const flag = new ReadyFlag();
    const lockedBy = (value: string | undefined, key = ReadyFlag.key): boolean => {
      flag.onUpdates([{ key, value, revision: 5 }]);
      return flag.locked;
    };
    assert.equal(flag.locked, false);
    assert.equal(lockedBy(information({ datastoreReady: true })), false);
    assert.equal(lockedBy(information({ datastoreReady: false })), true);
    assert.equal(lockedBy(information({ datastoreReady: true }), `${ReadyFlag.key}-other`), true, 'another key');
    assert.equal(lockedBy('nonsense'), true);
    assert.equal(lockedBy(information({})), false);
    lockedBy(information({ datastoreReady: false }));
    assert.equal(lockedBy(undefined), false);
  });
});
