// When a revoked flow becomes suspect: only once the rules that revoke it are in the kernel, and not before.

import assert from 'node:assert/strict';
import type { CalcUpdate } from '../../../felix/calc/output.ts';
import { Revocation } from '../../../felix/dataplane/revocation.ts';
import { hostPrefix } from '../../../net/prefix.ts';

const workload = (revision: number): CalcUpdate => ({
  kind: 'workload',
  workload: {
    id: 'default/w',
    interfaceName: 'cali0',
    addresses: [hostPrefix(0x0a000001)],
    tiers: [],
    profiles: [],
    allowedSourcePrefixes: [],
    revision,
  },
});

const started = (): Revocation => {
  const revocation = new Revocation();
  revocation.receive(workload(1));
  revocation.receive({ kind: 'in-sync' });
  revocation.rendered();
  revocation.committed();
  revocation.takeSuspicion();
  return revocation;
};

describe('revocation', () => {
  it('suspects nothing of what is not in the kernel yet', () => {
    const revocation = started();
    revocation.receive(workload(2));
    assert.equal(revocation.takeSuspicion(), undefined);
    revocation.rendered();
    assert.equal(revocation.takeSuspicion(), undefined);
    // Comes while the transaction is under way: it is for the next one.
    revocation.receive({ kind: 'workload-removed', id: 'default/w' });
    revocation.committed();
    assert.deepEqual(revocation.takeSuspicion(), {
      released: new Set(),
      addresses: new Set([0x0a000001]),
      everything: false,
    });
    assert.equal(revocation.takeSuspicion(), undefined);
    revocation.rendered();
    revocation.committed();
    assert.deepEqual([...revocation.released()], [0x0a000001]);
  });

  it('keeps the suspicion of a transaction that failed until one succeeds', () => {
    const revocation = started();
    revocation.receive(workload(2));
    revocation.rendered();
    revocation.receive({ kind: 'workload-removed', id: 'default/w' });
    revocation.rendered();
    assert.equal(revocation.takeSuspicion(), undefined);
    revocation.committed();
    assert.deepEqual(revocation.takeSuspicion(), {
      released: new Set([0x0a000001]),
      addresses: new Set([0x0a000001]),
      everything: false,
    });
  });

  it('looks again at what a failed pass has not seen', () => {
    const revocation = started();
    revocation.receive(workload(2));
    revocation.rendered();
    revocation.committed();
    const suspicion = revocation.takeSuspicion() ?? assert.fail();
    revocation.suspectAgain(suspicion);
    assert.deepEqual(revocation.takeSuspicion(), suspicion);
  });
});
