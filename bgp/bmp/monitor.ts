// Tells monitoring stations what peers say (BMP, RFC 7854): the speaker's RouteMonitor.
//
//   a station connects ─► Initiation, Peer Up of all ─► the table, slice by slice ─► End-of-RIB of each peer
//   peers go up, speak, go down ─► told to every station that is connected
//
// Live UPDATEs are passed on as they came, so nothing is decoded for it; without stations nothing is copied either.

import { hostname } from 'node:os';
import type { Logger } from '../../runtime/log.ts';
import { version } from '../../runtime/version.ts';
import type { MonitoredPeer, MonitoredSpeaker, RouteMonitor } from '../edges.ts';
import type { DownReason } from '../session-types.ts';
import type { BmpSettings } from '../settings.ts';
import { encodeMessage } from '../wire/codec.ts';
import { ErrorCode, notification } from '../wire/notification.ts';
import { encodeUpdate, endOfRib } from '../wire/update.ts';
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
  }

  update(peer: MonitoredPeer, body: Uint8Array): void {
    const { about, twoOctetAs } = peer;
    this.#tell({ kind: 'route-monitoring', peer: about, update: updatePdu(body), twoOctetAs });
  }

  down(peer: MonitoredPeer, reason: DownReason): void {
    this.#tell({ kind: 'peer-down', peer: peer.about, reason: bmpReason(reason) });
  }

  /** Routes went without a word of the peer: the station hears the peer's picture from the start. */
  renew(peer: MonitoredPeer): void {
    this.#tell({ kind: 'peer-down', peer: peer.about, reason: { kind: 'not-monitored-any-more' } });
    this.#tell(peerUp(peer));
    for (const slice of this.#table([peer])) for (const message of slice) this.#send(message);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#locRib?.close();
    for (const station of this.#stations.values()) station.close(encodeBmp({ kind: 'termination' }, Date.now()));
    this.#stations.clear();
  }

  #begin({ locRib: wantsLocRib }: BmpSettings) {
    const now = Date.now();
    const peers = [...(this.#speaker?.monitoredPeers() ?? [])];
    const systemName = this.#options.systemName ?? hostname();
    const initiation: BmpMessage = { kind: 'initiation', systemName, systemDescription: `Twill ${version}` };
    const locRib = wantsLocRib ? this.#locRib : undefined;
    const first = [initiation, ...(locRib ? [locRib.up] : []), ...peers.map(peerUp)];
    return {
      first: first.map((message) => encodeBmp(message, now)),
      rest: this.#pictures(peers, locRib),
    };
  }

  *#pictures(peers: readonly MonitoredPeer[], locRib: LocRibMonitor | undefined): Generator<readonly Uint8Array[]> {
    yield* this.#table(peers);
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

  #statistics(): void {
    for (const peer of this.#speaker?.monitoredPeers() ?? []) {
      this.#tell({ kind: 'statistics', peer: peer.about, adjRibInRoutes: peer.routeCount() });
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
