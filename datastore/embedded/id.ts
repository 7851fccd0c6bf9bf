// Ids of clusters and leases.

import { randomBytes } from 'node:crypto';

/** A random id as etcd makes them: 63 bits, not zero, in decimal. */
export function newId(): string {
  const id = randomBytes(8).readBigUInt64BE() >> 1n;
  return String(id === 0n ? 1n : id);
}
