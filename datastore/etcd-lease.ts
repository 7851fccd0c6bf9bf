// A lease that is kept alive: renewed each third of its term, on whatever endpoint works, and given up as lost when the
// server does not know it any more or when a whole term passed without an answer.

import type { ILeaseKeepAliveResponse } from 'etcd3';
import type { EtcdConnection } from './etcd-connection.ts';
import { KvError, type Lease } from './kv.ts';

export class EtcdLease implements Lease {
  readonly id: string;
  readonly #connection: EtcdConnection;
  readonly #ttlMs: number;
  readonly #callbacks: (() => void)[] = [];
  #aliveUntilMs: number;
  #timer: NodeJS.Timeout | undefined;
  #state: 'alive' | 'lost' | 'ended' = 'alive';

  constructor(connection: EtcdConnection, id: string, ttlSec: number, grantedAtMs: number) {
    this.#connection = connection;
    this.id = id;
    this.#ttlMs = ttlSec * 1000;
    this.#aliveUntilMs = grantedAtMs + this.#ttlMs;
    this.#schedule(this.#ttlMs / 3);
  }

  get alive(): boolean {
    return this.#state === 'alive';
  }

  onLost(callback: () => void): void {
    if (this.#state === 'lost') queueMicrotask(callback);
    else this.#callbacks.push(callback);
  }

  async revoke(): Promise<void> {
    this.stop();
    try {
      await this.#connection.call('write', (client, options) =>
        client.leaseClient.leaseRevoke({ ID: this.id }, options),
      );
    } catch (error) {
      // Not known: it has expired, which is what was wanted.
      if (!(error instanceof KvError && error.code === 'invalid')) throw error;
    }
  }

  /** No more renewals: the lease ends by itself after its term. */
  stop(): void {
    clearTimeout(this.#timer);
    if (this.#state === 'alive') this.#state = 'ended';
  }

  #schedule(delayMs: number): void {
    if (this.#state !== 'alive') return;
    this.#timer = setTimeout(() => void this.#renew(), delayMs);
  }

  async #renew(): Promise<void> {
    const sentAtMs = Date.now();
    try {
      const remainingSec = await this.#connection.call('read', (client, options) =>
        client.leaseClient.leaseKeepAlive(options).then((stream) => {
          return new Promise<number>((resolve, reject) => {
            stream.on('data', (response: ILeaseKeepAliveResponse) => {
              resolve(Number(response.TTL));
              stream.end();
            });
            stream.on('error', reject);
            stream.on('end', () => reject(new KvError('unavailable', 'the server ended the stream of a lease')));
            stream.write({ ID: this.id });
          });
        }),
      );
      if (remainingSec <= 0) {
        this.#lose();
      } else {
        this.#aliveUntilMs = sentAtMs + this.#ttlMs;
        this.#schedule(this.#ttlMs / 3);
      }
    } catch {
      const leftMs = this.#aliveUntilMs - Date.now();
      if (leftMs <= 0) this.#lose();
      else this.#schedule(Math.min(leftMs, this.#ttlMs / 10));
    }
  }

  #lose(): void {
    if (this.#state !== 'alive') return;
    this.#state = 'lost';
    for (const callback of this.#callbacks) callback();
  }
}
