// What the speaker tells of itself: what each peer said and was sent, why a route is not the best, not sent, or not there,
// and the same as Prometheus metrics.

import assert from 'node:assert/strict';
import { bgpMetricsText } from '../../bgp/metrics.ts';
import type { FilterRule, FilterSettings, PeerSettings } from '../../bgp/settings.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import type { StatusReport } from '../../bgp/status.ts';
import type { PathAttributes } from '../../bgp/wire/attributes.ts';
import { wholeMessage } from '../../bgp/wire/codec.ts';
import type { Capability } from '../../bgp/wire/message.ts';
import { describeRoutes, describeWhy } from '../../cli/commands/bgp.ts';
import { attributes, prefix, update } from './rib/harness.ts';
import { ScriptedPeer } from './scripted-peer.ts';
import { peerSettings, speakerIn, speakerSettings, World } from './speakers.ts';

const address = (i: number): number => 0x0a000000 + i;

const rule = (rest: Partial<FilterRule>): FilterRule => ({ origin: 'test', action: 'accept', operations: [], ...rest });
const rules = (...list: FilterRule[]): FilterSettings => ({ rules: list, otherwise: 'accept' });
const match = (text: string, operator: 'in' | 'equal' = 'in') => ({ match: { prefix: prefix(text), operator } });

/** A speaker of AS 65001 with peers of AS 64602, 64603 … at 10.0.0.2, 10.0.0.3 … */
class Scene {
  readonly world = new World(1);
  readonly speaker: Speaker;
  readonly peers: readonly ScriptedPeer[];

  constructor(...peers: readonly (Partial<PeerSettings> & { readonly capabilities?: readonly Capability[] })[]) {
    const settings = peers.map(({ capabilities: _, ...rest }, i) => {
      return peerSettings(`tor-${i + 1}`, address(i + 2), 64602 + i, rest);
    });
    this.peers = peers.map(({ capabilities = [] }, i) => {
      const asn = 64602 + i;
      const known: Capability[] = [
        { kind: 'multiprotocol', afi: 1, safi: 1 },
        { kind: 'four-octet-as', asn },
        ...capabilities,
      ];
      return new ScriptedPeer(this.world, { address: address(i + 2), asn, capabilities: known });
    });
    this.speaker = speakerIn(this.world, address(1));
    const originate = [{ prefix: prefix('10.65.0.0/26'), blackhole: true, communities: [] }];
    this.speaker.configure(speakerSettings(address(1), 65001, settings, { originate }));
    assert.ok(this.world.run(60_000, () => this.speaker.peers().every(({ state }) => state === 'Established')));
  }

  announce(from: number, text: string, rest: PathAttributes = {}): void {
    const asPath = [{ kind: 'sequence' as const, asns: [64601 + from] }];
    const values = attributes({ asPath, nextHop: address(from + 1), ...rest });
    this.peers[from - 1]?.send(update({ attributes: values, nlri: [{ prefix: prefix(text) }] }));
    this.world.run(this.world.now + 200);
  }

  why(text: string) {
    return this.speaker.why(prefix(text));
  }
}

describe('why a route is where it is', () => {
  it('names import rules that reject, or that changed what was received', () => {
    const add = { kind: 'add-community', community: { kind: 'standard', value: 65001 * 65536 + 7 } } as const;
    const importFilter = rules(
      rule({ origin: 'BGPFilter/no importV4[0]', action: 'reject', ...match('192.0.2.0/24') }),
      rule({ origin: 'BGPFilter/mark importV4[0]', ...match('198.51.100.0/24'), operations: [add] }),
    );
    const scene = new Scene({ importFilter }, {});
    scene.announce(1, '192.0.2.0/24');
    scene.announce(1, '198.51.100.0/24');
    const [rejected] = scene.why('192.0.2.0/24').paths;
    assert.deepEqual([rejected?.best, rejected?.verdict], [false, 'rejected by BGPFilter/no importV4[0]']);
    const [changed] = scene.why('198.51.100.0/24').paths;
    assert.deepEqual(changed?.attributes?.communities, []);
    assert.deepEqual(changed?.inForce?.by, 'BGPFilter/mark importV4[0]');
    assert.deepEqual(changed?.inForce?.attributes.communities, ['65001:7']);
    const received = scene.speaker.routes({ view: 'received', peer: 'tor-1' }).routes;
    assert.deepEqual(
      received.map(({ prefix, best, why }) => [prefix, best, why]),
      [
        ['192.0.2.0/24', false, 'rejected by BGPFilter/no importV4[0]'],
        ['198.51.100.0/24', true, undefined],
      ],
    );
  });

  it('tells what RFC 7606 made of a malformed UPDATE, until a good one comes', () => {
    const scene = new Scene({}, {});
    const malformed = (list: string) =>
      Buffer.from(`0000${(list.length / 2).toString(16).padStart(4, '0')}${list}18c00002`, 'hex');
    const good = '40010100 4002060201 0000fc5a 400304 0a000002'.replace(/ /g, '');
    const send = (list: string): void => {
      scene.peers[0]?.sendBytes(wholeMessage(2, malformed(list)));
      scene.world.run(scene.world.now + 200);
    };
    send(`${good}c00800`);
    assert.deepEqual(scene.why('192.0.2.0/24').paths, [
      { from: 'tor-1 (10.0.0.2)', verdict: 'taken as withdrawn (RFC 7606): COMMUNITIES malformed', best: false },
    ]);
    assert.match(scene.speaker.peers()[0]?.detail ?? '', /1 malformed UPDATEs? .*the last one: COMMUNITIES malformed/);
    send(`${good}c00700`);
    assert.equal(scene.why('192.0.2.0/24').paths[0]?.verdict, 'best; AGGREGATOR malformed: discarded (RFC 7606)');
    send(good);
    assert.equal(scene.why('192.0.2.0/24').paths[0]?.verdict, 'best');
    assert.deepEqual(scene.speaker.peers()[0]?.malformedUpdates, { treatedAsWithdraw: 1, attributesDiscarded: 1 });
  });

  it('gives every other reason on the way in', () => {
    const scene = new Scene({}, {});
    scene.announce(1, '10.9.0.0/16', { asPath: [{ kind: 'sequence', asns: [64602, 65001] }] });
    scene.announce(1, '10.8.0.0/16', { nextHop: address(1) });
    scene.announce(1, '224.1.0.0/16');
    scene.announce(1, '10.7.0.0/16', { communities: [0xffff0000] });
    scene.announce(2, '10.7.0.0/16', { asPath: [{ kind: 'sequence', asns: [64603, 1, 2] }] });
    const verdicts = (text: string) => scene.why(text).paths.map(({ verdict }) => verdict);
    assert.deepEqual(verdicts('10.9.0.0/16'), ['own AS number in the AS_PATH']);
    assert.deepEqual(verdicts('10.8.0.0/16'), ['next hop is an address of this speaker']);
    assert.deepEqual(verdicts('224.1.0.0/16'), ['not a prefix of IPv4 unicast addresses']);
    assert.deepEqual(verdicts('10.7.0.0/16'), ['best', 'lower LOCAL_PREF']);
    // GRACEFUL_SHUTDOWN is why, and so it shows.
    const drained = scene.why('10.7.0.0/16').paths[1]?.attributes;
    assert.deepEqual([drained?.localPref, drained?.communities], [0, ['65535:0']]);
  });

  it('shows what each peer is sent as it is sent, and what it is not, by rule or community', () => {
    const exportFilter = rules(
      rule({ origin: 'BGPFilter/out exportV4[0]', action: 'reject', ...match('192.0.2.0/24') }),
      rule({
        origin: 'BGPFilter/out exportV4[1]',
        ...match('198.51.100.0/24'),
        operations: [{ kind: 'prepend-as-path', asns: [65001, 65001] }],
      }),
    );
    const scene = new Scene({}, { exportFilter });
    scene.announce(1, '192.0.2.0/24');
    scene.announce(1, '198.51.100.0/24', { med: 5 });
    scene.announce(1, '203.0.113.0/24', { communities: [0xffffff01] });
    const to2 = (text: string) => scene.why(text).advertised.find(({ to }) => to === 'tor-2');
    assert.equal(to2('192.0.2.0/24')?.verdict, 'rejected by BGPFilter/out exportV4[0]');
    assert.equal(to2('203.0.113.0/24')?.verdict, 'community NO_EXPORT');
    assert.equal(to2('198.51.100.0/24')?.verdict, 'sent, by BGPFilter/out exportV4[1]');
    const sent = to2('198.51.100.0/24')?.attributes;
    assert.deepEqual([sent?.asPath, sent?.nextHop, sent?.med], ['65001 65001 65001 64602', '10.0.0.1', undefined]);
    assert.equal(scene.why('192.0.2.0/24').advertised[0]?.verdict, 'the best path came from this peer');
    const advertised = scene.speaker.routes({ view: 'advertised', peer: '10.0.0.3' }).routes;
    assert.deepEqual(
      advertised.map(({ prefix, best, attributes }) => [prefix, best, attributes.asPath, attributes.nextHop]),
      [
        ['10.65.0.0/26', true, '65001', '10.0.0.1'],
        ['198.51.100.0/24', true, '65001 65001 65001 64602', '10.0.0.1'],
      ],
    );
  });

  it('lists routes in the order of their prefixes, as many as are asked for', () => {
    const scene = new Scene({});
    for (const text of ['203.0.113.0/24', '192.0.2.0/24', '192.0.2.0/25', '9.0.0.0/8']) scene.announce(1, text);
    const listed = (limit?: number) => scene.speaker.routes({ view: 'best', ...(limit ? { limit } : {}) });
    assert.deepEqual(
      listed().routes.map((route) => route.prefix),
      ['9.0.0.0/8', '10.65.0.0/26', '192.0.2.0/24', '192.0.2.0/25', '203.0.113.0/24'],
    );
    assert.deepEqual(
      [4, 5].map((limit) => [listed(limit).routes.length, listed(limit).more]),
      [
        [4, true],
        [5, false],
      ],
    );
  });

  it('says why attributes that no message can hold are not sent', () => {
    const scene = new Scene({ capabilities: [{ kind: 'extended-message' }] }, {});
    const asPath = [{ kind: 'sequence' as const, asns: [64602, ...new Array<number>(1100).fill(7)] }];
    scene.announce(1, '192.0.2.0/24', { asPath });
    const to2 = scene.why('192.0.2.0/24').advertised.find(({ to }) => to === 'tor-2');
    assert.equal(to2?.verdict, 'its attributes do not fit into a message of 4096 octets');
    assert.equal(scene.speaker.peers()[1]?.routesOut, 1);
  });

  it('says that a peer is not sent a route whose next hop is its own address (RFC 4271 §5.1.3)', () => {
    const receive: Capability = { kind: 'add-path', families: [{ afi: 1, safi: 1, send: false, receive: true }] };
    const keep = { nextHop: 'keep' } as const;
    const scene = new Scene({}, keep, { ...keep, addPathSend: true, capabilities: [receive] });
    for (const peer of [2, 3]) {
      scene.announce(1, '192.0.2.0/24', { nextHop: address(peer + 1) });
      const of = (to: string) => scene.why('192.0.2.0/24').advertised.find((one) => one.to === to);
      const [refused, other] = [of(`tor-${peer}`), of(`tor-${5 - peer}`)];
      assert.match(refused?.verdict ?? '', /its next hop is this peer's own address \(RFC 4271 §5\.1\.3\)/);
      assert.equal(refused?.sent, false);
      assert.match(other?.verdict ?? '', /^sent/);
      assert.deepEqual(
        scene.speaker.peers().map(({ routesOut }) => routesOut),
        peer === 2 ? [1, 1, 2] : [1, 2, 1],
      );
    }
  });

  it('counts paths where all are sent (RFC 7911), and says which are not', () => {
    const receive: Capability = { kind: 'add-path', families: [{ afi: 1, safi: 1, send: false, receive: true }] };
    const scene = new Scene({}, {}, { addPathSend: true, capabilities: [receive] });
    scene.announce(1, '192.0.2.0/24');
    scene.announce(2, '192.0.2.0/24');
    const to3 = () => scene.why('192.0.2.0/24').advertised.find(({ to }) => to === 'tor-3');
    assert.equal(to3()?.verdict, 'sent 2 of 2 paths');
    scene.announce(2, '192.0.2.0/24', { communities: [0xffffff02] });
    assert.equal(to3()?.verdict, 'sent 1 of 2 paths; not the one from tor-2: community NO_ADVERTISE');
  });

  it('finds the prefix of an address, and the one around a prefix that nobody announces', () => {
    const scene = new Scene({}, {});
    scene.announce(1, '10.0.0.0/8');
    scene.announce(2, '10.1.0.0/16');
    assert.equal(scene.speaker.why(0x0a010203).prefix, '10.1.0.0/16');
    assert.equal(scene.speaker.why(0x0a020304).prefix, '10.0.0.0/8');
    assert.equal(scene.speaker.why(0x0b000001).prefix, '11.0.0.1/32');
    const { covering, paths, advertised } = scene.why('10.1.2.0/24');
    assert.deepEqual([covering, paths, advertised], ['10.1.0.0/16', [], []]);
    const found = scene.speaker.routes({ view: 'best', address: 0x0a010203 }).routes;
    assert.deepEqual(
      found.map((route) => route.prefix),
      ['10.1.0.0/16'],
    );
    assert.match(describeWhy(scene.why('10.1.2.0/24')), /nobody announces it\n +it lies in 10\.1\.0\.0\/16/);
  });

  it('knows who is not up, what does not carry the family, and whom it does not know', () => {
    const scene = new Scene({}, {});
    scene.announce(1, '192.0.2.0/24');
    scene.world.cut(address(1), address(3));
    scene.world.run(scene.world.now + 100);
    const to2 = scene.why('192.0.2.0/24').advertised.find(({ to }) => to === 'tor-2');
    assert.match(to2?.verdict ?? '', /^not established \((Idle|Connect|Active)\)$/);
    const none = scene.speaker.routes({ view: 'advertised', peer: 'tor-2' });
    assert.match(describeRoutes(none), /^No routes advertised to tor-2: not established \(\w+\)\.\n$/);
    assert.throws(
      () => scene.speaker.routes({ view: 'received', peer: 'tor-9' }),
      /no peer "tor-9"; there are tor-1, tor-2/,
    );
  });
});

describe('the speaker’s metrics', () => {
  it('have state, uptime, flaps, prefixes, messages, queue and last error of each peer', () => {
    const scene = new Scene({}, {});
    scene.announce(1, '192.0.2.0/24');
    scene.world.cut(address(1), address(3));
    scene.world.run(scene.world.now + 100);
    const status: StatusReport = {
      ready: true,
      node: 'n',
      routerId: '10.0.0.1',
      asn: 65001,
      datastore: { status: 'in-sync', revision: 1, keys: 1 },
      startedAt: new Date().toISOString(),
      peers: { configured: 2, established: 1 },
      fib: { routes: 0, failures: [] },
      problems: [],
      listenErrors: [],
    };
    const text = bgpMetricsText(status, scene.speaker.peers());
    const value = (name: string, peer: string): string | undefined =>
      new RegExp(`^twill_bgp_peer_${name}\\{peer="${peer}"[^\\n]*\\} ([^\\n]*)$`, 'm').exec(text)?.[1];
    assert.deepEqual(
      ['up', 'flaps_total', 'prefixes_received', 'prefixes_accepted', 'prefixes_sent', 'queue_bytes'].map((name) =>
        value(name, 'tor-1'),
      ),
      ['1', '0', '1', '1', '1', '0'],
    );
    assert.deepEqual(
      ['up', 'flaps_total', 'uptime_seconds'].map((name) => value(name, 'tor-2')),
      ['0', '1', '0'],
    );
    assert.ok(Number(value('uptime_seconds', 'tor-1')) > 0);
    assert.ok(Number(value('messages_received_total', 'tor-1')) >= 3);
    assert.match(
      text,
      /last_error_timestamp_seconds\{peer="tor-2"[^\n]*,error="connection lost: ECONNRESET[^"\n]*"\} \d/,
    );
    for (const line of text.trim().split('\n')) {
      assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="([^"\\\n]|\\.)*",?)*\})? -?[\d.e+]+)$/);
    }
  });
});
