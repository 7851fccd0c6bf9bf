// The felix child: the datastore's changes → calculation graph → dataplane, and its control API.
//
//   syncer ──RawUpdate──► calc graph ──flush()──► dataplane ──► nftables, routes, switches
//                                                   ▲
//                    kernel events, periodic resync ┘
//
// Ending it, in whatever way, leaves the kernel as it is.

import { existsSync, readFileSync } from 'node:fs';
import { openStore } from '../datastore/etcd.ts';
import type { KvError } from '../datastore/kv.ts';
import { resourcePrefix } from '../datastore/model/index.ts';
import { type Syncer, type SyncerUpdate, type SyncStatus, startSyncer } from '../datastore/syncer.ts';
import { kindsInGraph } from '../felix/calc/fail-closed.ts';
import { type CalcGraph, createCalcGraph } from '../felix/calc/graph.ts';
import { KernelTable } from '../felix/dataplane/channel.ts';
import { Dataplane } from '../felix/dataplane/dataplane.ts';
import { metricsText } from '../felix/dataplane/metrics.ts';
import { Tracer } from '../felix/dataplane/tracer.ts';
import { Monitor } from '../linux/monitor.ts';
import { Conntrack } from '../linux/netlink/conntrack.ts';
import { NftBatchSocket } from '../linux/netlink/nftables-batch.ts';
import { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../linux/netlink/socket.ts';
import { openGuardedNftables } from '../linux/nftables-guard.ts';
import { setSysctls } from '../linux/sysctl.ts';
import {
  ControlError,
  type ControlRequest,
  type ControlRoutes,
  JsonLines,
  PlainText,
  serveControl,
} from '../runtime/control.ts';
import { keepHeapSmall } from '../runtime/heap.ts';
import { createLogger, type Logger } from '../runtime/log.ts';
import { felixSocket, type NodeOptions } from './options.ts';
import { becomeSoleFelix } from './sole-felix.ts';
import { onSupervisorGone } from './supervisor.ts';

/** Learned routes belong to the bgp child, and may be a million. */
const bgpRouteProtocol = 81;
/** Should an event ever be missed: everything is compared with the kernel this often. */
const auditIntervalMs = 90_000;

/** Every packet that is followed costs some: whoever needs longer asks again. */
const longestTraceSec = 3600;

/** "false" gives Calico's behaviour: what was established lives on, whatever policy says later. */
const cutsRevokedFlows = (environment: NodeJS.ProcessEnv): boolean =>
  environment['TWILL_CUT_REVOKED_FLOWS'] !== 'false';

/** "false": others may edit our table, and it is repaired. */
const keepsTable = (environment: NodeJS.ProcessEnv): boolean => environment['TWILL_OWN_TABLE'] !== 'false';

/** Runs until a signal comes or the supervisor is gone. */
export async function runFelix(options: NodeOptions): Promise<void> {
  keepHeapSmall();
  const log = createLogger('felix', options.logLevel);
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
    onSupervisorGone(() => resolve('supervisor gone'));
  });

  const giveUpPlace = await becomeSoleFelix(log);
  const dumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER });
  const longDumps = new NetlinkSocket({ protocol: NETLINK_NETFILTER });
  const channel = new KernelTable({
    openBatches: () => new NftBatchSocket(),
    dumps,
    longDumps,
    ownTable: keepsTable(process.env),
    openText: () =>
      openGuardedNftables({
        markFile: `${options.runDir}/libnftables.mark`,
        onCrash: () => log.warn('libnftables crashed the last time it was used; the nft program takes over'),
      }),
    log,
  });
  const netlink = new Rtnetlink();
  const conntrack = cutsRevokedFlows(process.env) ? new Conntrack() : undefined;
  const dataplane: Dataplane = new Dataplane({
    channel,
    netlink,
    writeSwitches: setSysctls,
    quietly: (transaction) => monitor.withoutNftables(transaction),
    ...(conntrack && { conntrack }),
    log,
  });
  const monitor: Monitor = new Monitor({
    watch: ['links', 'addresses', 'routes', 'nftables'],
    ignoreRoutes: { protocols: [bgpRouteProtocol] },
    onEvents: (events) => dataplane.onKernelEvents(events),
  });
  try {
    await dataplane.start();
  } catch (error) {
    // Its thread would keep the process from ending.
    await monitor.close();
    throw error;
  }

  const store = await openStore(options);
  const graph = createCalcGraph({
    nodeName: options.nodeName,
    config: {
      environment: process.env,
      ...(existsSync(options.felixConfig) && { file: readFileSync(options.felixConfig, 'utf8') }),
    },
  });
  const feed = new Feed(graph, dataplane, log);
  const syncer = startSyncer({
    store,
    prefixes: [...kindsInGraph].map((kind) => resourcePrefix(kind)),
    handlers: {
      onUpdates: (updates) => feed.onUpdates(updates),
      onStatus: (status) => feed.onStatus(status),
      onError: (error: KvError) => log.warn({ code: error.code, reason: error.message }, 'datastore does not answer'),
    },
  });
  const audit = setInterval(() => dataplane.requestAudit(), auditIntervalMs);
  const tracer = new Tracer({
    rules: () => dataplane.rules(),
    ruleComments: (chain) => channel.ruleComments(chain),
  });
  const server = await serveControl(
    felixSocket(options),
    controlRoutes({ node: options.nodeName, dataplane, graph, syncer, tracer }),
  );
  log.info({ backend: channel.name, node: options.nodeName }, 'felix started');

  log.info({ why: await stopped }, 'stopping; routes and policy stay as they are');
  clearInterval(audit);
  server.close();
  server.closeAllConnections();
  await tracer.close();
  syncer.close();
  await monitor.close();
  await dataplane.close();
  await store.close();
  await channel.close();
  dumps.close();
  longDumps.close();
  conntrack?.close();
  netlink.close();
  giveUpPlace();
}

/** Passes changes on, everything of one turn of the event loop at once. */
class Feed {
  private readonly graph: CalcGraph;
  private readonly dataplane: Dataplane;
  private readonly log: Logger;
  private scheduled = false;
  private readonly reported = new Map<string, unknown>();

  constructor(graph: CalcGraph, dataplane: Dataplane, log: Logger) {
    this.graph = graph;
    this.dataplane = dataplane;
    this.log = log;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    this.graph.onUpdates(updates);
    for (const { key } of updates) this.reportFault(key);
    this.scheduleFlush();
  }

  onStatus(status: SyncStatus): void {
    this.log.info({ status }, 'datastore');
    if (status !== 'in-sync') return;
    this.graph.onInSync();
    this.scheduleFlush();
  }

  private scheduleFlush(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      for (const update of this.graph.flush()) {
        if (update.kind === 'config') this.reportConfig();
        this.dataplane.onUpdate(update);
      }
    });
  }

  private reportConfig(): void {
    const { faults, withoutEffect } = this.graph.configNotes;
    if (withoutEffect.length > 0) this.log.info({ parameters: withoutEffect }, 'parameters without effect here');
    for (const fault of faults) this.log.warn({ ...fault }, 'parameter value is not acceptable');
  }

  private reportFault(key: string): void {
    const faults = this.graph.faults.get(key);
    if (faults === this.reported.get(key)) return;
    if (faults) {
      this.reported.set(key, faults);
      this.log.warn({ key, faults }, 'invalid resource: what it would allow is denied');
    } else {
      this.reported.delete(key);
      this.log.info({ key }, 'resource is valid again');
    }
  }
}

interface ControlSources {
  readonly node: string;
  readonly dataplane: Dataplane;
  readonly graph: CalcGraph;
  readonly syncer: Syncer;
  readonly tracer: Tracer;
}

function controlRoutes({ node, dataplane, graph, syncer, tracer }: ControlSources): ControlRoutes {
  return {
    'GET /v1/status': () => ({
      ...dataplane.status(),
      datastore: { status: syncer.status, revision: syncer.revision, keys: syncer.keys },
      datastoreReady: graph.isDatastoreReady,
      invalidResources: graph.faults.size,
    }),
    'GET /v1/endpoints': () => ({ endpoints: dataplane.endpoints() }),
    'GET /v1/hits': ({ query }) => {
      const { rules, others } = dataplane.hits();
      const wanted = query.get('policy');
      const shown =
        wanted === null ? { rules, others } : { rules: rules.filter(({ owner }) => owner === wanted), others: [] };
      return { node, at: new Date().toISOString(), ...shown };
    },
    'GET /v1/trace': (request) => followPackets(dataplane, tracer, request),
    'GET /metrics': () => new PlainText(metricsText(dataplane.status())),
    'POST /v1/await-endpoint': async (request) => {
      const { id, revision, timeoutMs } = readAwaitRequest(request);
      const result = await dataplane.awaitEndpoint(id, revision, timeoutMs);
      if (result.kind === 'programmed') return { revision: result.revision };
      throw new ControlError(504, `endpoint ${id} is not programmed after ${timeoutMs} ms: ${result.reason}`);
    },
  };
}

/** For as long as asked, and as the client listens. */
function followPackets(dataplane: Dataplane, tracer: Tracer, { query, signal }: ControlRequest): JsonLines {
  const endpoint = query.get('endpoint') ?? '';
  const seconds = Number(query.get('seconds') ?? 10);
  if (!(seconds > 0 && seconds <= longestTraceSec)) {
    throw new ControlError(400, `seconds must be more than 0 and at most ${longestTraceSec}`);
  }
  const target = dataplane.traceTarget(endpoint);
  if (!target)
    throw new ControlError(404, `felix knows no endpoint ${endpoint} with an interface of its own on this node`);
  const { interfaceName } = target;
  const start = tracer.start(target);
  if (start.kind === 'busy') throw new ControlError(409, 'another trace is running on this node; wait for its end');
  if (start.kind === 'refused') throw new ControlError(500, `the kernel refuses to trace: ${start.error.message}`);
  return new JsonLines((emit) => {
    emit({ kind: 'started', endpoint, interfaceName, seconds });
    return start.trace.run((event) => emit({ at: Date.now(), ...event }), seconds, signal);
  });
}

function readAwaitRequest({ body }: ControlRequest): { id: string; revision: number; timeoutMs: number } {
  const { id, revision, timeoutMs } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  if (typeof id !== 'string' || typeof revision !== 'number' || typeof timeoutMs !== 'number') {
    throw new ControlError(400, 'needed: {"id": "<namespace>/<name>", "revision": number, "timeoutMs": number}');
  }
  return { id, revision, timeoutMs };
}
