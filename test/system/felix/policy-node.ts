// A node for tests that go from resources to packets: four pods, an outside host, and real packets between them, one for each
// cell of a table, IPv4 and IPv6.

import assert from 'node:assert/strict';
import { namespace, pod } from '../../felix/calc/world.ts';
import { type Felix, TestNode } from './node.ts';
import { type Probe, SCTP, TCP, UDP } from './packets.ts';
import { ResourceFeed } from './resource-feed.ts';
import { type Sending, type Station, Wire } from './wire.ts';

export type Json = Record<string, unknown>;
/** "a > b udp/53" → whether it arrives, by both families. */
export type Expected = Readonly<Record<string, boolean>>;

const protocols: Readonly<Record<string, number>> = { tcp: TCP, udp: UDP, sctp: SCTP };

export class PolicyNode {
  readonly node: TestNode;
  readonly wire: Wire;
  readonly felix: Felix;
  /** a, b, c, d, and "outside". */
  readonly stations = new Map<string, Station>();
  private readonly feed: ResourceFeed;

  private constructor(node: TestNode, felix: Felix) {
    this.node = node;
    this.felix = felix;
    this.feed = new ResourceFeed(felix);
    this.wire = new Wire(node.name);
    for (const [i, name] of ['a', 'b', 'c', 'd'].entries()) {
      const { netns, addresses } = node.addPod(`-${name}`, i + 1);
      this.stations.set(name, { netns, addresses });
    }
    this.stations.set('outside', { netns: node.outside, addresses: ['192.0.2.9', '2001:db8::9'] });
    for (const { netns } of this.stations.values()) this.wire.addStation(netns);
  }

  static async start(): Promise<PolicyNode> {
    const node = new TestNode();
    return new PolicyNode(node, await node.startFelix());
  }

  async remove(): Promise<void> {
    this.wire.close();
    await this.node.remove();
  }

  /** Pods a, b, c of namespace n1 and d of n2, and these resources. */
  async world(
    resources: readonly (readonly [string, string])[],
    given: Readonly<Record<string, Json>> = {},
  ): Promise<void> {
    const pods = [...this.stations].slice(0, 4).map(([name, { addresses }]) =>
      pod(
        'here',
        `${name === 'd' ? 'n2' : 'n1'}/-${name}`,
        addresses.join(),
        { app: name },
        {
          interfaceName: `cali-${name}`,
          ...given[name],
        },
      ),
    );
    await this.feed.set(new Map([...pods, namespace('n1', { team: 'one' }), namespace('n2'), ...resources]));
  }

  async expect(expected: Expected): Promise<void> {
    const cells = Object.entries(expected).flatMap(([text, arrives]) =>
      [0, 1].map((family) => ({
        text: `${text} IPv${family === 0 ? 4 : 6}`,
        arrives,
        sending: this.sendingOf(text, family),
      })),
    );
    const sendings = cells.map(({ sending }) => sending);
    const wanted = cells.map(({ arrives }) => arrives);
    // The first packet may be lost while neighbours are found.
    await this.wire.send(sendings, wanted);
    const fresh = cells.map(({ text }, i) => this.sendingOf(text.replace(/ IPv\d$/, ''), i % 2));
    const arrived = await this.wire.send(fresh, wanted);
    const table = (values: readonly boolean[]): Json =>
      Object.fromEntries(cells.map(({ text }, i) => [text, values[i]]));
    assert.deepEqual(table(arrived), table(wanted));
  }

  sendingOf(text: string, family: number): Sending {
    const [, from = '', to = '', protocol = '', port] = /^(\w+) > (\w+) (\w+)\/(\d+)$/.exec(text) ?? assert.fail(text);
    const [source, target] = [this.stations.get(from) ?? assert.fail(from), this.stations.get(to) ?? assert.fail(to)];
    const probe: Probe = {
      protocol: protocols[protocol] ?? 0,
      sourcePort: this.wire.nextSerial(),
      destinationPort: Number(port),
    };
    return { source, target, from: source.addresses[family] ?? '', to: target.addresses[family] ?? '', probe };
  }
}
