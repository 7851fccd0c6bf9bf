// What the tests with random policies have in common: a node with five pods, its outside host, and a random world about them.

import { TestNode } from './node.ts';
import { RandomWorld, type WorldOptions } from './random-world.ts';
import { ResourceFeed } from './resource-feed.ts';

/** Who sends and receives. */
export interface End {
  readonly name: string;
  readonly netns: string;
  /** One of each family. */
  readonly addresses: readonly string[];
}

export interface RandomSite {
  readonly node: TestNode;
  /** The pods, then the outside host, then the node itself. */
  readonly ends: readonly End[];
  readonly world: RandomWorld;
  readonly feed: ResourceFeed;
}

export const outsideAddresses = ['192.0.2.9', '2001:db8::9'];

export async function startRandomSite(seed: number, options: WorldOptions = {}): Promise<RandomSite> {
  const node = new TestNode();
  const pods = ['a', 'b', 'c', 'd', 'e'].map((name, i) => node.addPod(name, i + 1));
  const feed = new ResourceFeed(await node.startFelix());
  const whole = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;
  const worldPods = pods.map(({ name, interfaceName, addresses }, i) => ({
    namespace: i < 3 ? 'n1' : 'n2',
    name,
    interfaceName,
    addresses: addresses.map(whole),
  }));
  const ends = [
    ...pods,
    { name: 'outside', netns: node.outside, addresses: outsideAddresses },
    { name: 'node', netns: node.name, addresses: ['192.0.2.1', '2001:db8::1'] },
  ];
  return { node, ends, world: new RandomWorld(seed, worldPods, outsideAddresses.map(whole), options), feed };
}
