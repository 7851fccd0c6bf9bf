// The supervisor's own services: this node's resource in the datastore, and the CNI server with its address allocator.
//
// They start when the datastore answers and go on when it goes away: an ADD then fails with "try again later", and what
// runs stays as it is.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { serveCni } from '../cni/server.ts';
import { bootstrap } from '../datastore/bootstrap.ts';
import { openEphemeral } from '../datastore/ephemeral.ts';
import { openStore } from '../datastore/etcd.ts';
import type { KvError, KvStore } from '../datastore/kv.ts';
import { LOCKED_REASON, ReadyFlag } from '../datastore/ready-flag.ts';
import { Resources } from '../datastore/resources.ts';
import { type Syncer, startSyncer } from '../datastore/syncer.ts';
import { Allocator } from '../ipam/allocator.ts';
import { ClusterView } from '../ipam/view.ts';
import { ControlError, callControl } from '../runtime/control.ts';
import type { Logger } from '../runtime/log.ts';
import { version } from '../runtime/version.ts';
import { defaultPoolRange, uniqueLocalRange } from './default-pool.ts';
import { askedFor, firstIpv4Pool, firstIpv6Pool } from './first-pools.ts';
import type { Readiness } from './health.ts';
import { ensureNode } from './node-resource.ts';
import { bgpSocket, cniSocket, felixSocket, type NodeOptions } from './options.ts';
import { startReporting } from './report.ts';

export interface NodeServices {
  cniServing(): boolean;
  stop(): Promise<void>;
}

const retryMs = { first: 100, most: 5000 };

/** Rejects only for what no waiting can mend: a malformed endpoint, an unreadable certificate. */
export async function runNodeServices(
  options: NodeOptions,
  readiness: () => Promise<Readiness>,
  log: Logger,
): Promise<NodeServices> {
  const store = await openStore(options);
  const ephemeral = await openEphemeral({ redisUrl: options.redisUrl, store });
  const stopping = new AbortController();
  const started = {
    cni: undefined as { close(): Promise<void> } | undefined,
    view: undefined as ViewSyncer | undefined,
  };
  const starting = start();
  const stopReporting = options.reportInterval === 0 ? undefined : report();

  function report(): () => void {
    return startReporting({
      ephemeral,
      node: options.nodeName,
      felixSocket: felixSocket(options),
      bgpSocket: bgpSocket(options),
      readiness,
      intervalSec: options.reportInterval,
      log: log.child({ component: 'report' }),
    });
  }

  async function start(): Promise<void> {
    await persistently('node resource', stopping.signal, log, () => prepareDatastore(store, options, log));
    if (stopping.signal.aborted) return;
    started.view = followCluster(store, options.nodeName, log);
    const allocator = new Allocator({ store, node: options.nodeName, view: started.view.view, now: Date.now });
    await persistently('cni server', stopping.signal, log, async () => {
      started.cni = await serveCni({
        store,
        allocator,
        nodeName: options.nodeName,
        socketPath: cniSocket(options),
        awaitEndpoint: (id, revision, timeoutMs) => awaitEndpoint(felixSocket(options), id, revision, timeoutMs),
        policyStatus: () => policyStatus(felixSocket(options)),
        ready: () => started.view?.notReady(),
        log: log.child({ component: 'cni' }),
      });
    });
  }

  return {
    cniServing: () => started.cni !== undefined,
    stop: async () => {
      stopping.abort();
      stopReporting?.();
      await starting;
      await started.cni?.close();
      started.view?.syncer.close();
      await ephemeral.close();
      await store.close();
    },
  };
}

async function prepareDatastore(store: KvStore, options: NodeOptions, log: Logger): Promise<void> {
  const resources = new Resources(store);
  const byItself = await defaultRanges(resources, options, log);
  const ipv4 = askedFor(options.ipv4Pool) ?? byItself.ipv4;
  const ipv6 = askedFor(options.ipv6Pool) ?? byItself.ipv6;
  const made = await bootstrap(resources, {
    version,
    clusterType: ['twill', 'bgp'],
    pools: {
      ...(ipv4 === undefined ? {} : { ipv4: firstIpv4Pool(options, ipv4) }),
      ...(ipv6 === undefined ? {} : { ipv6: firstIpv6Pool(options, ipv6) }),
    },
  });
  if (made.length > 0) log.info({ made }, 'datastore prepared');
  if (await ensureNode(resources, options)) log.info({ node: options.nodeName }, 'node resource written');
}

/** When they are asked for, and there is no pool of any kind yet. */
async function defaultRanges(
  resources: Resources,
  options: NodeOptions,
  log: Logger,
): Promise<{ readonly ipv4?: string; readonly ipv6?: string }> {
  if (!options.defaultPool || (await resources.list('IPPool')).resources.length > 0) return {};
  // A range that was asked for, or `none`, stands instead of what would be made by itself.
  const wantsIpv4 = !options.ipv4Pool && !askedFor(options.ipv6Pool);
  const ipv4 = wantsIpv4 ? defaultPoolRange(networkInterfaces()) : undefined;
  if (wantsIpv4 && ipv4 === undefined) log.warn('this machine uses every range of a default pool, none is made');
  // A kernel without IPv6 has no such directory.
  const hasIpv6 = options.ipv6Support && existsSync('/proc/sys/net/ipv6');
  const ipv6 = hasIpv6 && !options.ipv6Pool ? uniqueLocalRange(randomBytes) : undefined;
  return { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) };
}

interface ViewSyncer {
  readonly view: ClusterView;
  readonly syncer: Syncer;
  /** Why there can be no addresses now. From the first in-sync on, losses of the datastore leave the last picture. */
  readonly notReady: () => string | undefined;
}

function followCluster(store: KvStore, node: string, log: Logger): ViewSyncer {
  const view = new ClusterView(node);
  const flag = new ReadyFlag();
  let inSync = false;
  const syncer = startSyncer({
    store,
    prefixes: [...view.prefixes(), ReadyFlag.key],
    handlers: {
      onUpdates: (updates) => {
        flag.onUpdates(updates);
        view.onUpdates(updates);
      },
      onStatus: (status) => {
        if (status === 'in-sync') inSync = true;
      },
      onError: (error: KvError) => log.warn({ code: error.code, reason: error.message }, 'datastore does not answer'),
    },
  });
  const notReady = (): string | undefined => {
    if (!inSync) return 'the IP pools have not been read yet';
    return flag.locked ? LOCKED_REASON : undefined;
  };
  return { view, syncer, notReady };
}

/** Tries until it succeeds or we stop; a doubled pause between tries. */
async function persistently(what: string, stop: AbortSignal, log: Logger, work: () => Promise<void>): Promise<void> {
  for (let pause = retryMs.first; !stop.aborted; pause = Math.min(pause * 2, retryMs.most)) {
    try {
      await work();
      return;
    } catch (error) {
      log.warn(
        { what, reason: error instanceof Error ? error.message : String(error), retryMs: pause },
        'could not start, will retry',
      );
      await sleep(pause, stop);
    }
  }
}

const sleep = (ms: number, stop: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** Why felix would not get policy into the kernel now; undefined when it would. */
async function policyStatus(socket: string): Promise<string | undefined> {
  try {
    const status = await callControl(socket, '/v1/status', { timeoutMs: 1000 });
    if (typeof status !== 'object' || status === null || !('ready' in status)) return 'felix gives no status';
    if (status.ready === true) return undefined;
    return 'reason' in status ? String(status.reason) : 'felix is not ready';
  } catch (error) {
    return `felix does not answer: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Waits until felix has the endpoint in the kernel at that revision; through a restart of felix, too. */
async function awaitEndpoint(socket: string, id: string, revision: number, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const left = Math.round(deadline - performance.now());
    try {
      await callControl(socket, '/v1/await-endpoint', {
        body: { id, revision, timeoutMs: Math.max(left, 1) },
        timeoutMs: left + 500,
      });
      return;
    } catch (error) {
      const felixIsGone = error instanceof ControlError && error.status === 0;
      if (!felixIsGone || performance.now() + retryMs.first >= deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, retryMs.first));
    }
  }
}
