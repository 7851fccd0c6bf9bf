// The speaker: keeps peers, RIBs, listeners and the kernel's FIB as its settings say, and can tell about all of them.
//
//   configure(settings) ─► peers added, changed, removed; only what differs is touched
//   connection accepted ─► the peer of its address, or one made from a listen range
//   bytes came          ─► peers note changes ─► once per turn: Rib.flush() ─► UPDATEs, FIB
//
// One timer is armed for the earliest deadline of all sessions. speaker/ has the parts: peer.ts, fib-sync.ts, report.ts.

import { type Address, formatAddress } from '../net/address.ts';
import { formatPrefix, hostPrefix, type Prefix, prefixContains } from '../net/prefix.ts';
import type { Logger } from '../runtime/log.ts';
import type { BfdStateChange } from './bfd/engine.ts';
import type {
  Clock,
  Connection,
  FailureDetector,
  Fib,
  Millis,
  MonitoredPeer,
  MonitoredSpeaker,
  RouteMonitor,
  Transport,
  WorkloadRoute,
} from './edges.ts';
import { Rib } from './rib/rib.ts';
import {
  type AddressFamily,
  defaultBestPath,
  type FibSettings,
  type PeerSettings,
  type SpeakerSettings,
} from './settings.ts';
import { bfdPeers } from './speaker/bfd-peers.ts';
import {
  changesFamilies,
  hasSameIdentity,
  importPart,
  isSame,
  openPart,
  plainJson,
  sessionPart,
} from './speaker/changes.ts';
import { Fallbacks } from './speaker/fallbacks.ts';
import { FibSync } from './speaker/fib-sync.ts';
import { Listeners } from './speaker/listeners.ts';
import { Peer } from './speaker/peer.ts';
import type { PeerHost } from './speaker/peer-host.ts';
import * as report from './speaker/report.ts';
import { RestartWatch } from './speaker/restart-watch.ts';
import { prefixForAddress, whyReport } from './speaker/why.ts';
import { announcedWorkloads } from './speaker/workload-routes.ts';
import type { PeerReport, RoutesReport, StatusReport, WhyReport } from './status.ts';
import { encodeMessage } from './wire/codec.ts';
import { CeaseSubcode, ErrorCode, notification } from './wire/notification.ts';

/** So many that writing to all of them is what a change costs. */
const MANY_PEERS = 50;
/** Longest time for which changes are gathered when they come without a pause. */
const MAX_REST_MS = 20;

/** Timers further away than this may come a step later, with others: each looks at all peers. */
const FAR_TIMER_MS = 500;
const TIMER_STEP_MS = 100;

export interface SpeakerOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  /** Opens the kernel's table; left out, nothing is programmed and every next hop counts as reachable. */
  readonly openFib?: (settings: FibSettings) => Promise<Fib>;
  readonly failureDetector?: FailureDetector;
  readonly monitor?: RouteMonitor;
  /** Runs the callback at the end of this turn of the event loop. */
  readonly defer?: (callback: () => void) => void;
}

export class Speaker implements PeerHost, MonitoredSpeaker {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly #options: SpeakerOptions;
  readonly #defer: (callback: () => void) => void;
  #settings: SpeakerSettings | undefined;
  #rib: Rib | undefined;
  readonly #peers = new Map<string, Peer>();
  readonly #byAddress = new Map<Address, Peer>();
  readonly #listeners: Listeners;
  #fib: FibSync | undefined;
  #fibKey = '';
  #workloadRoutes: readonly WorkloadRoute[] = [];
  #originateKey = '';
  #restart: RestartWatch | undefined;
  readonly #fallbacks = new Fallbacks({
    now: () => this.clock.now(),
    wantTimer: (deadline) => this.wantTimer(deadline),
    onHoldChanged: () => this.#watchByBfd(),
  });
  #draining = false;
  #flushWanted = false;
  /** Something came since the last turn. */
  #heard = false;
  #restUntil: Millis = 0;
  /** Some peer has sent all that it has, or will not: the restart may be over. */
  #progressed = false;
  #timer: { readonly at: Millis; readonly disarm: () => void } | undefined;
  #closed = false;

  constructor(options: SpeakerOptions) {
    this.#options = options;
    this.transport = options.transport;
    this.clock = options.clock;
    this.log = options.log;
    this.#defer = options.defer ?? setImmediate;
    this.#listeners = new Listeners(options.transport, (connection) => this.#accept(connection), options.log);
    if (options.failureDetector) options.failureDetector.onState = (change) => this.#onBfdState(change);
  }

  // What peers need.

  get rib(): Rib {
    if (!this.#rib) throw new Error('the speaker is not configured');
    return this.#rib;
  }

  get settings(): SpeakerSettings {
    if (!this.#settings) throw new Error('the speaker is not configured');
    return this.#settings;
  }

  get restarting(): boolean {
    return this.#restart?.isOver === false;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get monitor(): RouteMonitor | undefined {
    return this.#options.monitor;
  }

  *monitoredPeers(): Generator<MonitoredPeer> {
    for (const { monitored } of this.#peers.values()) if (monitored) yield monitored;
  }

  wantFlush(): void {
    this.#heard = true;
    if (this.#flushWanted) return;
    this.#flushWanted = true;
    this.#defer(() => this.#endTurn());
  }

  /** While more comes with every turn, telling takes at most half of the time: many peers then hear of many changes at once. */
  #endTurn(): void {
    if (this.#heard && this.#peers.size >= MANY_PEERS && this.clock.now() < this.#restUntil) {
      this.#heard = false;
      this.#defer(() => this.#endTurn());
    } else this.#flush();
  }

  #flush(): void {
    this.#flushWanted = false;
    this.#heard = false;
    if (this.#closed) return;
    const began = this.clock.now();
    this.#flushRib();
    // Behind the writes, which the transport does when this callback has ended.
    queueMicrotask(() => {
      const now = this.clock.now();
      this.#restUntil = now + Math.min(now - began, MAX_REST_MS);
    });
    if (!this.#progressed) return;
    // Once per turn, since it looks at all peers; and here, so that End-of-RIB follows the routes that came before it.
    this.#progressed = false;
    this.#restart?.check(this.clock.now(), this.#peers.values());
  }

  #flushRib(): void {
    this.#rib?.flush(this.clock.now(), () => this.clock.random());
    const next = this.#rib?.nextRelease ?? Infinity;
    if (next !== Infinity) this.wantTimer(next);
  }

  wantTimer(deadline: Millis): void {
    const now = this.clock.now();
    const at = deadline - now > FAR_TIMER_MS ? Math.ceil(deadline / TIMER_STEP_MS) * TIMER_STEP_MS : deadline;
    if (this.#closed || (this.#timer && this.#timer.at <= at)) return;
    this.#timer?.disarm();
    this.#timer = { at, disarm: this.clock.after(Math.max(0, at - now), () => this.#onTimer()) };
  }

  isCarriedElsewhere(peer: Peer, family: AddressFamily): boolean {
    return this.#fallbacks.carries(peer, family);
  }

  onProgress(peer: Peer): void {
    this.#fallbacks.onProgress(peer);
    if (!this.restarting) return;
    this.#progressed = true;
    this.wantFlush();
  }

  #onTimer(): void {
    this.#timer = undefined;
    const now = this.clock.now();
    this.#restart?.check(now, this.#peers.values());
    let earliest = this.#restart?.deadline ?? Infinity;
    for (const peer of [...this.#peers.values()]) {
      if ((peer.nextDeadline ?? Infinity) <= now) peer.onTimer(now);
      earliest = Math.min(earliest, peer.nextDeadline ?? Infinity);
    }
    this.#fallbacks.onTimer(now);
    earliest = Math.min(earliest, this.#fallbacks.deadline);
    this.#dropIdleDynamicPeers();
    const release = this.#rib?.nextRelease ?? Infinity;
    if (release <= now) this.wantFlush();
    else earliest = Math.min(earliest, release);
    if (earliest !== Infinity) this.wantTimer(earliest);
  }

  // Settings.

  /** Makes the speaker be as told; to be called again with every change. */
  configure(settings: SpeakerSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    if (!before || !this.#rib) this.#begin(settings);
    else if (!hasSameIdentity(before, settings)) this.#beginAnew(settings);
    this.#configureFib(settings);
    this.#configurePeers(settings, before);
    this.#listeners.configure(settings);
    this.#watchByBfd();
    this.monitor?.configure(settings.bmp ?? [], this);
    this.rib.setBestPath(settings.bestPath ?? defaultBestPath);
    this.#fib?.setStatics(settings.staticRoutes ?? []);
    this.#originate();
    this.wantFlush();
  }

  #begin(settings: SpeakerSettings): void {
    this.#rib = new Rib(
      { routerId: settings.routerId, clusterId: settings.clusterId ?? settings.routerId },
      settings.asn,
    );
    if (!settings.gracefulRestart) return;
    this.#restart = new RestartWatch(this.clock.now(), settings.gracefulRestart.restartTimeSec, () =>
      this.#onRestartOver(),
    );
    this.wantTimer(this.#restart.deadline);
  }

  /** Another AS or router id is another speaker: all sessions begin anew. */
  #beginAnew(settings: SpeakerSettings): void {
    for (const peer of this.#peers.values()) peer.stop(CeaseSubcode.otherConfigurationChange);
    this.#peers.clear();
    this.#byAddress.clear();
    this.#fib?.close();
    this.#fib = undefined;
    this.#fibKey = '';
    this.#originateKey = '';
    this.#rib = new Rib(
      { routerId: settings.routerId, clusterId: settings.clusterId ?? settings.routerId },
      settings.asn,
    );
  }

  #onRestartOver(): void {
    for (const peer of this.#peers.values()) {
      peer.reconfigure(peer.settings);
      peer.releaseEndOfRib();
    }
    this.#flushRib();
    this.#sweepWhenHeard();
  }

  /**
   * What a predecessor left in the kernel goes. A peer that never promised End-of-RIB, or restarts itself, is not waited for
   * with ours, but may still be sending the routes that are there.
   */
  #sweepWhenHeard(): void {
    const isHeard = [...this.#peers.values()].every((peer) => !peer.negotiated || peer.isComplete);
    if (isHeard) this.#defer(() => void this.#fib?.sweep());
    else this.clock.after(sweepGraceMs, () => void this.#fib?.sweep());
  }

  #configureFib(settings: SpeakerSettings): void {
    const key = JSON.stringify([settings.fib, settings.maxPaths], plainJson);
    if (key === this.#fibKey) return;
    this.#fibKey = key;
    this.#fib?.close();
    this.#fib = undefined;
    const { openFib } = this.#options;
    if (!settings.fib || !openFib) return;
    const { fib, maxPaths } = settings;
    openFib(fib).then(
      (opened) => this.#startFib(key, opened, fib, maxPaths),
      (error: unknown) => this.log.error({ error: String(error) }, 'the kernel routing table can not be used'),
    );
  }

  #startFib(key: string, fib: Fib, settings: FibSettings, maxPaths: number): void {
    if (this.#closed || key !== this.#fibKey) {
      fib.close();
      return;
    }
    const { rib, clock, log } = this;
    const sync = new FibSync({ fib, rib, settings, maxPaths, clock, log });
    this.#fib = sync;
    sync.onWork = () => this.wantFlush();
    sync.setStatics(this.settings.staticRoutes ?? []);
    fib.onWorkloads?.((routes) => this.#onWorkloads(routes));
    void sync.start().then(() => {
      this.wantFlush();
      if (!this.restarting) this.#sweepWhenHeard();
    });
  }

  #onWorkloads(routes: readonly WorkloadRoute[]): void {
    if (this.#closed) return;
    this.#workloadRoutes = routes;
    this.#originate();
  }

  /** Blocks, and the pods' routes that are not covered by them. */
  #originate(): void {
    const { originate, workloads, fib } = this.settings;
    const more = workloads ? announcedWorkloads(this.#workloadRoutes, originate, workloads, fib) : [];
    const all = [...originate, ...more];
    const key = JSON.stringify(all, plainJson);
    if (key === this.#originateKey) return;
    this.#originateKey = key;
    this.rib.originate(all);
    this.wantFlush();
  }

  #configurePeers(settings: SpeakerSettings, before: SpeakerSettings | undefined): void {
    const wanted = new Map(settings.peers.map((peer) => [peer.name, peer]));
    for (const [name, peer] of [...this.#peers]) {
      const next = wanted.get(name) ?? this.#dynamicSettings(name, peer);
      if (!next || next.address !== peer.settings.address) this.#remove(name, peer, CeaseSubcode.peerDeconfigured);
      else this.#change(peer, next, before);
    }
    for (const peer of settings.peers) if (!this.#peers.has(peer.name)) this.#add(peer);
    this.#fallbacks.configure(this.#peers);
  }

  #add(settings: PeerSettings): Peer {
    const peer = new Peer(settings, this);
    this.#peers.set(settings.name, peer);
    this.#byAddress.set(settings.address, peer);
    peer.start();
    return peer;
  }

  #remove(name: string, peer: Peer, subcode: number): void {
    peer.stop(subcode);
    this.#peers.delete(name);
    if (this.#byAddress.get(peer.settings.address) === peer) this.#byAddress.delete(peer.settings.address);
  }

  /** What changed decides what must happen: nothing, routes sent or judged anew, or another session. */
  #change(peer: Peer, next: PeerSettings, before: SpeakerSettings | undefined): void {
    const was = peer.settings;
    if (isSame(was, next) && (!before || isSame(sessionPart(before), sessionPart(this.settings)))) return;
    const isUp = peer.session.state === 'Established';
    const needsReset =
      !isSame(openPart(was), openPart(next)) ||
      changesFamilies(peer, was, next) ||
      (!isUp && was.passive !== next.passive);
    peer.reconfigure(next);
    if (needsReset) {
      // Another AS makes other routes of them.
      const keepsRoutes = was.asn === next.asn && isSame(was.localAs, next.localAs);
      peer.reset(CeaseSubcode.otherConfigurationChange, { restartAfterMs: 0, keepsRoutes });
      return;
    }
    if (!isSame(importPart(was), importPart(next))) peer.applyImport();
    peer.applyTreatment();
    if (!isSame(was.maxPrefixes, next.maxPrefixes)) peer.applyLimit();
  }

  /** RFC 8326: all routes go out as if this node were about to leave, which others then avoid. */
  drain(on: boolean): void {
    if (this.#draining === on) return;
    this.#draining = on;
    for (const peer of this.#peers.values()) peer.applyTreatment();
  }

  #watchByBfd(): void {
    const watched = this.settings.peers.filter(({ name }) => this.#peers.get(name)?.mode !== 'on-hold');
    this.#options.failureDetector?.configure(bfdPeers(watched));
  }

  /** RFC 5882 §4.3: a peer that BFD has lost is down now, not when its hold time ends. */
  #onBfdState({ key, state, byAdministrator, remoteIndependent, reason }: BfdStateChange): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    const wasUp = peer.bfd?.state === 'Up';
    peer.bfd = { state, reason };
    peer.log.info({ state, reason }, 'BFD');
    // §4.1: a session that has not come up yet says nothing of the peer.
    if (state !== 'Down' || byAdministrator || !wasUp) return;
    if (peer.session.state !== 'Established') {
      // §4.3.2: it was restarting, and now it does not even forward any more.
      if (remoteIndependent) peer.forgetStale();
      return;
    }
    peer.reset(CeaseSubcode.bfdDown, { restartAfterMs: 0 });
    this.wantFlush();
  }

  // Connections.

  #accept(connection: Connection): void {
    const peer = this.#byAddress.get(connection.remoteAddress) ?? this.#dynamicPeer(connection.remoteAddress);
    if (peer) {
      peer.accept(connection);
      return;
    }
    this.log.info({ address: formatAddress(connection.remoteAddress) }, 'connection from an unknown address refused');
    connection.setHandlers({ onBytes: () => {}, onDrain: () => {}, onClose: () => {} });
    connection.write(encodeMessage(notification(ErrorCode.cease, CeaseSubcode.connectionRejected)));
    connection.end();
  }

  #dynamicPeer(address: Address): Peer | undefined {
    const template = this.settings.dynamicPeers.find(({ range }) => prefixContains(range, address));
    if (!template) return undefined;
    const { range: _range, asn = 0, ...rest } = template;
    const name = `${template.name}:${formatAddress(address)}`;
    return this.#add({ ...rest, name, address, asn, passive: true });
  }

  /** The settings that a dynamic peer would have now; undefined when its range is gone. */
  #dynamicSettings(name: string, peer: Peer): PeerSettings | undefined {
    const { address } = peer.settings;
    const template = this.settings.dynamicPeers.find(
      (one) => prefixContains(one.range, address) && name === `${one.name}:${formatAddress(address)}`,
    );
    if (!template) return undefined;
    const { range: _range, asn = 0, ...rest } = template;
    return { ...rest, name, address, asn, passive: true };
  }

  #dropIdleDynamicPeers(): void {
    const { dynamicPeers, peers } = this.settings;
    if (dynamicPeers.length === 0) return;
    const configured = new Set(peers.map((peer) => peer.name));
    for (const [name, peer] of [...this.#peers]) {
      if (!configured.has(name) && peer.isGone) this.#remove(name, peer, CeaseSubcode.peerDeconfigured);
    }
  }

  // Reports.

  /** All but those on hold, which another session has made unnecessary. */
  peers(): PeerReport[] {
    const shown = [...this.#peers.values()].filter(({ mode }) => mode !== 'on-hold');
    return shown.map((peer) => report.peerReport(peer, this.#rib, this.clock.now()));
  }

  routes(query: report.RoutesQuery): RoutesReport {
    if (!this.#rib) return { view: query.view, routes: [], more: false };
    return report.routesReport(query, this.#rib, this.#peers);
  }

  /** Every path of a prefix, or of that by which an address is routed, with the step that decided, and whom it is sent to. */
  why(asked: Prefix | Address): WhyReport {
    const prefix = typeof asked === 'object' ? asked : hostPrefix(asked);
    if (!this.#rib) return { prefix: formatPrefix(prefix), paths: [], fib: 'not configured yet', advertised: [] };
    const wanted = typeof asked === 'object' ? asked : prefixForAddress(this.#rib, asked);
    return whyReport(wanted, { rib: this.#rib, peers: this.#peers, fib: this.#fib });
  }

  fibReport(): StatusReport['fib'] {
    const failures = (this.#fib?.failures ?? []).slice(0, 100);
    return { routes: this.#fib?.routeCount ?? 0, failures: failures.map(report.fibFailure) };
  }

  /** Addresses that could not be listened on, and why. */
  listenErrors(): string[] {
    return this.#listeners.errors;
  }

  /** Resolves when the kernel has what the RIB says now. */
  async settled(): Promise<void> {
    this.#flushRib();
    await this.#fib?.settled();
  }

  /** `abandon`: close without a word and leave the FIB, so that peers and kernel go on until we are back. */
  async close({ abandon }: { readonly abandon: boolean }): Promise<void> {
    if (this.#closed) return;
    this.#listeners.close();
    for (const peer of this.#peers.values()) {
      if (abandon) peer.abandon();
      else peer.stop(CeaseSubcode.administrativeShutdown);
    }
    this.#flushRib();
    if (!abandon) await this.#fib?.settled();
    this.#closed = true;
    this.monitor?.close();
    this.#timer?.disarm();
    this.#fib?.close();
  }
}

/** FRR lets its first routes wait for up to ten seconds. */
const sweepGraceMs = 12_000;
