// Shows the session state machine: the whole (state, event) table, NOTIFICATIONs, timers, collisions (RFC 4271 §6.8),
// graceful restart (RFC 4724, 8538); and over random events that its invariants hold.

import assert from 'node:assert/strict';
import { createSession, nextDeadline, type Session, step } from '../../bgp/fsm.ts';
import type { SessionConfig, SessionEffect, SessionEvent } from '../../bgp/session-types.ts';
import { acceptAll, type PeerSettings } from '../../bgp/settings.ts';
import type { Capability, NotificationMessage, OpenMessage } from '../../bgp/wire/message.ts';
import { parseIpv4 } from '../../net/address.ts';
import { StrictPeer } from './strict-peer.ts';

const peer: PeerSettings = {
  name: 'test',
  address: 0x0a000002,
  port: 179,
  asn: 65002,
  passive: false,
  families: ['ipv4-unicast'],
  holdTimeSec: 90,
  keepaliveTimeSec: 0,
  connectRetrySec: 5,
  routeReflectorClient: false,
  nextHop: 'auto',
  allowedOwnAsns: 0,
  gracefulRestart: true,
  addPathSend: false,
  addPathReceive: false,
  importFilter: acceptAll,
  exportFilter: acceptAll,
};

const gracefulRestart: Capability = {
  kind: 'graceful-restart',
  restarting: false,
  notification: true,
  restartTimeSec: 120,
  families: [{ afi: 1, safi: 1, forwarding: true }],
};
const capabilities: readonly Capability[] = [
  { kind: 'multiprotocol', afi: 1, safi: 1 },
  { kind: 'four-octet-as', asn: 65001 },
  gracefulRestart,
];
const lower = parseIpv4('10.0.0.1') ?? 0;
const higher = parseIpv4('10.0.0.2') ?? 0;
const config: SessionConfig = { localAsn: 65001, routerId: lower, peerAsn: 65002, peer, capabilities };
const theirOpen: OpenMessage = {
  kind: 'open',
  version: 4,
  asn: 65002,
  holdTimeSec: 30,
  routerId: higher,
  capabilities: [{ kind: 'multiprotocol', afi: 1, safi: 1 }],
};
const withRestart = { ...theirOpen, capabilities: [...theirOpen.capabilities, gracefulRestart] };
const cease: NotificationMessage = { kind: 'notification', code: 6, subcode: 2, data: new Uint8Array() };
const malformed: NotificationMessage = { kind: 'notification', code: 3, subcode: 1, data: new Uint8Array() };

/** A session, its clock, and everything that it ever wanted. */
class Driver {
  session: Session;
  now = 1_000_000;
  random = 0.999;

  constructor(changes: Partial<SessionConfig> = {}) {
    this.session = createSession({ ...config, ...changes }, this.now);
  }

  get state(): string {
    return this.session.state;
  }

  get links(): readonly number[] {
    return this.session.links.map(({ id }) => id);
  }

  send(...events: SessionEvent[]): SessionEffect[] {
    return events.flatMap((event) => {
      const { session, effects } = step(this.session, event, this.now, this.random);
      this.session = session;
      return [...effects];
    });
  }

  /** Lets time pass up to the next deadline. */
  expire(): SessionEffect[] {
    const deadline = nextDeadline(this.session);
    assert(deadline !== undefined, 'no timer runs');
    this.now = Math.max(this.now, deadline);
    return this.send({ kind: 'timer' });
  }

  wait(ms: number): void {
    this.now += ms;
  }
}

const start: SessionEvent = { kind: 'start' };
const connected = (connection = 1, incoming = false): SessionEvent => ({ kind: 'connected', connection, incoming });
const open = (message = theirOpen, connection = 1): SessionEvent => ({ kind: 'open', connection, open: message });
const keepalive = (connection = 1): SessionEvent => ({ kind: 'keepalive', connection });
const heard = (connection = 1): SessionEvent => ({ kind: 'heard', connection });
const closed = (connection = 1, error: string | undefined = undefined): SessionEvent => ({
  kind: 'closed',
  connection,
  error,
});
const notified = (message = cease, connection = 1): SessionEvent => ({
  kind: 'notification',
  connection,
  notification: message,
});
const refused = (connection = 1): SessionEvent => ({ kind: 'refused', connection, notification: malformed });
const stop: SessionEvent = { kind: 'stop', subcode: 2 };

/** Effects in short: "connect", "open 1", "notification 1 6/2", "close 1", "down keep" … State changes are left out. */
function brief(effects: readonly SessionEffect[]): string[] {
  return effects.flatMap((effect) => {
    switch (effect.kind) {
      case 'state':
        return [];
      case 'send': {
        const { connection, message } = effect;
        const codes = message.kind === 'notification' ? ` ${message.code}/${message.subcode}` : '';
        return [`${message.kind} ${connection}${codes}`];
      }
      case 'close':
        return [`${effect.abort ? 'abort' : 'close'} ${effect.connection}`];
      case 'established':
        return [`established ${effect.connection}`];
      case 'down':
        return [effect.keepRoutes ? 'down keep' : 'down'];
      default:
        return [effect.kind];
    }
  });
}

const reach: Record<string, () => Driver> = {
  Idle: () => new Driver(),
  Connect: () => given(new Driver(), start),
  Active: () => given(new Driver(), start, { kind: 'connect-failed', error: 'ECONNREFUSED' }),
  OpenSent: () => given(new Driver(), start, connected()),
  OpenConfirm: () => given(new Driver(), start, connected(), open()),
  Established: () => given(new Driver(), start, connected(), open(), keepalive()),
};

function given(driver: Driver, ...events: SessionEvent[]): Driver {
  driver.send(...events);
  return driver;
}

// Rows: event. Columns: effects → next state, for each state.
type Row = Readonly<Record<'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established', string>>;
const same = (effects = ''): Row => ({
  Idle: `${effects} → Idle`,
  Connect: `${effects} → Connect`,
  Active: `${effects} → Active`,
  OpenSent: `${effects} → OpenSent`,
  OpenConfirm: `${effects} → OpenConfirm`,
  Established: `${effects} → Established`,
});
const none = same();
const table: Record<string, { event: SessionEvent; row: Row }> = {
  start: { event: start, row: { ...none, Idle: 'connect → Connect' } },
  stop: {
    event: stop,
    row: {
      Idle: ' → Idle',
      Connect: 'cancel-connect → Idle',
      Active: ' → Idle',
      OpenSent: 'notification 1 6/2, close 1 → Idle',
      OpenConfirm: 'notification 1 6/2, close 1 → Idle',
      Established: 'notification 1 6/2, close 1, down → Idle',
    },
  },
  abandon: {
    event: { kind: 'abandon' },
    row: {
      Idle: ' → Idle',
      Connect: 'cancel-connect → Idle',
      Active: ' → Idle',
      OpenSent: 'close 1 → Idle',
      OpenConfirm: 'close 1 → Idle',
      Established: 'close 1, down keep → Idle',
    },
  },
  configure: { event: { kind: 'configure', config }, row: none },
  'connected, ours': {
    event: connected(2),
    row: { ...same('abort 2'), Connect: 'open 2 → OpenSent' },
  },
  'connected, theirs': {
    event: connected(2, true),
    row: {
      Idle: 'notification 2 6/5, close 2 → Idle',
      Connect: 'open 2 → OpenSent',
      Active: 'open 2 → OpenSent',
      OpenSent: 'open 2 → OpenSent',
      OpenConfirm: 'open 2 → OpenConfirm',
      Established: 'open 2 → Established',
    },
  },
  'connect failed': {
    event: { kind: 'connect-failed', error: 'ECONNREFUSED' },
    row: { ...none, Connect: ' → Active' },
  },
  closed: {
    event: closed(),
    row: { ...none, OpenSent: ' → Active', OpenConfirm: ' → Active', Established: 'down → Active' },
  },
  OPEN: {
    event: open(),
    row: {
      ...none,
      OpenSent: 'keepalive 1 → OpenConfirm',
      OpenConfirm: 'notification 1 5/2, close 1 → Idle',
      Established: 'notification 1 5/3, close 1, down → Idle',
    },
  },
  KEEPALIVE: {
    event: keepalive(),
    row: {
      ...none,
      OpenSent: 'notification 1 5/1, close 1 → Idle',
      OpenConfirm: 'established 1 → Established',
    },
  },
  'UPDATE or ROUTE-REFRESH': {
    event: heard(),
    row: {
      ...none,
      OpenSent: 'notification 1 5/1, close 1 → Idle',
      OpenConfirm: 'notification 1 5/2, close 1 → Idle',
    },
  },
  NOTIFICATION: {
    event: notified(),
    row: {
      ...none,
      OpenSent: 'close 1 → Active',
      OpenConfirm: 'close 1 → Active',
      Established: 'close 1, down → Active',
    },
  },
  'malformed message': {
    event: refused(),
    row: {
      ...none,
      OpenSent: 'notification 1 3/1, close 1 → Idle',
      OpenConfirm: 'notification 1 3/1, close 1 → Idle',
      Established: 'notification 1 3/1, close 1, down → Idle',
    },
  },
  'send queue stuck': { event: { kind: 'send-queue', connection: 1, blocked: true }, row: none },
  'timer, nothing due': { event: { kind: 'timer' }, row: none },
  'event of an unknown connection': { event: heard(99), row: none },
};

describe('bgp fsm', () => {
  for (const [name, { event, row }] of Object.entries(table)) {
    for (const [state, expected] of Object.entries(row)) {
      it(`${state}: ${name}`, () => {
        const driver = reach[state]?.();
        assert(driver);
        assert.equal(driver.session.state, state);
        const effects = driver.send(event);
        assert.equal(`${brief(effects).join(', ')} → ${driver.session.state}`, expected);
        const changes = effects.filter((effect) => effect.kind === 'state');
        const wanted = driver.session.state === state ? [] : [`${state} → ${driver.session.state}`];
        assert.deepEqual(
          changes.map(({ from, to }) => `${from} → ${to}`),
          wanted,
        );
      });
    }
  }

  describe('timers', () => {
    it('shows the other AS, soon, to a peer that refused the first one (local-as with dual-as)', () => {
      const driver = given(new Driver({ localAsn: 64999, otherAsn: 65001 }), start, connected());
      const badPeerAs = { ...malformed, code: 2, subcode: 2 };
      const shown = (effects: readonly SessionEffect[]) =>
        effects.flatMap((effect) =>
          effect.kind === 'send' && effect.message.kind === 'open'
            ? [
                effect.message.asn,
                ...effect.message.capabilities.flatMap((one) => (one.kind === 'four-octet-as' ? one.asn : [])),
              ]
            : [],
        );
      driver.send(notified(badPeerAs));
      assert.equal(driver.session.state, 'Active');
      assert((nextDeadline(driver.session) ?? Infinity) - driver.now <= 500);
      assert.deepEqual(brief(driver.expire()), ['connect']);
      assert.deepEqual(shown(driver.send(connected(2))), [65001, 65001]);
      const [last] = driver.send(open(theirOpen, 2), keepalive(2)).slice(-1);
      assert.equal(last?.kind, 'state');
      assert.equal(driver.session.links[0]?.negotiated?.localAsn, 65001);
      // A peer that takes neither is no reason to hurry.
      const refusedBoth = given(new Driver({ localAsn: 64999, otherAsn: 65001 }), start, connected());
      refusedBoth.send(notified(badPeerAs));
      refusedBoth.expire();
      refusedBoth.send(connected(2), notified(badPeerAs, 2));
      assert.equal(refusedBoth.session.state, 'Idle');
    });

    it('dials when it is passive no more, and stops when it is to be', () => {
      const driver = given(new Driver({ peer: { ...peer, passive: true } }), start);
      assert.deepEqual(brief(driver.send({ kind: 'configure', config })), ['connect']);
      assert.deepEqual(brief(driver.send({ kind: 'configure', config })), [], 'once is enough');
      const passive = { ...config, peer: { ...peer, passive: true } };
      assert.deepEqual(brief(driver.send({ kind: 'configure', config: passive })), ['cancel-connect']);
      assert.equal(nextDeadline(driver.session), undefined);
    });

    it('dials again when the connect-retry timer expires, and remembers why the last try failed', () => {
      const driver = given(new Driver(), start);
      assert.deepEqual(brief(driver.expire()), ['cancel-connect', 'connect']);
      assert.deepEqual(driver.session.lastError?.reason, { kind: 'connect-failed', error: 'ETIMEDOUT' });
      driver.send({ kind: 'connect-failed', error: 'ECONNREFUSED' });
      assert.equal(driver.session.state, 'Active');
      assert.deepEqual(brief(driver.expire()), ['connect']);
      assert.deepEqual(driver.session.lastError?.reason, { kind: 'connect-failed', error: 'ECONNREFUSED' });
    });

    it('spreads the connect-retry timer between three quarters and the whole', () => {
      for (const random of [0, 0.5, 0.999]) {
        const driver = new Driver();
        driver.random = random;
        driver.send(start);
        const wait = (nextDeadline(driver.session) ?? 0) - driver.now;
        assert(Math.abs(wait - 5000 * (0.75 + 0.25 * random)) < 1e-6);
      }
    });

    it('a passive session waits and never dials', () => {
      const driver = given(new Driver({ peer: { ...peer, passive: true } }), start);
      assert.equal(driver.session.state, 'Active');
      assert.equal(nextDeadline(driver.session), undefined);
      driver.send(connected(1, true), closed());
      assert.equal(driver.session.state, 'Active');
      assert.equal(nextDeadline(driver.session), undefined);
    });

    it('waits four minutes for OPEN, then the agreed hold time', () => {
      const driver = reach['OpenSent']?.() ?? new Driver();
      const sentAt = driver.now;
      assert.deepEqual(brief(driver.expire()), ['notification 1 4/0', 'close 1']);
      assert.equal(driver.now - sentAt, 240_000);
      const later = reach['OpenConfirm']?.() ?? new Driver();
      const openAt = later.now;
      for (;;) if (brief(later.expire()).includes('close 1')) break;
      assert.equal(later.now - openAt, 30_000);
      assert.deepEqual(later.session.lastError?.reason, { kind: 'hold-timer-expired' });
    });

    it('sends a KEEPALIVE at least every third of the hold time, and messages keep the session up', () => {
      const driver = reach['Established']?.() ?? new Driver();
      let keepalives = 0;
      const since = driver.now;
      while (driver.now - since < 300_000) {
        driver.send(keepalive());
        keepalives += brief(driver.expire()).filter((effect) => effect === 'keepalive 1').length;
      }
      assert(keepalives >= 30, `${keepalives}`);
      assert.equal(driver.session.state, 'Established');
    });

    it('runs no hold and keepalive timers when the hold time is zero', () => {
      const driver = given(new Driver(), start, connected(), open({ ...theirOpen, holdTimeSec: 0 }), keepalive());
      assert.equal(driver.session.state, 'Established');
      assert.equal(nextDeadline(driver.session), undefined);
    });

    it('holds in Idle after an error, twice as long after each, and begins anew after a session that lasted', () => {
      const driver = new Driver();
      driver.send(start);
      const holds: number[] = [];
      for (let i = 0; i < 8; i++) {
        driver.send(connected(i + 1), refused(i + 1));
        assert.equal(driver.session.state, 'Idle');
        holds.push(Math.round(((nextDeadline(driver.session) ?? 0) - driver.now) / 1000));
        assert.deepEqual(brief(driver.expire()), ['connect']);
      }
      assert.deepEqual(holds, [1, 2, 4, 8, 16, 30, 30, 30]);
      driver.send(connected(50), open(theirOpen, 50), keepalive(50));
      driver.wait(61_000);
      driver.send(keepalive(50), refused(50));
      assert.equal(Math.round(((nextDeadline(driver.session) ?? 0) - driver.now) / 1000), 1);
    });

    it('refuses connections while it holds in Idle', () => {
      const driver = given(new Driver(), start, connected(), refused());
      assert.deepEqual(brief(driver.send(connected(2, true))), ['notification 2 6/5', 'close 2']);
    });

    it('drops a peer that takes no bytes (RFC 9687), but not one that takes some', () => {
      const driver = reach['Established']?.() ?? new Driver();
      const blocked: SessionEvent = { kind: 'send-queue', connection: 1, blocked: true };
      driver.send(blocked);
      driver.wait(479_000);
      driver.send(keepalive(), blocked);
      driver.wait(2000);
      driver.send({ kind: 'timer' });
      assert.equal(driver.session.state, 'Established', 'progress restarts the timer');
      driver.wait(478_500);
      driver.send(keepalive());
      const effects: string[] = [];
      while (driver.session.state === 'Established') {
        driver.send(keepalive());
        effects.push(...brief(driver.expire()));
      }
      assert.deepEqual(effects.slice(-2), ['abort 1', 'down']);
      assert.equal(driver.session.lastError?.reason.kind, 'send-hold-timer-expired');
    });

    it('delays OPEN when told to, but not once the peer has sent its own', () => {
      const delaying = { ...config, peer: { ...peer, delayOpenSec: 2 } };
      const driver = given(new Driver(delaying), start);
      assert.deepEqual(brief(driver.send(connected())), []);
      assert.equal(driver.session.state, 'Connect');
      assert.deepEqual(brief(driver.expire()), ['open 1']);
      const early = given(new Driver(delaying), start, connected());
      assert.deepEqual(brief(early.send(open())), ['open 1', 'keepalive 1']);
      assert.equal(early.session.state, 'OpenConfirm');
      const told = given(new Driver(), start, { kind: 'configure', config: delaying });
      assert.deepEqual(brief(told.send(connected())), [], 'the next connection, when told meanwhile');
    });

    it('comes back by itself after a reset', () => {
      const driver = reach['Established']?.() ?? new Driver();
      driver.send({ kind: 'stop', subcode: 4, restartAfterMs: 0 });
      assert.equal(driver.session.state, 'Idle');
      assert.deepEqual(brief(driver.expire()), ['connect']);
    });
  });

  describe('OPEN', () => {
    const cases: [string, Partial<OpenMessage>, string, RegExp][] = [
      ['another AS', { asn: 65009 }, '2/2', /says AS 65009, AS 65002 is configured/],
      ['router id 0', { routerId: 0 }, '2/3', /0\.0\.0\.0/],
      ['hold time 1', { holdTimeSec: 1 }, '2/6', /hold time of 1 s/],
      [
        'no family in common',
        { capabilities: [{ kind: 'multiprotocol', afi: 2, safi: 1 }] },
        '2/7',
        /no address family in common/,
      ],
    ];
    for (const [name, changes, code, problem] of cases) {
      it(`refuses ${name} with ${code}`, () => {
        const driver = given(new Driver(), start, connected());
        const effects = driver.send(open({ ...theirOpen, ...changes }));
        assert.deepEqual(brief(effects), [`notification 1 ${code}`, 'close 1']);
        const reason = driver.session.lastError?.reason;
        assert(reason?.kind === 'notification-sent');
        assert.match(reason.problem ?? '', problem);
      });
    }

    it('refuses our own router id within our AS only (RFC 6286)', () => {
      const inside = given(new Driver({ peerAsn: 65001 }), start, connected());
      assert.deepEqual(brief(inside.send(open({ ...theirOpen, asn: 65001, routerId: lower }))), [
        'notification 1 2/3',
        'close 1',
      ]);
      const outside = given(new Driver(), start, connected());
      assert.deepEqual(brief(outside.send(open({ ...theirOpen, routerId: lower }))), ['keepalive 1']);
    });

    it('takes an OPEN without multiprotocol capability for IPv4 unicast, and any AS when none is set', () => {
      const driver = given(new Driver({ peerAsn: undefined }), start, connected());
      driver.send(open({ ...theirOpen, asn: 7, capabilities: [] }), keepalive());
      assert.equal(driver.session.state, 'Established');
      assert.deepEqual(driver.session.links[0]?.negotiated?.families, ['ipv4-unicast']);
      assert.equal(driver.session.links[0]?.negotiated?.fourOctetAs, false);
    });

    it('sends the shutdown text to the peer (RFC 9003)', () => {
      const driver = reach['Established']?.() ?? new Driver();
      const [effect] = driver.send({ kind: 'stop', subcode: 2, text: 'rack move' });
      assert(effect?.kind === 'send' && effect.message.kind === 'notification');
      assert.equal(Buffer.from(effect.message.data).toString(), '\u0009rack move');
    });
  });

  describe('collision', () => {
    it('keeps the connection that the higher router id opened', () => {
      // The peer's is higher: its own connection (incoming here) wins, whichever OPEN comes first.
      const ours = given(new Driver(), start, connected(1), connected(2, true));
      assert.deepEqual(brief(ours.send(open(theirOpen, 1))), ['keepalive 1']);
      assert.deepEqual(brief(ours.send(open(theirOpen, 2))), ['keepalive 2']);
      assert.deepEqual(brief(ours.send(keepalive(2))), ['notification 1 6/7', 'close 1', 'established 2']);
      const theirs = given(new Driver(), start, connected(1), connected(2, true), open(theirOpen, 2));
      assert.deepEqual(brief(theirs.send(open(theirOpen, 1))), ['notification 1 6/7', 'close 1']);
      assert.equal(theirs.session.state, 'OpenConfirm');
      // Ours is higher.
      const high = given(new Driver({ routerId: parseIpv4('10.0.0.9') ?? 0 }), start, connected(1), connected(2, true));
      high.send(open(theirOpen, 2));
      assert.deepEqual(brief(high.send(open(theirOpen, 1))), ['keepalive 1']);
      assert.deepEqual(brief(high.send(keepalive(1))), ['notification 2 6/7', 'close 2', 'established 1']);
    });

    it('compares AS numbers when the router ids are equal (RFC 6286)', () => {
      const driver = given(
        new Driver({ routerId: higher }),
        start,
        connected(1),
        connected(2, true),
        open(theirOpen, 1),
      );
      assert.deepEqual(brief(driver.send(open(theirOpen, 2))), ['keepalive 2']);
      assert.deepEqual(brief(driver.send(keepalive(2))), ['notification 1 6/7', 'close 1', 'established 2']);
    });

    it('keeps the loser until the peer has confirmed the winner: the peer may have decided otherwise', () => {
      const up = (): Driver => given(new Driver(), start, connected(1), connected(2, true), open(), keepalive());
      // The peer was in Established on the first already, and closes the second uncompared.
      const strict = given(up(), open(theirOpen, 2));
      assert.deepEqual(brief(strict.send(notified({ ...cease, subcode: 7 }, 2))), ['close 2']);
      assert.equal(strict.session.state, 'Established');
      // It was not, and closes the first.
      const comparing = given(up(), open(theirOpen, 2), notified({ ...cease, subcode: 7 }, 1));
      assert.equal(comparing.session.state, 'OpenConfirm');
      assert.deepEqual(brief(comparing.send(keepalive(2))), ['established 2']);
      // Or says nothing more on the second, which its hold timer ends.
      const silent = given(up(), open(theirOpen, 2));
      for (let i = 0; i < 30 && silent.session.links.length > 1; i++) {
        silent.expire();
        silent.send(keepalive(1));
      }
      assert.deepEqual(
        silent.session.links.map(({ id, phase }) => [id, phase]),
        [[1, 'Established']],
      );
    });

    it('ends with one connection when both ends dial, in any order of delivery', () => {
      const peer = (): Driver => new Driver({ localAsn: 65002, routerId: higher, peerAsn: 65001 });
      for (let seed = 1; seed <= 300; seed++) simultaneousOpen(seed, new Driver(), peer());
    });

    it('ends with one connection with a peer that prefers Established to comparing, in any order of delivery', () => {
      for (let seed = 1; seed <= 1000; seed++) {
        const isHigher = seed % 2 === 0;
        const routerId = isHigher ? lower : (parseIpv4('10.0.0.9') ?? 0);
        simultaneousOpen(seed, new Driver({ routerId }), new StrictPeer(theirOpen, isHigher));
      }
    });

    it('does not hold in Idle because of a collision', () => {
      const driver = given(new Driver(), start, connected(1));
      const collision: NotificationMessage = { ...cease, subcode: 7 };
      driver.send(notified(collision));
      assert.equal(driver.session.state, 'Active');
      assert.equal(driver.session.lastError, undefined);
    });

    it('an established session survives a second connection of a peer without graceful restart', () => {
      const driver = reach['Established']?.() ?? new Driver();
      driver.wait(10_000);
      driver.send(connected(2, true));
      assert.deepEqual(brief(driver.send(open(theirOpen, 2))), ['notification 2 6/7', 'close 2']);
      assert.equal(driver.session.state, 'Established');
    });

    it('a new connection of a restarting peer replaces the old one silently and keeps the routes (RFC 4724 §4.2)', () => {
      const driver = given(new Driver(), start, connected(), open(withRestart), keepalive());
      driver.wait(10_000);
      driver.send(connected(2, true));
      assert.deepEqual(brief(driver.send(open(withRestart, 2))), ['keepalive 2']);
      assert.deepEqual(brief(driver.send(keepalive(2))), ['abort 1', 'down keep', 'established 2']);
    });
  });

  describe('graceful restart', () => {
    it('a stop that is to keep routes is no hard reset (RFC 8538)', () => {
      for (const keepsRoutes of [true, false]) {
        const driver = given(new Driver(), start, connected(), open(withRestart), keepalive());
        const expected = keepsRoutes
          ? ['notification 1 6/6', 'close 1', 'down keep']
          : ['notification 1 6/9', 'close 1', 'down'];
        assert.deepEqual(brief(driver.send({ kind: 'stop', subcode: 6, keepsRoutes, restartAfterMs: 0 })), expected);
        assert.deepEqual(brief(driver.expire()), ['connect']);
      }
    });

    const up = (message: OpenMessage): Driver => given(new Driver(), start, connected(), open(message), keepalive());
    const withoutN: OpenMessage = {
      ...theirOpen,
      capabilities: [...theirOpen.capabilities, { ...gracefulRestart, notification: false }],
    };
    const hardReset: NotificationMessage = { ...cease, subcode: 9, data: Uint8Array.of(6, 2) };
    const cases: [string, OpenMessage, SessionEvent, string][] = [
      ['a lost connection', withRestart, closed(1, 'ECONNRESET'), 'down keep'],
      ['a lost connection, not promised', theirOpen, closed(1, 'ECONNRESET'), 'down'],
      ['a NOTIFICATION, RFC 8538', withRestart, notified(), 'close 1, down keep'],
      ['a NOTIFICATION, RFC 4724 only', withoutN, notified(), 'close 1, down'],
      ['a hard reset', withRestart, notified(hardReset), 'close 1, down'],
      ['a NOTIFICATION that we send', withRestart, refused(), 'notification 1 3/1, close 1, down keep'],
      ['an administrative stop, wrapped in a hard reset', withRestart, stop, 'notification 1 6/9, close 1, down'],
    ];
    for (const [name, message, event, expected] of cases) {
      it(`${name}: ${expected}`, () => assert.equal(brief(up(message).send(event)).join(', '), expected));
    }
  });

  it('keeps its invariants over random events', () => {
    for (let seed = 1; seed <= 200; seed++) randomWalk(seed);
  });
});

/** Two ends, two connections opened at once; messages arrive in an order that the seed chooses. */
function simultaneousOpen(seed: number, left: Driver, right: Driver | StrictPeer): void {
  const random = generator(seed);
  const opens = { left: { ...theirOpen, asn: 65001, routerId: left.session.config.routerId }, right: theirOpen };
  // Connection 1 is opened by left, 2 by right. Each has a queue per direction; queues keep their order.
  const queues: { to: 'left' | 'right'; events: SessionEvent[] }[] = [];
  const queueOf = (to: 'left' | 'right', connection: number) => {
    const index = (to === 'left' ? 0 : 2) + connection - 1;
    queues[index] ??= { to, events: [] };
    return queues[index];
  };
  const carryOut = (from: 'left' | 'right', effects: readonly SessionEffect[]): void => {
    const to = from === 'left' ? 'right' : 'left';
    for (const effect of effects) {
      if (effect.kind === 'close') queueOf(to, effect.connection).events.push(closed(effect.connection));
      if (effect.kind !== 'send') continue;
      const { message, connection } = effect;
      if (message.kind === 'open') queueOf(to, connection).events.push(open(opens[from], connection));
      else if (message.kind === 'keepalive') queueOf(to, connection).events.push(keepalive(connection));
      else queueOf(to, connection).events.push(notified(message, connection));
    }
  };
  const drivers = { left, right };
  left.send(start);
  right.send(start);
  queueOf('left', 1).events.push(connected(1));
  queueOf('right', 1).events.push(connected(1, true));
  queueOf('right', 2).events.push(connected(2));
  queueOf('left', 2).events.push(connected(2, true));
  for (;;) {
    const ready = queues.filter((queue) => queue.events.length > 0);
    const queue = ready[Math.floor(random() * ready.length)];
    const event = queue?.events.shift();
    if (!queue || !event) break;
    carryOut(queue.to, drivers[queue.to].send(event));
  }
  assert.deepEqual([left.session.state, right.state], ['Established', 'Established'], `seed ${seed}`);
  assert.deepEqual(left.links, right.links, `seed ${seed}`);
  assert.equal(left.links.length, 1, `seed ${seed}`);
}

function randomWalk(seed: number): void {
  const random = generator(seed);
  const driver = new Driver({ peer: { ...peer, delayOpenSec: random() < 0.3 ? 1 : 0 } });
  const alive = new Set<number>();
  let nextConnection = 1;
  let dialing = false;
  let established = 0;
  for (let i = 0; i < 300; i++) {
    driver.random = random();
    driver.wait(Math.floor(random() * random() * 40_000));
    const ids = [...alive];
    const connection = ids[Math.floor(random() * ids.length)] ?? 999;
    const messages = [theirOpen, withRestart, { ...theirOpen, asn: 1 }];
    const choices: (() => SessionEvent)[] = [
      () => start,
      () => (random() < 0.1 ? stop : start),
      () => (random() < 0.1 ? { kind: 'stop', subcode: 4, restartAfterMs: 0 } : { kind: 'timer' }),
      () => ({ kind: 'timer' }),
      () => connected(nextConnection++, true),
      () => connected(nextConnection++, false),
      () => ({ kind: 'connect-failed', error: 'EHOSTUNREACH' }),
      () => open(messages[Math.floor(random() * 3)], connection),
      () => open(theirOpen, connection),
      () => keepalive(connection),
      () => keepalive(connection),
      () => heard(connection),
      () => closed(connection, 'ECONNRESET'),
      () => (random() < 0.3 ? notified(cease, connection) : keepalive(connection)),
      () => (random() < 0.3 ? refused(connection) : keepalive(connection)),
      () => ({ kind: 'send-queue', connection, blocked: random() < 0.5 }),
    ];
    const event = choices[Math.floor(random() * choices.length)]?.() ?? start;
    if (event.kind === 'connected') alive.add(event.connection);
    if ((event.kind === 'connected' && !event.incoming) || event.kind === 'connect-failed') dialing = false;
    if (event.kind === 'closed') alive.delete(event.connection);
    const wasDialing = driver.session.dialing;
    const effects = driver.send(event);
    for (const effect of effects) {
      const at = `seed ${seed}, step ${i}, ${event.kind}`;
      switch (effect.kind) {
        case 'connect':
          assert(!dialing, `${at}: dials while it dials`);
          dialing = true;
          break;
        case 'cancel-connect':
          assert(wasDialing || dialing, at);
          dialing = false;
          break;
        case 'send':
          assert(alive.has(effect.connection), `${at}: sends ${effect.message.kind} on a closed connection`);
          break;
        case 'close':
          assert(alive.delete(effect.connection), `${at}: closes twice`);
          break;
        case 'established':
          assert.equal(established++, 0, `${at}: two sessions at once`);
          break;
        case 'down':
          assert.equal(established--, 1, `${at}: down without a session`);
          break;
      }
    }
    const { links, state, running } = driver.session;
    assert(
      links.every(({ id }) => alive.has(id)),
      `seed ${seed}: a link without connection`,
    );
    assert.equal(links.length, alive.size, `seed ${seed}, step ${i}: a connection without link, after ${event.kind}`);
    assert(links.filter(({ incoming }) => incoming).length <= 2 && links.length <= 3, `seed ${seed}: too many links`);
    assert.equal(driver.session.dialing, dialing, `seed ${seed}`);
    assert.equal(established === 1, state === 'Established', `seed ${seed}, step ${i}`);
    if (!running) assert.equal(state, 'Idle');
    const stuck = running && state !== 'Established' && nextDeadline(driver.session) === undefined;
    assert(!stuck, `seed ${seed}, step ${i}: ${state} without a timer`);
  }
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
