// Shows that rules of filters which ask for an interface follow the routes: by which interface a next hop is reached, once that
// is known, when it changes, and when the interface is given another name.

import assert from 'node:assert/strict';
import type { Fib } from '../../bgp/edges.ts';
import type { FilterRule, FilterSettings } from '../../bgp/settings.ts';
import type { Speaker } from '../../bgp/speaker.ts';
import type { Capability } from '../../bgp/wire/message.ts';
import type { Address } from '../../net/address.ts';
import { attributes, ipv4, prefix, update } from './rib/harness.ts';
import { ScriptedPeer } from './scripted-peer.ts';
import { peerSettings, speakerIn, speakerSettings, World } from './speakers.ts';

const [us, router, other] = [ipv4('10.0.0.1'), ipv4('10.0.0.2'), ipv4('10.0.0.3')];
const ROUTE = '192.0.2.0/24';

const rule = (rest: Partial<FilterRule>): FilterRule => ({ origin: 'test', action: 'accept', operations: [], ...rest });
const only = (name: string): FilterSettings => ({ rules: [rule({ interface: name })], otherwise: 'reject' });
const all: FilterSettings = { rules: [], otherwise: 'accept' };

/** A kernel of two interfaces, by one of which everything is reached. */
class Kernel implements Fib {
  interfaceIndex = 1;
  readonly names = new Map([
    [1, 'eth0'],
    [2, 'wan0'],
  ]);
  readonly #asked = new Set<Address>();
  #onChange: (addresses: readonly Address[]) => void = () => {};
  #onRenamed: (interfaceIndex: number) => void = () => {};

  lookUp(address: Address) {
    this.#asked.add(address);
    return { length: 24, priority: 0, ways: [{ interfaceIndex: this.interfaceIndex }] };
  }

  move(interfaceIndex: number): void {
    this.interfaceIndex = interfaceIndex;
    this.#onChange([...this.#asked]);
  }

  rename(interfaceIndex: number, name: string): void {
    this.names.set(interfaceIndex, name);
    this.#onRenamed(interfaceIndex);
  }

  nameOf(interfaceIndex: number): string | undefined {
    return this.names.get(interfaceIndex);
  }
  onChange(callback: (addresses: readonly Address[]) => void): void {
    this.#onChange = callback;
  }
  onRenamed(callback: (interfaceIndex: number) => void): void {
    this.#onRenamed = callback;
  }
  dump = () => Promise.resolve([]);
  apply = () => Promise.resolve([]);
  close(): void {}
}

class Scene {
  readonly world = new World(1);
  readonly kernel = new Kernel();
  readonly speaker: Speaker;
  #open: (fib: Fib) => void = () => {};

  private constructor(importFilter: FilterSettings, exportFilter: FilterSettings) {
    const opened = new Promise<Fib>((resolve) => {
      this.#open = resolve;
    });
    this.speaker = speakerIn(this.world, us, undefined, () => opened);
    const peers = [
      peerSettings('router', router, 64602, { importFilter }),
      peerSettings('other', other, 64603, { exportFilter }),
    ];
    const fib = { table: 254, protocol: 81, priority: 1024, only: [] };
    this.speaker.configure(speakerSettings(us, 65001, peers, { fib }));
  }

  /** With a route of the router; the kernel is not known yet. */
  static begin({ importFilter = all, exportFilter = all }): Scene {
    const scene = new Scene(importFilter, exportFilter);
    const [from] = [router, other].map((address, i) => {
      const asn = 64602 + i;
      const capabilities: Capability[] = [
        { kind: 'multiprotocol', afi: 1, safi: 1 },
        { kind: 'four-octet-as', asn },
      ];
      return new ScriptedPeer(scene.world, { address, asn, capabilities });
    });
    assert(scene.world.run(60_000, () => scene.speaker.peers().every(({ state }) => state === 'Established')));
    const asPath = [{ kind: 'sequence' as const, asns: [64602] }];
    from?.send(update({ attributes: attributes({ asPath, nextHop: router }), nlri: [{ prefix: prefix(ROUTE) }] }));
    scene.#settle();
    return scene;
  }

  async openKernel(): Promise<void> {
    this.#open(this.kernel);
    // What is promised in the speaker happens in a few turns.
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    this.#settle();
  }

  move(interfaceIndex: number): void {
    this.kernel.move(interfaceIndex);
    this.#settle();
  }

  rename(interfaceIndex: number, name: string): void {
    this.kernel.rename(interfaceIndex, name);
    this.#settle();
  }

  #settle(): void {
    this.world.run(this.world.now + 200);
  }

  /** Why the route is not used or not sent, or that it is. */
  get verdicts(): readonly [string | undefined, string | undefined] {
    const { paths, advertised } = this.speaker.why(prefix(ROUTE));
    return [paths[0]?.verdict, advertised.find(({ to }) => to === 'other')?.verdict];
  }
}

const refused = 'rejected: no import rule matches';
const withheld = 'rejected: no export rule matches';

describe('filters that ask for an interface', () => {
  it('judge what came before the kernel was known again', async () => {
    const scene = Scene.begin({ importFilter: only('eth*') });
    assert.equal(scene.verdicts[0], refused);
    await scene.openKernel();
    assert.deepEqual(scene.verdicts, ['best', 'sent']);
  });

  it('judge what is received again when it is reached by another interface, and back', async () => {
    const scene = Scene.begin({ importFilter: only('eth*') });
    await scene.openKernel();
    for (const [index, verdict] of [
      [2, refused],
      [1, 'best'],
      [2, refused],
    ] as const) {
      scene.move(index);
      assert.equal(scene.verdicts[0], verdict);
    }
    // Withdrawn from others too.
    assert.equal(scene.speaker.peers()[1]?.routesOut, 0);
  });

  it('judge what is sent again', async () => {
    const scene = Scene.begin({ exportFilter: only('eth*') });
    await scene.openKernel();
    assert.deepEqual(scene.verdicts, ['best', 'sent, by test']);
    scene.move(2);
    assert.deepEqual(scene.verdicts, ['best', withheld]);
    assert.equal(scene.speaker.peers()[1]?.routesOut, 0);
    scene.move(1);
    assert.deepEqual(scene.verdicts, ['best', 'sent, by test']);
  });

  it('notice that the interface is called differently', async () => {
    const scene = Scene.begin({ importFilter: only('eth*'), exportFilter: only('eth0') });
    await scene.openKernel();
    assert.deepEqual(scene.verdicts, ['best', 'sent, by test']);
    scene.rename(1, 'eth7');
    assert.deepEqual(scene.verdicts, ['best', withheld]);
    scene.rename(2, 'eth0');
    assert.deepEqual(scene.verdicts, ['best', withheld]);
    scene.rename(1, 'uplink');
    assert.equal(scene.verdicts[0], refused);
    scene.rename(1, 'eth0');
    assert.deepEqual(scene.verdicts, ['best', 'sent, by test']);
  });
});
