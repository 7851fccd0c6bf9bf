// Shows BFD: packets as bytes both ways, what is discarded, the state table of RFC 5880 §6.8.6, the pace agreed by poll
// sequences, detection, and that two sessions find each other whatever the loss.

import assert from 'node:assert/strict';
import { type BfdPacket, type BfdState, decodeBfd, encodeBfd } from '../../../bgp/bfd/packet.ts';
import {
  type BfdEvent,
  type BfdSession,
  type BfdTiming,
  bfdDeadline,
  createBfdSession,
  detectionMs,
  stepBfd,
} from '../../../bgp/bfd/session.ts';

const packet: BfdPacket = {
  diagnostic: 0,
  state: 'Down',
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  authenticated: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 7,
  yourDiscriminator: 1,
  desiredMinTxUs: 50_000,
  requiredMinRxUs: 50_000,
  requiredMinEchoRxUs: 0,
};
const fast: BfdTiming = { minTxMs: 50, minRxMs: 50, multiplier: 3 };

describe('bfd packets', () => {
  it('reads and writes the layout of RFC 5880 §4.1', () => {
    const bytes = encodeBfd({ ...packet, diagnostic: 1, state: 'Up', poll: true });
    assert.equal(Buffer.from(bytes).toString('hex'), '21e0031800000007000000010000c3500000c35000000000');
    assert.deepEqual(decodeBfd(bytes), {
      kind: 'packet',
      packet: { ...packet, diagnostic: 1, state: 'Up', poll: true },
    });
  });

  const wrong: [string, (bytes: Uint8Array) => void][] = [
    ['another version', (bytes) => bytes.fill(0x41, 0, 1)],
    ['a wrong length', (bytes) => bytes.fill(25, 3, 4)],
    ['a wrong length', (bytes) => bytes.fill(23, 3, 4)],
    ['multiplier 0', (bytes) => bytes.fill(0, 2, 3)],
    ['multipoint', (bytes) => bytes.fill(0xc1, 1, 2)],
    ['my discriminator 0', (bytes) => bytes.fill(0, 4, 8)],
    ['your discriminator 0 in a session that is under way', (bytes) => bytes.fill(0xc0, 1, 2).fill(0, 8, 12)],
  ];
  for (const [reason, change] of wrong) {
    it(`discards ${reason}`, () => {
      const bytes = encodeBfd(packet);
      change(bytes);
      assert.deepEqual(decodeBfd(bytes), { kind: 'discarded', reason });
    });
  }
  it('discards what is too short', () => {
    assert.equal(decodeBfd(encodeBfd(packet).subarray(0, 23)).kind, 'discarded');
  });
});

describe('bfd session', () => {
  // Rows: our state. Columns: the peer's state in its packet → ours.
  const table: Record<'Down' | 'Init' | 'Up', Record<BfdState, BfdState>> = {
    Down: { AdminDown: 'Down', Down: 'Init', Init: 'Up', Up: 'Down' },
    Init: { AdminDown: 'Down', Down: 'Init', Init: 'Up', Up: 'Up' },
    Up: { AdminDown: 'Down', Down: 'Down', Init: 'Up', Up: 'Up' },
  };
  const inState = (state: 'Down' | 'Init' | 'Up'): BfdSession => {
    let session = createBfdSession(1, fast, 0);
    const path: BfdState[] = state === 'Down' ? [] : state === 'Init' ? ['Down'] : ['Down', 'Up'];
    for (const remote of path)
      session = stepBfd(session, { kind: 'packet', packet: { ...packet, state: remote } }, 0, 0).session;
    assert.equal(session.state, state);
    return session;
  };
  for (const [state, row] of Object.entries(table)) {
    for (const [remote, expected] of Object.entries(row)) {
      it(`${state}, peer ${remote} → ${expected}`, () => {
        if (state !== 'Down' && state !== 'Init' && state !== 'Up') throw new Error(state);
        if (remote !== 'AdminDown' && remote !== 'Down' && remote !== 'Init' && remote !== 'Up')
          throw new Error(remote);
        const { session, effects } = stepBfd(
          inState(state),
          { kind: 'packet', packet: { ...packet, state: remote } },
          1,
          0,
        );
        assert.equal(session.state, expected);
        assert.equal(
          effects.some((effect) => effect.kind === 'state'),
          state !== expected,
        );
      });
    }
  }

  it('stays silent to packets while administratively down, and says so to the peer', () => {
    const { session, effects } = stepBfd(inState('Up'), { kind: 'admin', down: true }, 1, 0);
    assert.equal(session.state, 'AdminDown');
    const [, sent] = effects;
    assert(sent?.kind === 'send');
    assert.deepEqual([sent.packet.state, sent.packet.diagnostic], ['AdminDown', 7]);
    assert.equal(stepBfd(session, { kind: 'packet', packet }, 2, 0).session.state, 'AdminDown');
    assert.equal(stepBfd(session, { kind: 'admin', down: false }, 3, 0).session.state, 'Down');
  });

  it('says by the C bit whether it goes on without the routing process, and hears the same of the peer', () => {
    for (const independent of [false, true]) {
      const created = createBfdSession(1, fast, 0, independent);
      const heard = { ...packet, state: 'Down' as const, controlPlaneIndependent: !independent };
      const { session, effects } = stepBfd(created, { kind: 'packet', packet: heard }, 1, 0);
      const sent = effects.flatMap((effect) => (effect.kind === 'send' ? [effect.packet.controlPlaneIndependent] : []));
      assert.deepEqual([sent, session.remoteIndependent], [[independent], !independent]);
    }
  });

  it('sends once a second until it is up, then at the slower of what we want and the peer can', () => {
    assert.equal(
      gaps(createBfdSession(1, fast, 0), 5).every((gap) => gap >= 750 && gap <= 1000),
      true,
    );
    const up = inState('Up');
    assert.equal(
      gaps(up, 20).every((gap) => gap >= 37.5 && gap <= 50),
      true,
    );
    const slowPeer = stepBfd(
      up,
      { kind: 'packet', packet: { ...packet, state: 'Up', requiredMinRxUs: 300_000 } },
      1,
      0,
    ).session;
    assert.equal(
      gaps(slowPeer, 20).every((gap) => gap >= 225 && gap <= 300),
      true,
    );
    const one = stepBfd(up, { kind: 'timing', timing: { ...fast, multiplier: 1 } }, 1, 0).session;
    assert.equal(
      gaps(one, 50).every((gap) => gap <= 45),
      true,
    );
  });

  it('detects silence after the peer’s multiplier times the agreed interval', () => {
    const up = stepBfd(
      inState('Up'),
      { kind: 'packet', packet: { ...packet, state: 'Up', final: true } },
      100,
      0,
    ).session;
    assert.equal(detectionMs(up), 150);
    const before = stepBfd(up, { kind: 'timer' }, 249, 0).session;
    assert.equal(before.state, 'Up');
    const { session, effects } = stepBfd(before, { kind: 'timer' }, 250, 0);
    assert.deepEqual([session.state, session.diagnostic], ['Down', 1]);
    assert.equal(
      effects.some((effect) => effect.kind === 'send' && effect.packet.state === 'Down'),
      true,
    );
    assert.equal(session.remoteDiscriminator, 0);
  });

  it('polls when the pace changes, and waits longer until the peer has agreed', () => {
    let up = stepBfd(inState('Up'), { kind: 'packet', packet: { ...packet, state: 'Up', final: true } }, 1, 0).session;
    assert.equal(up.polling, false);
    up = stepBfd(up, { kind: 'timing', timing: { minTxMs: 300, minRxMs: 10, multiplier: 3 } }, 2, 0).session;
    assert.equal(up.polling, true);
    // The peer still expects a packet every 50 ms, and may still send that seldom.
    assert.deepEqual([up.agreedMinTxMs, up.agreedMinRxMs], [50, 50]);
    up = stepBfd(up, { kind: 'packet', packet: { ...packet, state: 'Up', final: true } }, 3, 0).session;
    assert.deepEqual([up.polling, up.agreedMinTxMs, up.agreedMinRxMs], [false, 300, 10]);
  });

  it('answers a poll at once with F', () => {
    const { effects } = stepBfd(
      inState('Up'),
      { kind: 'packet', packet: { ...packet, state: 'Up', poll: true } },
      1,
      0,
    );
    const [sent] = effects;
    assert(sent?.kind === 'send');
    assert.deepEqual([sent.packet.final, sent.packet.poll], [true, false]);
  });

  it('sends nothing to a peer that wants nothing', () => {
    const deaf = stepBfd(
      inState('Up'),
      { kind: 'packet', packet: { ...packet, state: 'Up', requiredMinRxUs: 0 } },
      1,
      0,
    ).session;
    assert.deepEqual(
      stepBfd(deaf, { kind: 'timer' }, 10_000, 0).effects.filter(({ kind }) => kind === 'send').length <= 1,
      true,
    );
  });

  it('comes up on both sides, notices a broken link within three intervals, and recovers', () => {
    for (let seed = 1; seed <= 50; seed++) simulate(seed);
  });
});

function gaps(from: BfdSession, count: number): number[] {
  let session = from;
  const found: number[] = [];
  let last: number | undefined;
  // Alone: detection would end it.
  session = { ...session, detectAt: undefined };
  for (let i = 0; found.length < count; i++) {
    const now = session.sendAt;
    session = stepBfd(session, { kind: 'timer' }, now, (i * 0.37) % 1).session;
    if (last !== undefined) found.push(now - last);
    last = now;
  }
  return found;
}

/** Two sessions on a link that loses a tenth of the packets while it works. */
function simulate(seed: number): void {
  const random = generator(seed);
  const sessions: [BfdSession, BfdSession] = [
    createBfdSession(1, fast, 0),
    createBfdSession(2, { ...fast, minTxMs: 30 }, 0),
  ];
  const flying: { readonly at: number; readonly to: 0 | 1; readonly packet: BfdPacket }[] = [];
  const history: string[] = [];
  let now = 0;
  let broken = false;
  let brokenAt = 0;
  const deliver = (index: 0 | 1, event: BfdEvent): void => {
    const { session, effects } = stepBfd(sessions[index], event, now, random());
    sessions[index] = session;
    for (const effect of effects) {
      if (effect.kind === 'state') history.push(`${index} ${effect.to}`);
      const lost = broken || random() < 0.1;
      if (effect.kind === 'send' && !lost)
        flying.push({ at: now + 1 + random() * 5, to: index === 0 ? 1 : 0, packet: effect.packet });
    }
  };
  const runUntil = (end: number, done: () => boolean): void => {
    while (now < end && !done()) {
      flying.sort((a, b) => a.at - b.at);
      const next = Math.min(bfdDeadline(sessions[0]), bfdDeadline(sessions[1]), flying[0]?.at ?? Infinity);
      now = Math.max(now, next);
      while (flying[0] && flying[0].at <= now) {
        const arrived = flying.shift();
        if (arrived) deliver(arrived.to, { kind: 'packet', packet: arrived.packet });
      }
      for (const index of [0, 1] as const) if (bfdDeadline(sessions[index]) <= now) deliver(index, { kind: 'timer' });
    }
  };
  const bothUp = (): boolean => sessions[0].state === 'Up' && sessions[1].state === 'Up';
  runUntil(60_000, bothUp);
  assert(bothUp(), `seed ${seed}: ${history.join(', ')}`);
  runUntil(now + 300, () => false);
  runUntil(now + 60_000, bothUp);
  [broken, brokenAt] = [true, now];
  flying.length = 0;
  runUntil(now + 1000, () => sessions[0].state !== 'Up' && sessions[1].state !== 'Up');
  assert(now - brokenAt <= 151, `seed ${seed}: noticed after ${now - brokenAt} ms`);
  broken = false;
  runUntil(now + 60_000, bothUp);
  assert(bothUp(), `seed ${seed}: does not recover`);
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
