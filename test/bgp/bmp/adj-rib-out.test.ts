// Shows what a monitoring station hears of a peer's output: as it is sent and as it would be without its filter, whole and as it
// changes, with the peer in other groups, and when nobody listens any more.

import assert from 'node:assert/strict';
import { AdjRibOut } from '../../../bgp/bmp/adj-rib-out.ts';
import type { BmpMessage } from '../../../bgp/bmp/messages.ts';
import type { MonitoredPeer } from '../../../bgp/edges.ts';
import { compileFilter } from '../../../bgp/filter.ts';
import type { AdjRibOutView } from '../../../bgp/settings.ts';
import { decodeMessage } from '../../../bgp/wire/codec.ts';
import { endOfRibOf } from '../../../bgp/wire/update.ts';
import { formatPrefix } from '../../../net/prefix.ts';
import { Lab, prefix, type TestPeer } from '../rib/harness.ts';

const onlyTens = compileFilter(
  {
    rules: [
      { origin: 'test', action: 'accept', match: { prefix: prefix('10.0.0.0/8'), operator: 'in' }, operations: [] },
    ],
    otherwise: 'reject',
  },
  'ebgp',
);

/** "+10.1.0.0/16", "-10.1.0.0/16", "end". */
function said(message: BmpMessage): string[] {
  assert(message.kind === 'route-monitoring');
  const decoded = decodeMessage(message.update);
  assert(decoded.kind === 'message' && decoded.message.kind === 'update');
  const { withdrawn, nlri } = decoded.message;
  if (endOfRibOf(decoded.message)) return ['end'];
  return [
    ...withdrawn.map((one) => `-${formatPrefix(one.prefix)}`),
    ...nlri.map((one) => `+${formatPrefix(one.prefix)}`),
  ];
}

class Scene {
  readonly lab = new Lab();
  readonly from = this.lab.peer({ asn: 64601 });
  readonly to: TestPeer = this.lab.peer({ asn: 64602, treatment: { filter: onlyTens, filterKey: 'only tens' } });
  readonly heard: string[] = [];
  readonly out: AdjRibOut;
  #listener: ((bytes: Uint8Array) => void) | undefined;

  constructor() {
    const { to } = this;
    const write = to.write.bind(to);
    to.write = (bytes) => {
      write(bytes);
      this.#listener?.(bytes);
    };
    const peer: MonitoredPeer = {
      about: { address: 0x0a000002, asn: 64602, routerId: 2 },
      localAddress: 0,
      localPort: 0,
      remotePort: 0,
      sentOpen: new Uint8Array(),
      receivedOpen: new Uint8Array(),
      twoOctetAs: false,
      families: ['ipv4-unicast'],
      addPath: [],
      source: to.source,
      routeCount: () => 0,
      out: {
        groups: () => to.groups,
        tap: (listener) => {
          this.#listener = listener;
        },
      },
    };
    this.out = new AdjRibOut(this.lab.rib, peer, (view, message) => {
      this.heard.push(...said(message).map((one) => `${view} ${one}`));
    });
  }

  announce(...texts: string[]): void {
    for (const text of texts) this.from.announce(text);
    this.lab.rib.flush();
  }

  table(view: AdjRibOutView): string[] {
    return [...this.out.table(view)].flat().flatMap(said);
  }

  take(): string[] {
    return this.heard.splice(0).sort();
  }
}

describe('BMP Adj-RIB-Out (RFC 8671)', () => {
  it('tells changes after policy and before it', () => {
    const scene = new Scene();
    scene.out.watch(new Set(['pre-policy', 'post-policy']));
    scene.announce('10.1.0.0/16', '192.0.2.0/24');
    assert.deepEqual(scene.take(), ['post-policy +10.1.0.0/16', 'pre-policy +10.1.0.0/16', 'pre-policy +192.0.2.0/24']);
    scene.from.withdraw('10.1.0.0/16');
    scene.lab.rib.flush();
    assert.deepEqual(scene.take(), ['post-policy -10.1.0.0/16', 'pre-policy -10.1.0.0/16']);
    assert.deepEqual([scene.out.countOf('pre-policy'), scene.out.countOf('post-policy')], [1, 0]);
  });

  it('tells the whole of either, which ends with End-of-RIB', () => {
    const scene = new Scene();
    scene.announce('10.1.0.0/16', '192.0.2.0/24');
    // What the peer itself says is not sent to it, whatever the view.
    scene.to.announce('10.2.0.0/16', { asPath: [{ kind: 'sequence', asns: [64602] }] });
    scene.lab.rib.flush();
    scene.out.watch(new Set(['pre-policy', 'post-policy']));
    assert.deepEqual(scene.table('post-policy'), ['+10.1.0.0/16', 'end']);
    assert.deepEqual(scene.table('pre-policy').sort(), ['+10.1.0.0/16', '+192.0.2.0/24', 'end']);
    // To begin to listen is no reason to send anything.
    assert.deepEqual(scene.take(), []);
  });

  it('follows the peer into other groups', () => {
    const scene = new Scene();
    scene.announce('10.1.0.0/16', '192.0.2.0/24');
    scene.out.watch(new Set(['pre-policy']));
    scene.to.move(scene.lab.rib, { draining: true });
    assert.equal(scene.out.regroup(), false);
    assert.deepEqual(scene.take(), ['pre-policy +10.1.0.0/16', 'pre-policy +192.0.2.0/24']);
    scene.announce('10.3.0.0/16');
    assert.deepEqual(scene.take(), ['pre-policy +10.3.0.0/16']);
  });

  it('leaves nothing behind when nobody listens any more', () => {
    const scene = new Scene();
    const groups = (): number => [...scene.lab.rib.groups].length;
    const before = groups();
    scene.out.watch(new Set(['pre-policy', 'post-policy']));
    assert.equal(groups(), before + 1);
    scene.out.watch(new Set(['post-policy']));
    assert.equal(groups(), before);
    scene.out.close();
    scene.announce('10.1.0.0/16');
    assert.deepEqual(scene.take(), []);
    assert.equal(scene.to.table.size, 1);
  });
});
