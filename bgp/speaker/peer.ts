// One peer: its session, its connections, and its ends of the RIBs.
//
//   connection bytes ─► MessageReader ─┬─ UPDATE ─────────► AdjRibIn
//                                      └─ all else ─► step() ─► effects: connect, send, close, established, down …
//
// The session decides, this file carries out. An established session joins one update group per family.

import type { Logger } from '../../runtime/log.ts';
import type { Connection, Millis, MonitoredPeer } from '../edges.ts';
import { createSession, nextDeadline, type Session, step } from '../fsm.ts';
import type { AdjRibIn } from '../rib/adj-rib-in.ts';
import type { Source } from '../rib/source.ts';
import type { UpdateGroup } from '../rib/update-group.ts';
import type {
  ConnectionId,
  DownReason,
  Negotiated,
  SessionConfig,
  SessionEffect,
  SessionEvent,
} from '../session-types.ts';
import type { AddressFamily, MaxPrefixes, PeerSettings } from '../settings.ts';
import { decodeRouteRefresh, encodeMessage, wholeMessage } from '../wire/codec.ts';
import { fromWireFamily, MessageType } from '../wire/message.ts';
import { CeaseSubcode } from '../wire/notification.ts';
import type { Attachment } from './attachment.ts';
import { describeDown } from './describe-down.ts';
import type { Line } from './line.ts';
import { Lines } from './lines.ts';
import { MalformedLog } from './malformed-log.ts';
import { eventOfMessage } from './message-events.ts';
import { monitoredPeer } from './monitored-peer.ts';
import { Outbound } from './outbound.ts';
import type { PeerHost } from './peer-host.ts';
import { PrefixLimit } from './prefix-limit.ts';
import { Refreshes } from './refreshes.ts';
import { sessionConfigFor } from './session-config.ts';
import { importFilterFor, isSameSource, sourceOf } from './source-of.ts';
import { StaleRoutes } from './stale-routes.ts';

/** A peer that is a fallback (fallbacks.ts) may only listen, or be on hold: neither called nor listened to. */
export type PeerMode = 'calls' | 'listens' | 'on-hold';

export interface ResetOptions {
  readonly text?: string;
  /** Undefined: not by itself. */
  readonly restartAfterMs: Millis | undefined;
  /** Both sides keep each other's routes meanwhile, if they can. */
  readonly keepsRoutes?: boolean;
}

export class Peer {
  settings: PeerSettings;
  #mode: PeerMode;
  session: Session;
  readonly #host: PeerHost;
  readonly log: Logger;
  readonly #lines: Lines;
  #attachment: Attachment | undefined;
  /** Number of this peer among the route sources, while it may have routes. */
  #source: number | undefined;
  #about: Source | undefined;
  /** Its routes from before a restart of its own. */
  readonly #stale: StaleRoutes;
  readonly #refreshes = new Refreshes();
  readonly #limit: PrefixLimit;
  readonly #malformed: MalformedLog;
  /** What BFD last said of the peer. */
  bfd: { readonly state: string; readonly reason: string } | undefined;
  messagesIn = 0;
  #messagesOut = 0;
  #keepingAfterDown = false;

  constructor(settings: PeerSettings, host: PeerHost) {
    this.settings = settings;
    this.#mode = settings.fallbackFor === undefined ? 'calls' : 'listens';
    this.#host = host;
    this.log = host.log.child({ peer: settings.name });
    this.#stale = new StaleRoutes(host, this.log);
    this.#malformed = new MalformedLog(this.log);
    this.#limit = new PrefixLimit(this.log);
    this.#lines = new Lines({
      onBytes: (line, bytes) => this.#onBytes(line, bytes),
      onDrain: (line) => this.#onDrain(line),
      onClose: (line, error) => this.handle({ kind: 'closed', connection: line.id, error }),
      onCalled: (result) => this.#onCalled(result),
    });
    this.session = createSession(this.#config(), host.clock.now());
  }

  #config(): SessionConfig {
    return sessionConfigFor(this.settings, this.#mode, this.#host);
  }

  get source(): number | undefined {
    return this.#source;
  }

  get negotiated(): Negotiated | undefined {
    return this.#attachment?.negotiated;
  }

  /** As monitoring stations see it; undefined unless established. */
  get monitored(): MonitoredPeer | undefined {
    return this.#attachment?.monitored;
  }

  get adjRibIn(): AdjRibIn | undefined {
    return this.#attachment?.adjRibIn;
  }

  get groups(): ReadonlyMap<AddressFamily, UpdateGroup> {
    return this.#attachment?.outbound.groups ?? new Map();
  }

  get messagesOut(): number {
    return this.#messagesOut + (this.#attachment?.outbound.updates ?? 0);
  }

  get queuedBytes(): number {
    return this.#attachment?.line.connection.queuedBytes ?? 0;
  }

  get mode(): PeerMode {
    return this.#mode;
  }

  /** Routes of this session or of one before. */
  get hasRoutes(): boolean {
    return this.#attachment !== undefined || !this.#stale.isEmpty;
  }

  hasEndOfRib(family: AddressFamily): boolean {
    return this.#attachment?.endOfRibReceived.has(family) ?? false;
  }

  /** Families of the session, all of which the peer has sent completely. */
  get isComplete(): boolean {
    const { negotiated, endOfRibReceived } = this.#attachment ?? {};
    return negotiated?.families.every((family) => endOfRibReceived?.has(family)) ?? false;
  }

  /** Neither connected nor with routes: a dynamic peer like this may be forgotten. */
  get isGone(): boolean {
    return this.#lines.size === 0 && this.#stale.isEmpty;
  }

  start(): void {
    this.handle({ kind: 'start' });
  }

  /** Another mode; `subcode` is what a peer hears whose session ends because of it. */
  turn(mode: PeerMode, subcode: number): void {
    this.#mode = mode;
    this.log.debug({ mode }, 'fallback');
    if (mode === 'on-hold') {
      this.handle({ kind: 'stop', subcode, keepsRoutes: true });
      this.#forgetRoutes();
      return;
    }
    this.reconfigure(this.settings);
    this.start();
  }

  /** Stale routes of a family that has come by another session. */
  replaceStale(family: AddressFamily): void {
    if (this.#source !== undefined) this.#stale.replaced(this.#source, family);
  }

  /** Ends the session; the peer's routes go. */
  stop(subcode: number, text?: string): void {
    this.handle({ kind: 'stop', subcode, ...(text === undefined ? {} : { text }) });
    this.#forgetRoutes();
  }

  /** Ends the session; it comes up again by itself, unless `restartAfterMs` is undefined. */
  reset(subcode: number, options: ResetOptions): void {
    const { text, restartAfterMs, keepsRoutes = false } = options;
    const again = restartAfterMs === undefined ? {} : { restartAfterMs };
    this.handle({ kind: 'stop', subcode, keepsRoutes, ...again, ...(text === undefined ? {} : { text }) });
  }

  /** Routes kept for the peer's restart go now. */
  forgetStale(): void {
    if (!this.#stale.isEmpty) this.#forgetRoutes();
  }

  abandon(): void {
    this.#keepingAfterDown = true;
    this.handle({ kind: 'abandon' });
  }

  /** Other capabilities or timers for the next OPEN. */
  reconfigure(settings: PeerSettings): void {
    this.settings = settings;
    this.handle({ kind: 'configure', config: this.#config() });
  }

  /** Import settings changed: what was received is judged anew, without asking the peer. */
  applyImport(): void {
    const { adjRibIn, negotiated, line } = this.#attachment ?? {};
    if (!adjRibIn || !negotiated || !line || this.#source === undefined) return;
    const about = sourceOf(this.settings, negotiated, line.connection, this.#host.settings.asn);
    this.#about = about;
    this.#host.rib.rejudge(this.#source, about);
    adjRibIn.setSource(about);
    adjRibIn.setFilter(importFilterFor(this.settings, negotiated));
    this.#host.wantFlush();
  }

  /** Another limit: it holds for what is there already, and a session that the old one ended may try again. */
  applyLimit(): void {
    const { maxPrefixes } = this.settings;
    if (this.#mode === 'on-hold') return;
    if (this.session.state === 'Idle') this.start();
    else if (maxPrefixes) this.#checkLimit(maxPrefixes);
  }

  /** Export treatment changed: join the groups that fit now. */
  applyTreatment(): void {
    const attachment = this.#attachment;
    if (!attachment) return;
    attachment.outbound.regroup(this.settings);
    this.#host.monitor?.regrouped(attachment.monitored);
  }

  accept(connection: Connection): void {
    const line = this.#lines.adopt(connection);
    this.handle({ kind: 'connected', connection: line.id, incoming: true });
  }

  handle(event: SessionEvent): void {
    const { clock } = this.#host;
    const result = step(this.session, event, clock.now(), clock.random());
    if (result.session === this.session && result.effects.length === 0) return;
    this.session = result.session;
    for (const effect of result.effects) this.#carryOut(effect);
    const deadline = this.nextDeadline;
    if (deadline !== undefined) this.#host.wantTimer(deadline);
  }

  get nextDeadline(): Millis | undefined {
    const own = Math.min(nextDeadline(this.session) ?? Infinity, this.#stale.deadline, this.#refreshes.deadline);
    return own === Infinity ? undefined : own;
  }

  onTimer(now: Millis): void {
    this.#watchSendQueue();
    if ((nextDeadline(this.session) ?? Infinity) <= now) this.handle({ kind: 'timer' });
    if (this.#source !== undefined) this.#stale.onTimer(this.#source, now);
    for (const family of this.#refreshes.expire(now)) {
      this.log.warn({ family }, 'the peer began a refresh and did not end it; what it did not say again goes');
      this.#endRefresh(family);
    }
  }

  /** RFC 9687: looked at whenever a timer of the session is due, so at least once per keepalive. */
  #watchSendQueue(): void {
    const { line } = this.#attachment ?? {};
    const change = line?.sendQueueChange();
    if (line && change) this.handle({ kind: 'send-queue', connection: line.id, blocked: change === 'moved' });
  }

  #carryOut(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'connect':
        this.#lines.call(this.#host.transport, this.settings);
        return;
      case 'cancel-connect':
        this.#lines.cancelCall();
        return;
      case 'send': {
        this.#messagesOut++;
        const line = this.#lines.get(effect.connection);
        const bytes = encodeMessage(effect.message);
        // A copy: what is written is the connection's.
        if (line && effect.message.kind === 'open') line.sentOpen = bytes.slice();
        line?.write(bytes);
        return;
      }
      case 'close':
        this.#lines.close(effect.connection, effect.abort === true);
        return;
      case 'established':
        this.#attach(effect.connection, effect.negotiated);
        return;
      case 'down':
        this.#detach(effect.reason, effect.keepRoutes);
        return;
      case 'state': {
        const reason = effect.reason ? { reason: describeDown(effect.reason) } : {};
        this.log.info({ from: effect.from, to: effect.to, ...reason }, 'session state changed');
        return;
      }
    }
  }

  #onCalled(result: { readonly line: Line } | { readonly error: string }): void {
    if ('line' in result) {
      this.handle({ kind: 'connected', connection: result.line.id, incoming: false });
      return;
    }
    this.handle({ kind: 'connect-failed', error: result.error });
    this.#host.onProgress(this);
  }

  #onBytes(line: Line, bytes: Uint8Array): void {
    let heard = false;
    const refused = line.reader.feed(bytes, (type, buffer, from, to) => {
      this.messagesIn++;
      if (type === MessageType.update && this.#attachment?.line === line) {
        heard = true;
        const { monitored, adjRibIn } = this.#attachment;
        const error = adjRibIn.receive(buffer, from, to);
        const { monitor } = this.#host;
        if (monitor?.isActive && !error) monitor.update(monitored, buffer.subarray(from, to));
        if (error) this.handle({ kind: 'refused', connection: line.id, notification: error });
      } else this.#onMessage(line, type, buffer.subarray(from, to));
      return this.#lines.get(line.id) !== undefined;
    });
    if (refused) this.handle({ kind: 'refused', connection: line.id, notification: refused });
    if (!heard) return;
    this.handle({ kind: 'heard', connection: line.id });
    this.#host.wantFlush();
    if (this.settings.maxPrefixes) this.#checkLimit(this.settings.maxPrefixes);
  }

  #onMessage(line: Line, type: number, body: Uint8Array): void {
    if (type === MessageType.open) line.receivedOpen = wholeMessage(MessageType.open, body);
    const event = eventOfMessage(type, body, line.id);
    this.handle(event);
    if (type === MessageType.routeRefresh && event.kind === 'heard') this.#onRouteRefresh(line, body);
  }

  /** RFC 2918 §4, RFC 7313 §4. */
  #onRouteRefresh(line: Line, body: Uint8Array): void {
    const { afi, safi, subtype } = decodeRouteRefresh(body);
    const family = fromWireFamily(afi, safi);
    const attachment = this.#attachment;
    if (attachment?.line !== line || !family || this.#source === undefined) return;
    switch (subtype) {
      case 0:
        attachment.outbound.sendAgain(family);
        return;
      case 1:
        if (!attachment.negotiated.enhancedRouteRefresh) return;
        this.#host.rib.markStale(this.#source, family);
        this.#refreshes.begin(family, this.#host.clock.now());
        this.#host.wantTimer(this.#refreshes.deadline);
        return;
      case 2:
        if (this.#refreshes.end(family)) this.#endRefresh(family);
        return;
    }
  }

  #endRefresh(family: AddressFamily): void {
    const attachment = this.#attachment;
    if (!attachment || this.#source === undefined) return;
    this.#host.rib.dropStale(this.#source, family);
    this.#host.monitor?.renew(attachment.monitored);
    this.#host.wantFlush();
  }

  #onDrain(line: Line): void {
    if (this.#attachment?.line === line) this.#attachment.outbound.pump();
  }

  #attach(id: ConnectionId, negotiated: Negotiated): void {
    const line = this.#lines.get(id);
    if (!line) return;
    const { rib } = this.#host;
    line.reader.extended = negotiated.extendedMessage;
    const { connection } = line;
    const { ownIpv4Address, ownIpv6Address } = this.settings;
    for (const own of [connection.localAddress, ownIpv4Address, ownIpv6Address]) {
      if (own !== undefined) rib.addOwnAddress(own);
    }
    const source = this.#enlist(connection, negotiated);
    const adjRibIn = rib.open(source.index, source.about, {
      context: {
        fourOctetAs: negotiated.fourOctetAs,
        external: source.about.external,
        addPathIpv4: negotiated.addPathReceive.includes('ipv4-unicast'),
        addPathIpv6: negotiated.addPathReceive.includes('ipv6-unicast'),
        families: negotiated.families,
      },
      families: negotiated.families,
      extendedNextHop: negotiated.extendedNextHop,
      importFilter: importFilterFor(this.settings, negotiated),
      onEndOfRib: (family) => this.#onEndOfRib(family),
      onFindings: (findings, bytes, from, to) =>
        this.#malformed.note(findings, bytes.subarray(from, to), this.#host.clock.now()),
    });
    const outbound = new Outbound({ host: this.#host, source: source.index, line, negotiated });
    const monitored = monitoredPeer(line, negotiated, source, {
      routeCount: () => this.routeCount,
      groups: () => outbound.groups.values(),
    });
    const attachment: Attachment = {
      line,
      negotiated,
      adjRibIn,
      outbound,
      endOfRibReceived: new Set(),
      monitored,
    };
    this.#attachment = attachment;
    this.#host.monitor?.up(monitored);
    this.#stale.settle(source.index, negotiated, (family) => this.#host.isCarriedElsewhere(this, family));
    outbound.join(this.settings);
    this.#host.monitor?.regrouped(monitored);
    this.#host.wantFlush();
    this.#host.onProgress(this);
  }

  /** Our own restart is over: what we have is all that there is. */
  releaseEndOfRib(): void {
    this.#attachment?.outbound.releaseEndOfRib();
  }

  /** The peer's number as a route source; a new one when what routes mean has changed since it had routes here. */
  #enlist(connection: Connection, negotiated: Negotiated): { readonly index: number; readonly about: Source } {
    const { sources } = this.#host.rib;
    const about = sourceOf(this.settings, negotiated, connection, this.#host.settings.asn);
    const same = this.#about !== undefined && isSameSource(this.#about, about);
    if (this.#source !== undefined && !same) this.#forgetRoutes();
    this.#source ??= sources.add(about);
    this.#about = about;
    return { index: this.#source, about };
  }

  #onEndOfRib(family: AddressFamily): void {
    this.#attachment?.endOfRibReceived.add(family);
    if (this.#source !== undefined) this.#stale.endOfRib(this.#source, family);
    this.log.debug({ family }, 'End-of-RIB received');
    this.#host.onProgress(this);
  }

  #detach(reason: DownReason, keepRoutes: boolean): void {
    const attachment = this.#attachment;
    this.#messagesOut += attachment?.outbound.updates ?? 0;
    this.#attachment = undefined;
    this.#refreshes.clear();
    if (!attachment || this.#source === undefined) return;
    this.#host.monitor?.down(attachment.monitored, reason);
    attachment.outbound.leave();
    const kept = keepRoutes ? attachment.negotiated.gracefulRestart?.families : undefined;
    for (const family of attachment.negotiated.families) {
      if (this.#keepingAfterDown) continue;
      if (kept?.has(family)) this.#stale.keep(this.#source, family, attachment.negotiated, this.settings);
      else this.#host.rib.drop(this.#source, [family]);
    }
    this.log.info({ reason: describeDown(reason), keptFamilies: [...(kept?.keys() ?? [])] }, 'session ended');
    this.#host.wantFlush();
    this.#host.onProgress(this);
  }

  #forgetRoutes(): void {
    this.#stale.clear();
    if (this.#source === undefined) return;
    this.#host.rib.retire(this.#source);
    this.#source = undefined;
    this.#about = undefined;
    this.#host.wantFlush();
  }

  /** RFC 4486, Cease/1. */
  #checkLimit(limits: MaxPrefixes): void {
    if (!this.#attachment || !this.#limit.isExceeded(this.routeCount, limits)) return;
    const { restartAfterSec } = limits;
    const restartAfterMs = restartAfterSec === undefined ? undefined : restartAfterSec * 1000;
    this.reset(CeaseSubcode.maximumPrefixes, { restartAfterMs });
  }

  /** Routes received and held, all families. */
  get routeCount(): number {
    const { rib } = this.#host;
    const source = this.#source;
    if (source === undefined) return 0;
    return this.settings.families.reduce((sum, family) => sum + rib.family(family).paths.countOf(source), 0);
  }
}
