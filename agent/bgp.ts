// The bgp child: the datastore's resources → settings → speaker with its transport and the kernel's FIB, and the control
// API.
//
//   syncer ──► BgpCollector ──changed──► speakerSettings() ──► Speaker.configure() ──► sessions, RIBs, FIB
//
// Ending it, in whatever way, leaves the FIB as it is and tells no peer good-bye: they keep our routes until we are back
// (RFC 4724), or until their restart timer ends.

import { open } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { BfdClient } from '../bgp/bfd/client.ts';
import { BfdServiceClient } from '../bgp/bfd/service-client.ts';
import { BmpMonitor } from '../bgp/bmp/monitor.ts';
import { BgpCollector } from '../bgp/config/collector.ts';
import { type ConfigProblem, describeSettings, speakerSettings } from '../bgp/config/speaker-settings.ts';
import { PeerDiscovery } from '../bgp/discovery.ts';
import type { Clock } from '../bgp/edges.ts';
import { openFib } from '../bgp/fib.ts';
import { LocalAddresses } from '../bgp/local-addresses.ts';
import { bgpMetricsText } from '../bgp/metrics.ts';
import { tableDump } from '../bgp/mrt.ts';
import type { SpeakerSettings } from '../bgp/settings.ts';
import { Speaker } from '../bgp/speaker.ts';
import type { PeerReport, PeersReport, RouteView, StatusReport } from '../bgp/status.ts';
import { TcpDrops } from '../bgp/tcp-drops.ts';
import { createTransport } from '../bgp/transport.ts';
import { openStore } from '../datastore/etcd.ts';
import type { KvError, KvStore } from '../datastore/kv.ts';
import { LOCKED_REASON, ReadyFlag } from '../datastore/ready-flag.ts';
import { type Syncer, type SyncerUpdate, type SyncStatus, startSyncer } from '../datastore/syncer.ts';
import { formatIpv4, parseAddress } from '../net/address.ts';
import { parsePrefixOrAddress } from '../net/prefix.ts';
import { ControlError, type ControlRoutes, PlainText, serveControl } from '../runtime/control.ts';
import { createAdjustableLogger, type Logger, type LogLevel } from '../runtime/log.ts';
import { bfdSocket, bgpSocket, type NodeOptions } from './options.ts';
import { SecretFiles } from './secret-files.ts';
import { askForChild, onSupervisorGone } from './supervisor.ts';
import { WorkloadFeed } from './workload-feed.ts';

/** Changes that come together are taken together: a BGPPeer and its BGPFilter, the nodes of a new rack. */
const settleMs = 20;
const secretsPollMs = 2000;

const clock: Clock = {
  now: () => performance.now(),
  after: (delay, callback) => {
    const timer = setTimeout(callback, delay);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/** Runs until a signal comes or the supervisor is gone. */
export async function runBgp(options: NodeOptions): Promise<void> {
  const { log, setLevel } = createAdjustableLogger('bgp', options.logLevel);
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
    onSupervisorGone(() => resolve('supervisor gone'));
  });
  const store = await openStore(options);
  const bfd = failureDetector(options, log);
  const discovery = new PeerDiscovery(log, () => feed.refresh());
  const speaker = new Speaker({
    transport: createTransport(),
    clock,
    openFib: (settings) => openFib({ settings, interfaceOf: (address) => discovery.interfaceOf(address) }),
    failureDetector: bfd,
    monitor: new BmpMonitor({ log, systemName: options.nodeName }),
    log,
  });
  const secrets = new SecretFiles(join(options.stateDir, 'secrets'));
  const collector = new BgpCollector(options.nodeName, secrets.read);
  const drops = new TcpDrops(clock);
  const localAddresses = new LocalAddresses(log);
  const onLogLevel = (level: LogLevel | undefined): void => setLevel(level ?? options.logLevel);
  const feed = new Feed(options.nodeName, store, { collector, speaker, discovery, localAddresses, log, onLogLevel });
  const syncer = startSyncer({
    store,
    prefixes: [...collector.prefixes(), ReadyFlag.key],
    handlers: {
      onUpdates: (updates) => feed.onUpdates(updates),
      onStatus: (status) => feed.onStatus(status),
      onError: (error: KvError) => log.warn({ code: error.code, reason: error.message }, 'datastore does not answer'),
    },
  });
  const secretsTimer = setInterval(() => secrets.haveChanged() && feed.refresh(), secretsPollMs);
  const server = await serveControl(
    bgpSocket(options),
    controlRoutes({ node: options.nodeName, speaker, feed, syncer, drops }),
  );
  log.info({ node: options.nodeName }, 'bgp started');

  log.info({ why: await stopped }, 'stopping; routes stay as they are');
  server.close();
  server.closeAllConnections();
  clearInterval(secretsTimer);
  feed.close();
  drops.close();
  syncer.close();
  await discovery.close();
  await bfd.close();
  await speaker.close({ abandon: true });
  await store.close();
}

/** BFD in a process beside this one, so that it goes on when this one dies; without a supervisor, in a thread of this one. */
function failureDetector(options: NodeOptions, log: Logger): BfdClient | BfdServiceClient {
  if (process.connected !== true) return new BfdClient({ log });
  return new BfdServiceClient({ socketPath: bfdSocket(options), wake: () => askForChild('bfd'), log });
}

interface FeedParts {
  readonly collector: BgpCollector;
  readonly speaker: Speaker;
  readonly discovery: PeerDiscovery;
  readonly localAddresses: LocalAddresses;
  readonly log: Logger;
  readonly onLogLevel: (level: LogLevel | undefined) => void;
}

/** From the resources to the speaker; nothing before the first complete picture. */
class Feed {
  settings: SpeakerSettings | undefined;
  problems: readonly ConfigProblem[] = [];
  inSync = false;
  readonly startedAt = new Date();
  readonly #nodeName: string;
  readonly #collector: BgpCollector;
  readonly #speaker: Speaker;
  readonly #discovery: PeerDiscovery;
  readonly #localAddresses: LocalAddresses;
  readonly #workloads: WorkloadFeed;
  readonly #log: Logger;
  readonly #onLogLevel: FeedParts['onLogLevel'];
  readonly #ready = new ReadyFlag();
  #timer: NodeJS.Timeout | undefined;

  constructor(nodeName: string, store: KvStore, parts: FeedParts) {
    this.#nodeName = nodeName;
    this.#collector = parts.collector;
    this.#speaker = parts.speaker;
    this.#discovery = parts.discovery;
    this.#localAddresses = parts.localAddresses;
    this.#log = parts.log;
    this.#onLogLevel = parts.onLogLevel;
    this.#workloads = new WorkloadFeed(store, parts.collector, () => this.refresh(), parts.log);
  }

  /** Why there are no settings yet. */
  get waitsFor(): string | undefined {
    if (!this.inSync) return 'the datastore has not been read yet';
    return this.settings === undefined && this.#ready.locked ? LOCKED_REASON : undefined;
  }

  /** Why there is no speaker, for who asks it something. */
  get outOfBgp(): string | undefined {
    if (this.settings !== undefined) return undefined;
    const ofNode = this.problems.find(({ resource }) => resource === `Node/${this.#nodeName}`);
    return this.waitsFor ?? (ofNode ? textOf(ofNode) : 'the node has not said yet what is its own');
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    this.#ready.onUpdates(updates);
    this.#collector.onUpdates(updates);
    this.refresh();
  }

  onStatus(status: SyncStatus): void {
    this.#log.info({ status }, 'datastore');
    if (status !== 'in-sync') return;
    this.inSync = true;
    this.#apply();
  }

  /** Something beside the datastore has changed. */
  refresh(): void {
    if (this.inSync) this.#timer ??= setTimeout(() => this.#apply(), settleMs);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#workloads.close();
    this.#localAddresses.close();
  }

  #apply(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Sessions and routes stay as they are; the update that unlocks brings us here again.
    if (this.#ready.locked) return;
    // At the start all peers are wanted at once: a restart ends, and stale routes go, when those that are known have spoken.
    if (!this.#workloads.isReady && !this.settings) return;
    const result = speakerSettings(this.#collector.resources(), this.#nodeName);
    const { settings: own, drain, localAddresses, interfaces, logLevel, problems } = result;
    this.#onLogLevel(logLevel);
    this.#report([...this.#collector.problems(), ...problems]);
    // A node that has lost its resource keeps what it has: whoever deletes a Node stops its agent too.
    if (!own) return;
    this.#localAddresses.configure(localAddresses);
    this.#discovery.configure(interfaces);
    const settings = { ...own, peers: [...own.peers, ...this.#discovery.peers()] };
    const first = this.settings === undefined;
    this.settings = settings;
    this.#log[first ? 'info' : 'debug']({ settings: describeSettings(settings) }, 'settings');
    this.#speaker.drain(drain);
    this.#speaker.configure(settings);
  }

  #report(problems: readonly ConfigProblem[]): void {
    const known = new Set(this.problems.map(textOf));
    for (const problem of problems) if (!known.has(textOf(problem))) this.#log.warn(problem, 'resource has no effect');
    this.problems = problems;
  }
}

const textOf = ({ resource, field, problem }: ConfigProblem): string =>
  [resource, field, problem].filter((part) => part !== '').join(' ');

interface ControlSources {
  readonly node: string;
  readonly speaker: Speaker;
  readonly feed: Feed;
  readonly syncer: Syncer;
  readonly drops: TcpDrops;
}

function controlRoutes(sources: ControlSources): ControlRoutes {
  const { speaker, feed } = sources;
  return {
    'GET /v1/status': () => statusReport(sources),
    'GET /v1/peers': () => peersReport(sources),
    'GET /v1/routes': ({ query }) => {
      const peer = query.get('peer');
      const prefix = query.get('prefix');
      const address = prefix === null ? undefined : parseAddress(prefix);
      const view = routeView(query.get('view') ?? 'best');
      if (feed.outOfBgp !== undefined) return { view, routes: [], more: false, note: feed.outOfBgp };
      return speaker.routes({
        view,
        limit: Number(query.get('limit') ?? 10_000),
        ...(peer === null ? {} : { peer }),
        ...(prefix === null || address !== undefined ? {} : { prefix: prefixFrom(prefix) }),
        ...(address === undefined ? {} : { address }),
      });
    },
    'POST /v1/mrt': async ({ body }) => await dumpMrt(sources, body),
    'GET /v1/why': ({ query }) => {
      const asked = query.get('prefix') ?? '';
      const what = parseAddress(asked) ?? prefixFrom(asked);
      return feed.outOfBgp === undefined ? speaker.why(what) : { ...speaker.why(what), fib: feed.outOfBgp };
    },
    'GET /metrics': () => new PlainText(bgpMetricsText(statusReport(sources), speaker.peers())),
  };
}

/** Writes all routes to a file, so that other programs see what we see. */
async function dumpMrt({ speaker, feed }: ControlSources, body: unknown): Promise<{ readonly bytes: number }> {
  const path = typeof body === 'object' && body !== null && 'path' in body ? body.path : undefined;
  if (typeof path !== 'string' || !isAbsolute(path)) throw new ControlError(400, 'path: an absolute path is needed');
  if (!feed.settings) throw new ControlError(503, 'the speaker is not configured yet');
  const file = await open(path, 'w', 0o644);
  let bytes = 0;
  try {
    for (const part of tableDump(speaker.rib, feed.settings.routerId, Date.now())) {
      await file.write(part);
      bytes += part.length;
    }
  } finally {
    await file.close();
  }
  return { bytes };
}

function routeView(text: string): RouteView {
  if (text === 'best' || text === 'received' || text === 'advertised') return text;
  throw new ControlError(400, `view is one of best, received, advertised, not "${text}"`);
}

function prefixFrom(text: string) {
  const prefix = parsePrefixOrAddress(text);
  if (!prefix) throw new ControlError(400, `prefix: "${text}" is neither a prefix nor an address`);
  return prefix;
}

function identity({ node, feed }: ControlSources) {
  const { settings, outOfBgp } = feed;
  return {
    node,
    routerId: settings && formatIpv4(settings.routerId),
    asn: settings?.asn,
    ...(outOfBgp === undefined ? {} : { outOfBgp }),
  };
}

function peersReport(sources: ControlSources): PeersReport {
  return { ...identity(sources), peers: sources.speaker.peers().map((peer) => withDrops(peer, sources)) };
}

/** A peer that does not answer may do so with the wrong key. */
function withDrops(peer: PeerReport, { feed, drops }: ControlSources): PeerReport {
  // A connection that the peer opened is there before its TTL is looked at: then no OPEN comes.
  const waits = peer.state !== 'Established' && peer.state !== 'Idle';
  const settings = waits ? feed.settings?.peers.find(({ name }) => name === peer.name) : undefined;
  const reason = settings && drops.reasonFor(settings);
  return reason === undefined ? peer : { ...peer, detail: [peer.detail, reason].filter(Boolean).join('; ') };
}

function statusReport(sources: ControlSources): StatusReport {
  const { feed, speaker, syncer } = sources;
  const peers = speaker.peers();
  return {
    ready: feed.waitsFor === undefined,
    ...(feed.waitsFor === undefined ? {} : { reason: feed.waitsFor }),
    ...identity(sources),
    datastore: { status: syncer.status, revision: syncer.revision, keys: syncer.keys },
    startedAt: feed.startedAt.toISOString(),
    peers: { configured: peers.length, established: peers.filter(({ state }) => state === 'Established').length },
    fib: speaker.fibReport(),
    problems: feed.problems,
    listenErrors: speaker.listenErrors(),
  };
}
