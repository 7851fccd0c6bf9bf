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
      this.#stations.set(key, new BmpStation(one, { begin: () => this.#begin() }, this.#options.log));
    }
    if (!this.isActive) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    } else if (!this.#timer) {
      this.#timer = setInterval(() => this.#statistics(), this.#options.statisticsMs ?? statisticsMs);
      this.#timer.unref();
    }
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
    for (const station of this.#stations.values()) station.close(encodeBmp({ kind: 'termination' }, Date.now()));
    this.#stations.clear();
  }

  #begin() {
    const now = Date.now();
    const peers = [...(this.#speaker?.monitoredPeers() ?? [])];
    const systemName = this.#options.systemName ?? hostname();
    const initiation: BmpMessage = { kind: 'initiation', systemName, systemDescription: `Twill ${version}` };
    return {
      first: [initiation, ...peers.map(peerUp)].map((message) => encodeBmp(message, now)),
      rest: this.#table(peers),
    };
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
  }

  #tell(message: BmpMessage): void {
    if (this.isActive) this.#send(encodeBmp(message, Date.now()));
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
