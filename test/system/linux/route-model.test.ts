// Random route operations on the kernel against a Map: what is refused, and what a dump gives afterwards. A failure prints
// its seed.

import assert from 'node:assert/strict';
import { changeLink, createVeth } from '../../../linux/netlink/link.ts';
import { addRoute, deleteRoute, type Route } from '../../../linux/netlink/route.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import type { NetlinkRequest } from '../../../linux/netlink/socket.ts';
import { formatPrefix, prefixOf } from '../../../net/prefix.ts';
import { randomInt, seededRandom } from '../../net/random.ts';
import { useNetns } from './namespaces.ts';

const protocol = 80;
const keyOf = ({ prefix, priority = 0 }: Route): string => `${formatPrefix(prefix)} ${priority}`;

describe('routes under random operations', function () {
  this.timeout(30_000);
  const netns = useNetns('model');

  it('are what a map of them would be', () => {
    const links = new Rtnetlink({ netns: netns('model') });
    links.run(createVeth({ end: { name: 'a' }, peer: { name: 'b' }, up: true }));
    links.run(changeLink('b', { up: true }));
    const indices = ['a', 'b'].map((name) => links.link(name)?.index ?? assert.fail(name));
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const model = new Map<string, Route>();
      const requests: NetlinkRequest[] = [];
      const expected: (string | undefined)[] = [];
      for (let step = 0; step < 200; step++) {
        const { request, refusal } = randomStep(random, indices, model);
        requests.push(request);
        expected.push(refusal);
      }
      const refused = new Map(links.execute(requests).map(({ index, error }) => [index, error.code]));
      assert.deepEqual(
        requests.map((request, i) => [request.describe(), refused.get(i)]),
        requests.map((request, i) => [request.describe(), expected[i]]),
        `seed ${seed}`,
      );
      const found = new Map(links.routes({ family: 4, protocol }).map((route) => [keyOf(route), route.nextHops]));
      const wanted = new Map([...model].map(([key, route]) => [key, route.nextHops]));
      assert.deepEqual(new Map([...found].sort()), new Map([...wanted].sort()), `seed ${seed}`);
      links.execute([...model.values()].map((route) => deleteRoute(route)));
    }
    links.close();
  });
});

/** One operation, applied to the model; `refusal` is what the kernel must say to it. */
function randomStep(
  random: () => number,
  indices: readonly number[],
  model: Map<string, Route>,
): { request: NetlinkRequest; refusal: string | undefined } {
  const prefix = prefixOf(0x0a000000 + (randomInt(random, 8) << 8), 22 + randomInt(random, 4));
  // Not 0: to delete, that means the first of any priority.
  const priority = 1 + randomInt(random, 3);
  const hop = (): { interfaceIndex: number } => ({ interfaceIndex: indices[randomInt(random, indices.length)] ?? 0 });
  const shape = randomInt(random, 3);
  const route: Route = {
    prefix,
    protocol,
    priority,
    ...(shape === 0 && { type: 'blackhole' as const }),
    nextHops:
      shape === 0
        ? []
        : shape === 1
          ? [hop()]
          : [0, 1].map((i) => ({ interfaceIndex: indices[i] ?? 0, weight: 1 + i })),
  };
  const key = keyOf(route);
  const exists = model.has(key);
  switch (randomInt(random, 3)) {
    case 0:
      if (!exists) model.set(key, route);
      return { request: addRoute(route), refusal: exists ? 'EEXIST' : undefined };
    case 1:
      model.set(key, route);
      return { request: addRoute(route, 'replace'), refusal: undefined };
    default:
      model.delete(key);
      return { request: deleteRoute({ prefix, protocol, priority }), refusal: exists ? undefined : 'ESRCH' };
  }
}
