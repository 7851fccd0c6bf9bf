// natOutgoing: pool sources to destinations outside all pools (and outside the nodes, where so configured).

import type { Address } from '../../net/address.ts';
import { formatPrefix, hostPrefix, type Prefix } from '../../net/prefix.ts';
import type { CalcHost, CalcPool } from '../calc/output.ts';
import { addressRangeKey } from '../nft/objects.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import { mergePrefixes } from '../rules/ranges.ts';
import { sets } from '../rules/static.ts';

export class NatOutgoing {
  private readonly ruleset: Ruleset;
  private readonly pools = new Map<string, CalcPool>();
  private readonly hosts = new Map<string, readonly Address[]>();
  private excludeHosts = false;
  private dirty = true;

  constructor(ruleset: Ruleset) {
    this.ruleset = ruleset;
  }

  putPool(pool: CalcPool): void {
    this.pools.set(formatPrefix(pool.prefix), pool);
    this.dirty = true;
  }

  deletePool(prefix: Prefix): void {
    this.dirty = this.pools.delete(formatPrefix(prefix)) || this.dirty;
  }

  putHost({ node, addresses }: CalcHost): void {
    this.hosts.set(node, addresses);
    this.dirty ||= this.excludeHosts;
  }

  deleteHost(node: string): void {
    if (this.hosts.delete(node)) this.dirty ||= this.excludeHosts;
  }

  setExcludeHosts(exclude: boolean): void {
    this.dirty ||= exclude !== this.excludeHosts;
    this.excludeHosts = exclude;
  }

  render(): void {
    if (!this.dirty) return;
    this.dirty = false;
    const pools = [...this.pools.values()];
    const sources = pools.filter((pool) => pool.natOutgoing).map((pool) => pool.prefix);
    const hosts = this.excludeHosts ? [...this.hosts.values()].flat().map(hostPrefix) : [];
    const exclusions = [...pools.map((pool) => pool.prefix), ...hosts];
    for (const family of [4, 6] as const) {
      this.put(sets[`natSources${family}`].name, sources, family);
      this.put(sets[`natExclusions${family}`].name, exclusions, family);
    }
  }

  private put(set: string, prefixes: readonly Prefix[], family: 4 | 6): void {
    const ranges = mergePrefixes(prefixes, family);
    this.ruleset.setElements(set, new Map(ranges.map(({ first, last }) => [addressRangeKey(first, last), ''])));
  }
}
