// The machine's own network, before and after: the lab leaves it as it was.

import { readdirSync } from 'node:fs';
import type { Check } from './checks/check.ts';
import { recordedNamespaces } from './journal.ts';
import { run } from './shell.ts';
import { namespacePrefix } from './topology.ts';

const looks: Readonly<Record<string, readonly string[]>> = {
  links: ['ip', '-o', 'link'],
  addresses: ['ip', '-o', 'address'],
  routes: ['ip', 'route', 'show', 'table', 'all'],
  'IPv6 routes': ['ip', '-6', 'route', 'show', 'table', 'all'],
  rules: ['ip', 'rule'],
  'nftables rules': ['nft', '--stateless', 'list', 'ruleset'],
};

export type HostState = Readonly<Record<string, string>>;

/**
 * Namespaces that the lab has recorded as its own are left out, and those without its prefix, which others may make and
 * remove meanwhile: the lab removes none that it has not recorded.
 */
export async function hostState(): Promise<HostState> {
  const ours = new Set(recordedNamespaces());
  const texts = await Promise.all(
    Object.entries(looks).map(
      async ([what, command]): Promise<[string, string]> => [what, timeless((await run(command)).stdout)],
    ),
  );
  return {
    ...Object.fromEntries(texts),
    namespaces: namespaces()
      .filter((name) => name.startsWith(namespacePrefix) && !ours.has(name))
      .join('\n'),
  };
}

function namespaces(): string[] {
  try {
    return readdirSync('/run/netns').sort();
  } catch {
    return [];
  }
}

/** Lifetimes count down by themselves. */
const timeless = (text: string): string => text.replaceAll(/(valid_lft|preferred_lft|expires) \S+/g, '');

export const hostCheck = (before: HostState): Check => ({
  name: 'links, routes, rules, namespaces',
  expected: 'as they were before',
  run: async () => {
    const after = await hostState();
    const changed = Object.keys(before).filter((what) => before[what] !== after[what]);
    return {
      passed: changed.length === 0,
      seen: changed.length === 0 ? 'as they were before' : `changed: ${changed.join(', ')}`,
      details: changed.flatMap((what) => [`${what} before:`, before[what] ?? '', `${what} now:`, after[what] ?? '']),
    };
  },
});
