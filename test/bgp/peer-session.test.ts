// Shows two sessions with real TCP between them: they come up from both ends at once, carry UPDATEs, end with a reason on
// both sides and come back; and a stuck peer is noticed.

import assert from 'node:assert/strict';
import type { Clock, Listener, Transport } from '../../bgp/edges.ts';
import { PeerSession } from '../../bgp/peer-session.ts';
import type { DownReason } from '../../bgp/session-types.ts';
import { acceptAll, type PeerSettings } from '../../bgp/settings.ts';
import { createTransport } from '../../bgp/transport.ts';
import { encodeMessage } from '../../bgp/wire/codec.ts';
import type { Capability } from '../../bgp/wire/message.ts';
import { parseIpv4 } from '../../net/address.ts';

const clock: Clock = {
  now: () => performance.now(),
  after: (delay, callback) => {
    const timer = setTimeout(callback, delay);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

describe('bgp peer session', () => {
  let port = 22000 + (process.pid % 20000);
  const ends: End[] = [];
  afterEach(() => {
    for (const end of ends.splice(0)) end.close();
    port += 2;
  });

  function pair(changes: Partial<PeerSettings> = {}): [End, End] {
    const left = new End({ own: '127.0.0.11', peer: '127.0.0.12', asn: 65001, peerAsn: 65002, port, changes });
    const right = new End({ own: '127.0.0.12', peer: '127.0.0.11', asn: 65002, peerAsn: 65001, port, changes });
    ends.push(left, right);
    return [left, right];
  }

  it('comes up when both ends dial at once, with one connection', async () => {
    const [left, right] = pair();
    left.session.start();
    right.session.start();
    await until(() => left.up && right.up);
    assert.deepEqual(left.session.negotiated?.families, ['ipv4-unicast']);
    assert.equal(left.session.session.links.length, 1);
    assert.equal(left.session.connection?.localAddress, right.session.connection?.remoteAddress);
  });

  it('carries UPDATEs in order and counts messages', async () => {
    const [left, right] = pair();
    left.session.start();
    right.session.start();
    await until(() => left.up && right.up);
    for (let med = 0; med < 500; med++) {
      left.session.write(
        encodeMessage({ kind: 'update', withdrawn: [], attributes: { med }, nlri: [], unknownAttributes: [] }),
      );
    }
    await until(() => right.updates.length === 500);
    assert.deepEqual(
      right.updates,
      Array.from({ length: 500 }, (_, med) => med),
    );
    assert(right.readEnds < 100, `${right.readEnds} reads`);
    assert.equal(right.session.counters.updatesIn, 500);
  });

  it('tells both ends why it ended, and comes back', async () => {
    const [left, right] = pair();
    left.session.start();
    right.session.start();
    await until(() => left.up && right.up);
    left.session.stop(4, { text: 'new software', restartAfterMs: 0 });
    await until(() => right.downs.length === 1);
    assert.equal(right.downs[0]?.kind, 'notification-received');
    assert.equal(left.downs[0]?.kind, 'stopped');
    await until(() => left.up && right.up, 8000);
  });

  it('ends a session by NOTIFICATION when an UPDATE is refused', async () => {
    const [left, right] = pair();
    left.session.start();
    right.session.start();
    await until(() => left.up && right.up);
    right.refuse = true;
    left.session.write(
      encodeMessage({ kind: 'update', withdrawn: [], attributes: { med: 1 }, nlri: [], unknownAttributes: [] }),
    );
    await until(() => left.downs.length === 1);
    const [reason] = left.downs;
    assert(reason?.kind === 'notification-received');
    assert.deepEqual([reason.notification.code, reason.notification.subcode], [3, 1]);
  });

  it('says what stands in the way: nobody there, another AS', async () => {
    const [left] = pair({ connectRetrySec: 1 });
    left.session.start();
    ends[1]?.close();
    await until(() => left.session.session.lastError?.reason.kind === 'connect-failed');
    const stranger = new End({
      own: '127.0.0.13',
      peer: '127.0.0.14',
      asn: 65001,
      peerAsn: 65003,
      port: port + 1,
      changes: {},
    });
    const other = new End({
      own: '127.0.0.14',
      peer: '127.0.0.13',
      asn: 65002,
      peerAsn: 65001,
      port: port + 1,
      changes: {},
    });
    ends.push(stranger, other);
    stranger.session.start();
    other.session.start();
    await until(() => stranger.session.session.lastError?.reason.kind === 'notification-sent');
    const reason = stranger.session.session.lastError?.reason;
    assert(reason?.kind === 'notification-sent');
    assert.match(reason.problem ?? '', /says AS 65002, AS 65003 is configured/);
  });
});

interface EndOptions {
  readonly own: string;
  readonly peer: string;
  readonly asn: number;
  readonly peerAsn: number;
  readonly port: number;
  readonly changes: Partial<PeerSettings>;
}

class End {
  readonly session: PeerSession;
  readonly updates: number[] = [];
  readonly downs: DownReason[] = [];
  readEnds = 0;
  up = false;
  refuse = false;
  readonly #transport: Transport = createTransport();
  readonly #listener: Listener;

  constructor({ own, peer, asn, peerAsn, port, changes }: EndOptions) {
    const capabilities: readonly Capability[] = [{ kind: 'multiprotocol', afi: 1, safi: 1 }];
    const settings = peerSettings(peer, own, port, peerAsn, changes);
    const config = { localAsn: asn, routerId: parseIpv4(own) ?? 0, peerAsn, peer: settings, capabilities };
    this.session = new PeerSession(
      config,
      { transport: this.#transport, clock },
      {
        onState: () => {},
        onEstablished: () => {
          this.up = true;
        },
        onUpdate: (bytes, from) => {
          // The only attribute is MED, its value in the last four octets.
          this.updates.push(new DataView(bytes.buffer, bytes.byteOffset + from).getUint32(23 + 3));
          return this.refuse ? { kind: 'notification', code: 3, subcode: 1, data: new Uint8Array(0) } : undefined;
        },
        onRouteRefresh: () => {},
        onReadEnd: () => {
          this.readEnds++;
        },
        onDrain: () => {},
        onDown: (reason) => {
          this.up = false;
          this.downs.push(reason);
        },
      },
    );
    this.#listener = this.#transport.listen({ address: parseIpv4(own) ?? 0, port }, [settings], (connection) =>
      this.session.accept(connection),
    );
  }

  close(): void {
    this.session.abandon();
    this.session.dispose();
    this.#listener.close();
  }
}

function peerSettings(
  address: string,
  sourceAddress: string,
  port: number,
  asn: number,
  changes: Partial<PeerSettings>,
): PeerSettings {
  return {
    name: `test:${address}`,
    address: parseIpv4(address) ?? 0,
    sourceAddress: parseIpv4(sourceAddress) ?? 0,
    port,
    asn,
    passive: false,
    families: ['ipv4-unicast'],
    holdTimeSec: 90,
    keepaliveTimeSec: 0,
    connectRetrySec: 5,
    routeReflectorClient: false,
    nextHop: 'auto',
    allowedOwnAsns: 0,
    gracefulRestart: false,
    addPathSend: false,
    addPathReceive: false,
    importFilter: acceptAll,
    exportFilter: acceptAll,
    ...changes,
  };
}

async function until(condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    assert(Date.now() < deadline, `not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
