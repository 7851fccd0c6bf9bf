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
import type { UpdateWriter } from '../rib/update-writer.ts';
import type { ConnectionId, DownReason, Negotiated, SessionEffect, SessionEvent } from '../session-types.ts';
import type { AddressFamily, MaxPrefixes, PeerSettings } from '../settings.ts';
import { describeFindings, type Finding } from '../wire/attribute-scan.ts';
import {
  checkRouteRefresh,
  decodeNotification,
  decodeRouteRefresh,
  encodeMessage,
  wholeMessage,
} from '../wire/codec.ts';
import { fromWireFamily, MessageType, toWireFamily } from '../wire/message.ts';
import { CeaseSubcode } from '../wire/notification.ts';
import { decodeOpen } from '../wire/open.ts';
import type { Attachment } from './attachment.ts';
import { capabilitiesFor } from './capabilities.ts';
import { describeDown } from './describe-down.ts';
import { Line } from './line.ts';
import { monitoredPeer } from './monitored-peer.ts';
import type { PeerHost } from './peer-host.ts';
import { Refreshes } from './refreshes.ts';
import { importFilterFor, isSameSource, sourceOf } from './source-of.ts';
import { StaleRoutes } from './stale-routes.ts';
import { treatmentFor } from './treatment-for.ts';

/** Malformed UPDATEs are logged this often, and so much of one. */
const MALFORMED_LOG_MS: Millis = 10_000;
const MALFORMED_LOG_BYTES = 1024;

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, MALFORMED_LOG_BYTES)).toString('hex');

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
  readonly #connections = new Map<ConnectionId, Line>();
  #dial: { cancel(): void } | undefined;
  #attachment: Attachment | undefined;
  /** Number of this peer among the route sources, while it may have routes. */
  #source: number | undefined;
  #about: Source | undefined;
  /** Its routes from before a restart of its own. */
  readonly #stale: StaleRoutes;
  readonly #refreshes = new Refreshes();
  #isNearLimit = false;
  /** Since it was last logged. */
  #malformedUpdates = 0;
  #malformedLoggedAt: Millis = -Infinity;
  /** What BFD last said of the peer. */
  bfd: { readonly state: string; readonly reason: string } | undefined;
  messagesIn = 0;
  #messagesOut = 0;
  /** An End-of-RIB that waits for the end of our own restart, by family. */
  readonly #heldEndOfRib = new Set<AddressFamily>();
  #keepingAfterDown = false;

  constructor(settings: PeerSettings, host: PeerHost) {
    this.settings = settings;
    this.#mode = settings.fallbackFor === undefined ? 'calls' : 'listens';
    this.#host = host;
    this.log = host.log.child({ peer: settings.name });
    this.#stale = new StaleRoutes(host, this.log);
    this.session = createSession(this.#config(), host.clock.now());
  }

  #config() {
    const { settings: ours, restarting } = this.#host;
    const { localAs } = this.settings;
    return {
      localAsn: localAs?.asn ?? ours.asn,
      ...(localAs?.dualAs ? { otherAsn: ours.asn } : {}),
      routerId: ours.routerId,
      peerAsn: this.settings.asn === 0 ? undefined : this.settings.asn,
      peer: this.#mode === 'listens' ? { ...this.settings, passive: true } : this.settings,
      capabilities: capabilitiesFor(ours, this.settings, restarting),
    };
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
    return this.#attachment?.groups ?? new Map();
  }

  get messagesOut(): number {
    return this.#messagesOut + this.#updatesOut;
  }

  /** UPDATEs of the session that is up. */
  get #updatesOut(): number {
    const source = this.#source ?? -1;
    let updates = 0;
    for (const group of this.groups.values()) updates += group.members.get(source)?.updates ?? 0;
    return updates;
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
    return this.#connections.size === 0 && this.#stale.isEmpty;
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
    const source = this.#source;
    if (!attachment || source === undefined) return;
    for (const [family, group] of attachment.groups) {
      const treatment = this.#treatment(family, attachment);
      const moved = this.#host.rib.move(source, group, attachment.line, treatment);
      attachment.groups.set(family, moved);
    }
    this.#host.monitor?.regrouped(attachment.monitored);
  }

  accept(connection: Connection): void {
    const line = this.#adopt(connection);
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
        this.#connect();
        return;
      case 'cancel-connect':
        this.#dial?.cancel();
        this.#dial = undefined;
        return;
      case 'send': {
        this.#messagesOut++;
        const line = this.#connections.get(effect.connection);
        const bytes = encodeMessage(effect.message);
        // A copy: what is written is the connection's.
        if (line && effect.message.kind === 'open') line.sentOpen = bytes.slice();
        line?.write(bytes);
        return;
      }
      case 'close':
        this.#close(effect.connection, effect.abort === true);
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

  #connect(): void {
    this.#dial = this.#host.transport.connect(this.settings, (result) => {
      this.#dial = undefined;
      if ('error' in result) {
        this.handle({ kind: 'connect-failed', error: result.error });
        this.#host.onProgress(this);
        return;
      }
      const line = this.#adopt(result.connection);
      this.handle({ kind: 'connected', connection: line.id, incoming: false });
    });
  }

  #adopt(connection: Connection): Line {
    const line = new Line(connection);
    this.#connections.set(line.id, line);
    connection.setHandlers({
      onBytes: (bytes) => this.#onBytes(line, bytes),
      onDrain: () => this.#onDrain(line),
      onClose: (error) => {
        if (!this.#connections.delete(line.id)) return;
        this.handle({ kind: 'closed', connection: line.id, error });
      },
    });
    return line;
  }

  #close(id: ConnectionId, abort: boolean): void {
    const line = this.#connections.get(id);
    if (!line) return;
    this.#connections.delete(id);
    if (abort) line.connection.destroy();
    else line.connection.end();
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
      return this.#connections.has(line.id);
    });
    if (refused) this.handle({ kind: 'refused', connection: line.id, notification: refused });
    if (!heard) return;
    this.handle({ kind: 'heard', connection: line.id });
    this.#host.wantFlush();
    if (this.settings.maxPrefixes) this.#checkLimit(this.settings.maxPrefixes);
  }

  #onMessage(line: Line, type: number, body: Uint8Array): void {
    const connection = line.id;
    switch (type) {
      case MessageType.open: {
        const result = decodeOpen(body);
        line.receivedOpen = wholeMessage(MessageType.open, body);
        if (result.kind === 'open') this.handle({ kind: 'open', connection, open: result.open });
        else this.handle({ kind: 'refused', connection, notification: result.notification });
        return;
      }
      case MessageType.keepalive:
        this.handle({ kind: 'keepalive', connection });
        return;
      case MessageType.notification:
        this.handle({ kind: 'notification', connection, notification: decodeNotification(body) });
        return;
      case MessageType.routeRefresh: {
        const refused = checkRouteRefresh(body);
        if (refused) this.handle({ kind: 'refused', connection, notification: refused });
        else {
          this.handle({ kind: 'heard', connection });
          this.#onRouteRefresh(line, body);
        }
        return;
      }
      default:
        // An UPDATE before the session is up: the state machine says what is wrong with that.
        this.handle({ kind: 'heard', connection });
        return;
    }
  }

  /** RFC 2918 §4, RFC 7313 §4. */
  #onRouteRefresh(line: Line, body: Uint8Array): void {
    const { afi, safi, subtype } = decodeRouteRefresh(body);
    const family = fromWireFamily(afi, safi);
    const attachment = this.#attachment;
    if (attachment?.line !== line || !family || this.#source === undefined) return;
    switch (subtype) {
      case 0:
        this.#sendAgain(family, attachment);
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

  #sendAgain(family: AddressFamily, { groups, negotiated }: Attachment): void {
    const group = groups.get(family);
    const member = this.#source === undefined ? undefined : group?.members.get(this.#source);
    if (!group || !member) return;
    // No beginning of a refresh before End-of-RIB (RFC 7313 §4), which has to wait while this speaker restarts.
    const isMarked = negotiated.enhancedRouteRefresh && !this.#heldEndOfRib.has(family);
    const mark = (subtype: number) => (writer: UpdateWriter) => {
      if (!isMarked) return;
      writer.raw(encodeMessage({ kind: 'route-refresh', ...toWireFamily(family), subtype }));
    };
    group.refresh(member, { begin: mark(1), end: mark(2) });
  }

  #onDrain(line: Line): void {
    const attachment = this.#attachment;
    if (attachment?.line !== line || this.#source === undefined) return;
    for (const group of attachment.groups.values()) {
      const member = group.members.get(this.#source);
      if (member) group.pump(member);
    }
  }

  #attach(id: ConnectionId, negotiated: Negotiated): void {
    const line = this.#connections.get(id);
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
      onFindings: (findings, bytes, from, to) => this.#onFindings(findings, bytes.subarray(from, to)),
    });
    const groups = new Map<AddressFamily, UpdateGroup>();
    const monitored = monitoredPeer(line, negotiated, source, {
      routeCount: () => this.routeCount,
      groups: () => groups.values(),
    });
    const attachment: Attachment = {
      line,
      negotiated,
      adjRibIn,
      groups,
      endOfRibReceived: new Set(),
      monitored,
    };
    this.#attachment = attachment;
    this.#host.monitor?.up(monitored);
    this.#stale.settle(source.index, negotiated, (family) => this.#host.isCarriedElsewhere(this, family));
    for (const family of negotiated.families) {
      const treatment = this.#treatment(family, attachment);
      const group = rib.join(source.index, line, treatment, (writer) => this.#endOfRib(family, writer));
      attachment.groups.set(family, group);
    }
    this.#host.monitor?.regrouped(monitored);
    this.#host.wantFlush();
    this.#host.onProgress(this);
  }

  #treatment(family: AddressFamily, { line, negotiated }: Attachment) {
    const { settings, draining } = this.#host;
    return treatmentFor(family, { settings, draining, peer: this.settings, negotiated, connection: line.connection });
  }

  /** Initial routes are out. While this speaker restarts, its promise of completeness has to wait (RFC 4724 §4.1). */
  #endOfRib(family: AddressFamily, writer: UpdateWriter): void {
    if (this.#host.restarting) this.#heldEndOfRib.add(family);
    else writer.endOfRib(family);
  }

  /** The restart is over: everything that we have is what we say. */
  releaseEndOfRib(): void {
    const attachment = this.#attachment;
    const source = this.#source;
    for (const family of this.#heldEndOfRib) {
      const group = attachment?.groups.get(family);
      if (group && source !== undefined) group.finish(source, (writer) => writer.endOfRib(family));
    }
    this.#heldEndOfRib.clear();
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

  /** RFC 7606 §8: an operator can see what was wrong, with the UPDATE; a peer that sends nothing else does not fill the disk. */
  #onFindings(findings: readonly Finding[], update: Uint8Array): void {
    const now = this.#host.clock.now();
    this.#malformedUpdates++;
    if (now < this.#malformedLoggedAt + MALFORMED_LOG_MS) return;
    this.log.warn(
      { problem: describeFindings(findings), updates: this.#malformedUpdates, update: hexOf(update) },
      'malformed UPDATE',
    );
    this.#malformedLoggedAt = now;
    this.#malformedUpdates = 0;
  }

  #onEndOfRib(family: AddressFamily): void {
    this.#attachment?.endOfRibReceived.add(family);
    if (this.#source !== undefined) this.#stale.endOfRib(this.#source, family);
    this.log.debug({ family }, 'End-of-RIB received');
    this.#host.onProgress(this);
  }

  #detach(reason: DownReason, keepRoutes: boolean): void {
    const attachment = this.#attachment;
    this.#messagesOut += this.#updatesOut;
    this.#attachment = undefined;
    this.#heldEndOfRib.clear();
    this.#refreshes.clear();
    if (!attachment || this.#source === undefined) return;
    this.#host.monitor?.down(attachment.monitored, reason);
    for (const group of attachment.groups.values()) this.#host.rib.leave(this.#source, group);
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

  /** RFC 4486, Cease/1; and a warning on the way there. */
  #checkLimit(limits: MaxPrefixes): void {
    const { limit, warnAtPercent, restartAfterSec } = limits;
    const count = this.routeCount;
    const isHigh = count * 100 > limit * warnAtPercent;
    if (isHigh && !this.#isNearLimit) this.log.warn({ count, limit }, 'number of prefixes nears the limit');
    this.#isNearLimit = isHigh;
    if (count <= limit || !this.#attachment) return;
    this.log.warn({ count, limit }, 'more prefixes than allowed');
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
