// Reports in Redis: the only user of ioredis.
//
//   twill:<kind>:<node>   the report, with a time to live
//   twill:<kind>          sorted set of the nodes that report, by the time at which their report ends
//
// The index spares a scan over all of Redis' keys. A node whose report has ended is in it until somebody reads.

import type { Redis } from 'ioredis';
import { KvError } from './kv.ts';
import type { EphemeralStore, Report, ReportKind } from './reports.ts';

const requestTimeoutMs = 2000;
const longestReconnectMs = 2000;

const options = {
  lazyConnect: true,
  commandTimeout: requestTimeoutMs,
  connectTimeout: requestTimeoutMs,
  // A report that can not be sent now is worth nothing later: fail instead of queueing.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  retryStrategy: (attempt: number) => Math.min(attempt * 100, longestReconnectMs),
} as const;

/** Connects at the first use and again whenever the connection was lost. Throws a KvError for a URL that is none. */
export async function openRedis(url: string): Promise<EphemeralStore> {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(url);
  if (!unix && !/^rediss?:\/\//.test(url)) {
    throw new KvError(
      'invalid',
      `"${url}" is not a Redis address: redis://host:port, rediss://host:port or unix:/path is needed`,
    );
  }
  // Loaded here: programs without Redis need not pay for it.
  const ioredis = await import('ioredis');
  return new RedisReports(new ioredis.Redis(unix?.[1] ?? url, options));
}

class RedisReports implements EphemeralStore {
  readonly where = 'redis';
  readonly #redis: Redis;
  #lastError = 'not connected yet';

  constructor(redis: Redis) {
    this.#redis = redis;
    // Without a listener ioredis prints every lost connection.
    redis.on('error', (error: Error) => {
      this.#lastError = error.message;
    });
  }

  async publish(kind: ReportKind, node: string, json: string, ttlSec: number): Promise<void> {
    await this.#connect();
    const index = `twill:${kind}`;
    const ends = Date.now() + ttlSec * 1000;
    const transaction = this.#redis.multi().set(`${index}:${node}`, json, 'EX', ttlSec).zadd(index, ends, node);
    await this.#answered(transaction.exec());
  }

  async read(kind: ReportKind): Promise<readonly Report[]> {
    await this.#connect();
    const index = `twill:${kind}`;
    await this.#answered(this.#redis.zremrangebyscore(index, '-inf', Date.now()));
    const nodes = (await this.#answered(this.#redis.zrange(index, 0, '-1'))).sort();
    if (nodes.length === 0) return [];
    const values = await this.#answered(this.#redis.mget(nodes.map((node) => `${index}:${node}`)));
    return nodes.flatMap((node, i) => {
      const json = values[i];
      return typeof json === 'string' ? [{ node, json }] : [];
    });
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }

  async #connect(): Promise<void> {
    if (this.#redis.status === 'wait' || this.#redis.status === 'end') await this.#answered(this.#redis.connect());
    if (this.#redis.status !== 'ready') throw new KvError('unavailable', `Redis does not answer: ${this.#lastError}`);
  }

  async #answered<T>(reply: Promise<T>): Promise<T> {
    try {
      return await reply;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const denied = /^(NOAUTH|WRONGPASS|NOPERM)/.test(reason);
      throw new KvError(denied ? 'permission-denied' : 'unavailable', `Redis: ${reason}`, { cause: error });
    }
  }
}
