// Tells monitoring stations what peers say (BMP, RFC 7854): the speaker's RouteMonitor. Those that ask for it also hear what
// peers are sent (adj-rib-out.ts) and what was chosen (loc-rib.ts).
//
//   a station connects ─► Initiation, Peer Up of all ─► the tables, slice by slice ─► End-of-RIB of each peer
//   peers go up, speak, are spoken to, go down ─► told to every station that is connected
//
// Live UPDATEs are passed on as they came, so nothing is decoded for it; without stations nothing is copied either.

import { hostname } from 'node:os';
import type { Logger } from '../../runtime/log.ts';
import { version } from '../../runtime/version.ts';
import type { MonitoredPeer, MonitoredSpeaker, RouteMonitor } from '../edges.ts';
import type { DownReason } from '../session-types.ts';
import type { AdjRibOutView, BmpSettings } from '../settings.ts';
import { encodeMessage } from '../wire/codec.ts';
import { ErrorCode, notification } from '../wire/notification.ts';
import { encodeUpdate, endOfRib } from '../wire/update.ts';
import { AdjRibOut } from './adj-rib-out.ts';
import { LocRibMonitor } from './loc-rib.ts';
import { type BmpDownReason, type BmpMessage, encodeBmp, updatePdu } from './messages.ts';
import { BmpStation, stationKey } from './station.ts';
import { tableUpdates } from './table.ts';

const statisticsMs = 60_000;

export interface BmpMonitorOptions {
  readonly log: Logger;
  readonly systemName?: string;
  readonly statisticsMs?: number;
}

export class BmpMonitor implements RouteMonitor {
  readonly #options: BmpMonitorOptions;
  readonly #stations = new Map<string, BmpStation>();
  #speaker: MonitoredSpeaker | undefined;
  #locRib: LocRibMonitor | undefined;
  /** While a station wants to hear of any. */
  readonly #outs = new Map<MonitoredPeer, AdjRibOut>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BmpMonitorOptions) {
    this.#options = options;
  }

  get stations(): readonly BmpStation[] {
    return [...this.#stations.values()];
  }

  get isActive(): boolean {
    return this.#stations.size > 0;
  }

  configure(settings: readonly BmpSettings[], speaker: MonitoredSpeaker): void {
    this.#speaker = speaker;
    const wanted = new Map(settings.map((one) => [stationKey(one), one]));
    for (const [key, station] of [...this.#stations]) {
      if (wanted.has(key)) continue;
      station.close(encodeBmp({ kind: 'termination' }, Date.now()));
      this.#stations.delete(key);
    }
    for (const [key, one] of wanted) {
      if (this.#stations.has(key)) continue;
      this.#stations.set(key, new BmpStation(one, { begin: () => this.#begin(one) }, this.#options.log));
    }
    this.#configureLocRib(speaker);
    for (const peer of speaker.monitoredPeers()) this.#watchOut(peer);
    if (!this.isActive) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    } else if (!this.#timer) {
      this.#timer = setInterval(() => this.#statistics(), this.#options.statisticsMs ?? statisticsMs);
      this.#timer.unref();
    }
  }

  /** Another RIB, or none that anybody wants to hear of. */
  #configureLocRib(speaker: MonitoredSpeaker): void {
    const isWanted = this.stations.some(({ settings }) => settings.locRib);
    const before = this.#locRib;
    if (before && isWanted && before.isOf(speaker)) return;
    before?.close();
    if (before) this.#tellOfLocRib(before.down);
    this.#locRib = isWanted ? new LocRibMonitor(speaker, (message) => this.#tellOfLocRib(message)) : undefined;
    if (!before || !this.#locRib) return;
    this.#tellOfLocRib(this.#locRib.up);
    for (const slice of this.#locRib.table()) for (const message of slice) this.#tellOfLocRib(message);
  }

  up(peer: MonitoredPeer): void {
    this.#tell(peerUp(peer));
    this.#watchOut(peer);
  }

  regrouped(peer: MonitoredPeer): void {
    const out = this.#outs.get(peer);
    if (!out?.regroup()) return;
    for (const station of this.#thoseWith('pre-policy')) station.add(this.#tableOf(peer, out, 'pre-policy'));
  }

  /** What is sent after policy is heard from the first byte on; before policy, there is nothing until the peer has its groups. */
  #watchOut(peer: MonitoredPeer): void {
    const views = new Set(this.stations.flatMap(({ settings }) => settings.adjRibOut ?? []));
    const before = this.#outs.get(peer);
    if (views.size === 0) {
      before?.close();
      this.#outs.delete(peer);
      return;
    }
    const { rib } = this.#speaker ?? {};
    const out = before ?? (rib && new AdjRibOut(rib, peer, (view, message) => this.#tellOfOut(view, message)));
    if (!out) return;
    this.#outs.set(peer, out);
    out.watch(views);
  }

  #thoseWith(view: AdjRibOutView): readonly BmpStation[] {
    return this.stations.filter(({ settings }) => settings.adjRibOut?.includes(view));
  }

  update(peer: MonitoredPeer, body: Uint8Array): void {
    const { about, twoOctetAs } = peer;
    this.#tell({ kind: 'route-monitoring', peer: about, update: updatePdu(body), twoOctetAs });
  }

  down(peer: MonitoredPeer, reason: DownReason): void {
    this.#outs.get(peer)?.close();
    this.#outs.delete(peer);
    this.#tell({ kind: 'peer-down', peer: peer.about, reason: bmpReason(reason) });
  }

  /** Routes went without a word of the peer: the station hears the peer's picture from the start. */
  renew(peer: MonitoredPeer): void {
    this.#tell({ kind: 'peer-down', peer: peer.about, reason: { kind: 'not-monitored-any-more' } });
    this.#tell(peerUp(peer));
    for (const slice of this.#table([peer])) for (const message of slice) this.#send(message);
    const out = this.#outs.get(peer);
    if (!out) return;
    for (const station of this.stations) {
      for (const view of station.settings.adjRibOut ?? []) station.add(this.#tableOf(peer, out, view));
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#locRib?.close();
    for (const out of this.#outs.values()) out.close();
    this.#outs.clear();
    for (const station of this.#stations.values()) station.close(encodeBmp({ kind: 'termination' }, Date.now()));
    this.#stations.clear();
  }

  #begin({ locRib: wantsLocRib, adjRibOut = [] }: BmpSettings) {
    const now = Date.now();
    const peers = [...(this.#speaker?.monitoredPeers() ?? [])];
    const systemName = this.#options.systemName ?? hostname();
    const initiation: BmpMessage = { kind: 'initiation', systemName, systemDescription: `Twill ${version}` };
    const locRib = wantsLocRib ? this.#locRib : undefined;
    const first = [initiation, ...(locRib ? [locRib.up] : []), ...peers.map(peerUp)];
    return {
      first: first.map((message) => encodeBmp(message, now)),
      rest: this.#pictures(peers, locRib, adjRibOut),
    };
  }

  *#pictures(
    peers: readonly MonitoredPeer[],
    locRib: LocRibMonitor | undefined,
    adjRibOut: readonly AdjRibOutView[],
  ): Generator<readonly Uint8Array[]> {
    yield* this.#table(peers);
    for (const peer of peers) {
      for (const view of adjRibOut) {
        const out = this.#outs.get(peer);
        if (out) yield* this.#tableOf(peer, out, view);
      }
    }
    if (!locRib) return;
    for (const slice of locRib.table()) {
      // Routes of another RIB by now, of which the station has heard.
      if (this.#locRib !== locRib) return;
      yield slice.map((message) => encodeBmp(message, Date.now()));
    }
  }

  *#table(peers: readonly MonitoredPeer[]): Generator<readonly Uint8Array[]> {
    const speaker = this.#speaker;
    if (!speaker) return;
    const bySource = new Map(peers.map((peer) => [peer.source, peer]));
    /** Those that are still the ones they were when the table began. */
    const present = (): Set<MonitoredPeer> => new Set(speaker.monitoredPeers());
    let here = present();
    const slices = tableUpdates(speaker.rib, (source, family) => {
      const peer = bySource.get(source);
      return peer && here.has(peer) ? peer.addPath.includes(family) : undefined;
    });
    for (const slice of slices) {
      yield slice.flatMap(({ source, body }) => {
        const peer = bySource.get(source);
        return peer ? [routes(peer, body)] : [];
      });
      here = present();
    }
    for (const peer of peers) {
      if (here.has(peer)) yield peer.families.map((family) => routes(peer, encodeUpdate(endOfRib(family))));
    }
  }

  *#tableOf(peer: MonitoredPeer, out: AdjRibOut, view: AdjRibOutView): Generator<readonly Uint8Array[]> {
    for (const slice of out.table(view)) {
      // The session may have ended meanwhile.
      if (this.#outs.get(peer) !== out) return;
      yield slice.map((message) => encodeBmp(message, Date.now()));
    }
  }

  #statistics(): void {
    for (const peer of this.#speaker?.monitoredPeers() ?? []) {
      const out = this.#outs.get(peer);
      for (const station of this.stations) {
        const { adjRibOut = [] } = station.settings;
        const counts = out ? adjRibOut.map((view) => [view, out.countOf(view)]) : [];
        const adjRibOutRoutes: Partial<Record<AdjRibOutView, number>> = Object.fromEntries(counts);
        const adjRibInRoutes = peer.routeCount();
        const message: BmpMessage = { kind: 'statistics', peer: peer.about, adjRibInRoutes, adjRibOutRoutes };
        station.send(encodeBmp(message, Date.now()));
      }
    }
    if (this.#locRib) this.#tellOfLocRib(this.#locRib.statistics);
  }

  #tell(message: BmpMessage): void {
    if (this.isActive) this.#send(encodeBmp(message, Date.now()));
  }

  #tellOfLocRib(message: BmpMessage): void {
    const bytes = encodeBmp(message, Date.now());
    for (const station of this.#stations.values()) if (station.settings.locRib) station.send(bytes);
  }

  #tellOfOut(view: AdjRibOutView, message: BmpMessage): void {
    const bytes = encodeBmp(message, Date.now());
    for (const station of this.#thoseWith(view)) station.send(bytes);
  }

  #send(message: Uint8Array): void {
    for (const station of this.#stations.values()) station.send(message);
  }
}

const routes = ({ about }: MonitoredPeer, body: Uint8Array): Uint8Array =>
  encodeBmp({ kind: 'route-monitoring', peer: about, update: updatePdu(body), twoOctetAs: false }, Date.now());

const peerUp = ({ about, localAddress, localPort, remotePort, sentOpen, receivedOpen }: MonitoredPeer): BmpMessage => ({
  kind: 'peer-up',
  peer: about,
  localAddress,
  localPort,
  remotePort,
  sentOpen,
  receivedOpen,
});

function bmpReason(reason: DownReason): BmpDownReason {
  switch (reason.kind) {
    case 'stopped':
      return { kind: 'notification-sent', pdu: encodeMessage(notification(ErrorCode.cease, reason.subcode)) };
    case 'notification-sent':
      return { kind: 'notification-sent', pdu: encodeMessage(reason.notification) };
    case 'hold-timer-expired':
      return { kind: 'notification-sent', pdu: encodeMessage(notification(ErrorCode.holdTimerExpired, 0)) };
    case 'notification-received':
      return { kind: 'notification-received', pdu: encodeMessage(reason.notification) };
    case 'closed':
    case 'connect-failed':
      return { kind: 'closed-by-peer' };
    case 'replaced':
    case 'send-hold-timer-expired':
      return { kind: 'closed-by-us', event: 0 };
  }
}
