// Chains and counters that several endpoints use: in the table as long as somebody uses them. A chain's name is a hash of
// its content, so equal names mean equal chains.

import type { Ruleset } from '../nft/ruleset.ts';
import type { RenderedTiers } from '../rules/tiers.ts';

export type SharedRendering = Pick<RenderedTiers, 'chains' | 'counters'>;

export class SharedChains {
  private readonly ruleset: Ruleset;
  private readonly chainUses = new Map<string, number>();
  private readonly counterUses = new Map<string, number>();

  constructor(ruleset: Ruleset) {
    this.ruleset = ruleset;
  }

  retain({ chains, counters }: SharedRendering): void {
    for (const name of counters) if (increment(this.counterUses, name) === 1) this.ruleset.addCounter(name);
    for (const chain of chains) if (increment(this.chainUses, chain.name) === 1) this.ruleset.setChain(chain);
  }

  release({ chains, counters }: SharedRendering): void {
    for (const { name } of chains) if (decrement(this.chainUses, name) === 0) this.ruleset.deleteChain(name);
    for (const name of counters) if (decrement(this.counterUses, name) === 0) this.ruleset.deleteCounter(name);
  }
}

function increment(uses: Map<string, number>, name: string): number {
  const count = (uses.get(name) ?? 0) + 1;
  uses.set(name, count);
  return count;
}

function decrement(uses: Map<string, number>, name: string): number {
  const count = (uses.get(name) ?? 0) - 1;
  if (count > 0) uses.set(name, count);
  else uses.delete(name);
  return count;
}
