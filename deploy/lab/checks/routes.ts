// 1. Routers have learned the nodes' blocks, nodes have the others' blocks in their FIB, and nothing longer than a block.

import { formatPrefix, parsePrefix, prefixCovers, prefixOf } from '../../../net/prefix.ts';
import { addressFromText, blockLength, fibRoutes, poolPrefixes } from '../fib.ts';
import type { Lab } from '../lab.ts';
import { learnedRoutes } from '../routers.ts';
import { poll } from '../shell.ts';
import { type LabNode, nodes, type Router, routers, spine, tors } from '../topology.ts';
import type { Check, CheckGroup, Seen } from './check.ts';

export const convergeMs = 15_000;

export const routeChecks = (lab: Lab): CheckGroup => ({
  title: 'Routes',
  checks: [...routers.map((router) => routerCheck(lab, router)), ...nodes.map((node) => fibCheck(lab, node))],
});

/** Text of the block that holds the address. */
export const blockOf = (address: string): string => formatPrefix(prefixOf(addressFromText(address), blockLength));

/** The blocks that a node must announce: those of the pods on it. */
export const blocksOf = (lab: Lab, node: LabNode): string[] =>
  [
    ...new Set([...lab.pods.values()].filter((pod) => pod.node === node.name).map((pod) => blockOf(pod.address))),
  ].sort();

function expectedAsPath(router: Router, node: LabNode): string {
  const tor = tors.find((candidate) => candidate.name === `tor-${node.rack}`);
  if (router === tor) return `${node.asn}`;
  return router === spine ? `${tor?.asn} ${node.asn}` : `${spine.asn} ${tor?.asn} ${node.asn}`;
}

/** Compares `prefix → attribute` as wanted and as found; also what was found beyond it. */
function compare(wanted: ReadonlyMap<string, string>, found: ReadonlyMap<string, string>, what: string): Seen {
  const wrong = [...wanted].flatMap(([prefix, value]) =>
    found.get(prefix) === value ? [] : [`${prefix}: ${found.get(prefix) ?? 'missing'}, expected ${value}`],
  );
  const extra = [...found]
    .filter(([prefix]) => !wanted.has(prefix))
    .map(([prefix, value]) => `${prefix} ${value}: not a block`);
  const details = [...wrong, ...extra];
  const passed = details.length === 0;
  return { passed, seen: passed ? `${found.size} ${what}` : (details[0] ?? ''), details };
}

/** Waits until the comparison holds, or returns the last that did not. */
async function settled(look: () => Promise<Seen>): Promise<Seen> {
  const good = await poll(
    async () => {
      const seen = await look();
      return seen.passed ? seen : undefined;
    },
    { timeoutMs: convergeMs, everyMs: 100 },
  );
  return good ?? (await look());
}

const inPools = (prefix: string): boolean => {
  const parsed = parsePrefix(prefix);
  return parsed !== undefined && poolPrefixes.some((pool) => prefixCovers(pool, parsed));
};

const routerCheck = (lab: Lab, router: Router): Check => {
  const wanted = new Map(
    nodes.flatMap((node) =>
      blocksOf(lab, node).map((block): [string, string] => [block, expectedAsPath(router, node)]),
    ),
  );
  const paths = [...new Set(wanted.values())].map((path) => path.replaceAll(' ', '→'));
  return {
    name: `${router.name} (${router.kind === 'bird' ? 'birdc' : 'vtysh'}) has every block`,
    expected: `${wanted.size} blocks by ${paths.join(', ')}`,
    run: () =>
      settled(async () => {
        const routes = (await learnedRoutes(router)).filter(({ prefix }) => inPools(prefix));
        return compare(wanted, new Map(routes.map(({ prefix, asPath }) => [prefix, asPath])), 'blocks, same paths');
      }),
  };
};

const fibCheck = (lab: Lab, node: LabNode): Check => {
  const wanted = new Map(
    nodes
      .filter((other) => other !== node)
      .flatMap((other) =>
        blocksOf(lab, other).map((block): [string, string] => [
          block,
          other.rack === node.rack ? other.address : `10.10.${node.rack === 'a' ? 1 : 2}.1`,
        ]),
      ),
  );
  return {
    name: `${node.name} has the others' blocks`,
    expected: `${wanted.size} blocks, no /32 of theirs`,
    run: () =>
      settled(async () => {
        const remote = (await fibRoutes(node.name)).filter(
          (route) => route.gateway !== undefined && inPools(route.prefix),
        );
        const found = new Map(remote.map((route) => [route.prefix, route.gateway ?? '']));
        return compare(wanted, found, 'blocks, no /32');
      }),
  };
};
