// What the dataplane learns as it is: pools, the addresses of nodes, and Felix's parameters.

import { isDeepStrictEqual } from 'node:util';
import type { FelixConfiguration, IPPool } from '../../datastore/model/index.ts';
import { formatPrefix, parsePrefix } from '../../net/prefix.ts';
import { type ConfigNotes, type ConfigSources, FelixConfig } from '../config.ts';
import type { CalcHost, CalcPool, CalcUpdate } from './output.ts';

export class Facts {
  readonly #poolsByName = new Map<string, CalcPool>();
  readonly #hosts = new Map<string, CalcHost>();
  readonly #deliveredPools = new Map<string, CalcPool>();
  readonly #deliveredHosts = new Map<string, CalcHost>();
  readonly #dirtyHosts = new Set<string>();
  #poolsChanged = false;
  readonly #config: FelixConfig;
  #deliveredConfig: Readonly<Record<string, string>> | undefined;
  #configChanged = true;
  /** As of the last flush. */
  configNotes: ConfigNotes = { faults: [], withoutEffect: [] };

  constructor(nodeName: string, sources: ConfigSources = {}) {
    this.#config = new FelixConfig(nodeName, sources);
  }

  setPool(name: string, pool: IPPool | undefined): void {
    const prefix = pool && parsePrefix(pool.spec.cidr);
    if (prefix) this.#poolsByName.set(name, { prefix, natOutgoing: pool.spec.natOutgoing ?? false });
    else this.#poolsByName.delete(name);
    this.#poolsChanged = true;
  }

  setHost(host: CalcHost): void {
    this.#hosts.set(host.node, host);
    this.#dirtyHosts.add(host.node);
  }

  removeHost(node: string): void {
    this.#hosts.delete(node);
    this.#dirtyHosts.add(node);
  }

  setNodeLabels(labels: Readonly<Record<string, string>>): void {
    this.#config.setNodeLabels(labels);
    this.#configChanged = true;
  }

  setFelixConfiguration(name: string, configuration: FelixConfiguration | undefined): void {
    this.#config.set(name, configuration);
    this.#configChanged = true;
  }

  flush(): { readonly additions: readonly CalcUpdate[]; readonly removals: readonly CalcUpdate[] } {
    const additions: CalcUpdate[] = [];
    const removals: CalcUpdate[] = [];
    if (this.#configChanged) this.#flushConfig(additions);
    if (this.#poolsChanged) this.#flushPools(additions, removals);
    for (const node of this.#dirtyHosts) {
      const host = this.#hosts.get(node);
      const before = this.#deliveredHosts.get(node);
      if (!host) {
        if (this.#deliveredHosts.delete(node)) removals.push({ kind: 'host-removed', node });
      } else if (!before || !isDeepStrictEqual(before, host)) {
        this.#deliveredHosts.set(node, host);
        additions.push({ kind: 'host', host });
      }
    }
    this.#dirtyHosts.clear();
    return { additions, removals };
  }

  #flushConfig(additions: CalcUpdate[]): void {
    this.#configChanged = false;
    const { parameters, faults, withoutEffect } = this.#config.resolve();
    this.configNotes = { faults, withoutEffect };
    if (isDeepStrictEqual(parameters, this.#deliveredConfig)) return;
    this.#deliveredConfig = parameters;
    additions.push({ kind: 'config', parameters });
  }

  /** There are few pools. Of several with the same prefix, one that asks for it makes the prefix natOutgoing. */
  #flushPools(additions: CalcUpdate[], removals: CalcUpdate[]): void {
    this.#poolsChanged = false;
    const pools = new Map<string, CalcPool>();
    for (const pool of this.#poolsByName.values()) {
      const key = formatPrefix(pool.prefix);
      const natOutgoing = pool.natOutgoing || (pools.get(key)?.natOutgoing ?? false);
      pools.set(key, { prefix: pool.prefix, natOutgoing });
    }
    for (const [key, pool] of pools) {
      if (isDeepStrictEqual(this.#deliveredPools.get(key), pool)) continue;
      this.#deliveredPools.set(key, pool);
      additions.push({ kind: 'pool', pool });
    }
    for (const [key, { prefix }] of [...this.#deliveredPools]) {
      if (pools.has(key)) continue;
      this.#deliveredPools.delete(key);
      removals.push({ kind: 'pool-removed', prefix });
    }
  }
}
