// Host endpoints in the table. A node has few, so they are rendered all together whenever one of them, a policy's shape or
// an interface's addresses change.

import type { Address } from '../../net/address.ts';
import type { CalcHostEndpoint, CalcTier } from '../calc/output.ts';
import { type Chain, fingerprint, interfaceKey } from '../nft/objects.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import type { RulesConfig } from '../rules/config.ts';
import {
  type HostHook,
  type HostStage,
  hookName,
  hostBaseChain,
  hostEntryName,
  hostEntryRules,
  hostHooks,
  hostMap,
} from '../rules/host.ts';
import { renderTiers } from '../rules/tiers.ts';
import type { Policies } from './policies.ts';
import type { SharedChains, SharedRendering } from './shared-chains.ts';

/** Addresses by interface name; interfaces without addresses too. */
export type Interfaces = ReadonlyMap<string, readonly Address[]>;

const everyInterface = '*';

export class HostEndpoints {
  private readonly ruleset: Ruleset;
  private readonly policies: Policies;
  private readonly shared: SharedChains;
  private readonly endpoints = new Map<string, CalcHostEndpoint>();
  private interfaces: Interfaces = new Map();
  private rendered: SharedRendering[] = [];
  private present = false;
  private dirty = false;

  constructor(ruleset: Ruleset, policies: Policies, shared: SharedChains) {
    this.ruleset = ruleset;
    this.policies = policies;
    this.shared = shared;
  }

  put(endpoint: CalcHostEndpoint): void {
    this.endpoints.set(endpoint.id, endpoint);
    this.dirty = true;
  }

  delete(id: string): void {
    this.dirty = this.endpoints.delete(id) || this.dirty;
  }

  setInterfaces(interfaces: Interfaces): void {
    this.interfaces = interfaces;
    this.dirty ||= this.endpoints.size > 0;
  }

  interfaceOf(id: string): string | undefined {
    const resolved = resolveHostEndpoints([...this.endpoints.values()], this.interfaces);
    for (const [name, endpoint] of resolved) if (endpoint.id === id && name !== everyInterface) return name;
    return undefined;
  }

  get size(): number {
    return this.endpoints.size;
  }

  /** `again`: shapes of policies, or the configuration, have changed. */
  render(again: boolean, config: RulesConfig): void {
    if (!this.dirty && !(again && this.endpoints.size > 0)) return;
    this.dirty = false;
    const before = this.rendered;
    this.rendered = [];
    if (this.endpoints.size > 0) this.renderAll(config);
    else if (this.present) this.removeAll();
    for (const rendering of before) this.shared.release(rendering);
  }

  private renderAll(config: RulesConfig): void {
    this.present = true;
    const byInterface = resolveHostEndpoints([...this.endpoints.values()], this.interfaces);
    for (const hook of hostHooks) {
      const map = hostMap(hook);
      const verdicts = new Map<string, string>();
      for (const [name, endpoint] of byInterface) {
        if (name === everyInterface) continue;
        const entry = this.renderEntry(hook, endpoint, config);
        // Nothing to enforce at this stage; nor is what "*" says for this interface.
        verdicts.set(interfaceKey(name), entry === undefined ? 'accept' : `goto ${entry}`);
      }
      const every = byInterface.get(everyInterface);
      const everyEntry = every && this.renderEntry(hook, every, config);
      this.ruleset.addSet(map);
      this.ruleset.setElements(map.name, verdicts);
      this.ruleset.setChain(hostBaseChain(hook, everyEntry, config));
    }
  }

  private removeAll(): void {
    this.present = false;
    for (const hook of hostHooks) {
      this.ruleset.deleteChain(hookName(hook));
      this.ruleset.deleteSet(hostMap(hook).name);
    }
  }

  /** Undefined: the endpoint has nothing to say at this stage. */
  private renderEntry(hook: HostHook, endpoint: CalcHostEndpoint, config: RulesConfig): string | undefined {
    const tiers = tiersAt(endpoint, hook.stage);
    const applies = tiers.some((tier) => tier[hook.direction].length > 0);
    if (!applies && hook.stage !== 'normal') return undefined;
    const source = { tiers, profiles: endpoint.profiles };
    const rendering = renderTiers(hook.direction, source, this.policies.shapesIn(hook.direction), config, hook.end);
    const rules = hostEntryRules(hook, rendering.entry, config);
    const name = hostEntryName(hook, fingerprint(rules.map((rule) => rule.text).join('\n')));
    const entry: Chain = { name, rules };
    const whole = { chains: [...rendering.chains, entry], counters: rendering.counters };
    this.shared.retain(whole);
    this.rendered.push(whole);
    return name;
  }
}

function tiersAt(endpoint: CalcHostEndpoint, stage: HostStage): readonly CalcTier[] {
  switch (stage) {
    case 'untracked':
      return endpoint.untrackedTiers;
    case 'preDnat':
      return endpoint.preDnatTiers;
    case 'forward':
      return endpoint.forwardTiers;
    case 'normal':
      return endpoint.tiers;
  }
}

/**
 * Which endpoint an interface has; "*" for all that are not named. A name beats addresses, and of equals the endpoint
 * whose own name comes first wins.
 */
export function resolveHostEndpoints(
  endpoints: readonly CalcHostEndpoint[],
  interfaces: Interfaces,
): Map<string, CalcHostEndpoint> {
  const found = new Map<string, CalcHostEndpoint>();
  const byName = [...endpoints].sort((a, b) => (a.id < b.id ? -1 : 1));
  const claim = (name: string, endpoint: CalcHostEndpoint): void => {
    if (!found.has(name)) found.set(name, endpoint);
  };
  for (const endpoint of byName) if (endpoint.interfaceName !== undefined) claim(endpoint.interfaceName, endpoint);
  for (const endpoint of byName) {
    if (endpoint.interfaceName !== undefined) continue;
    for (const [name, addresses] of interfaces) {
      if (endpoint.expectedAddresses.some((address) => addresses.includes(address))) claim(name, endpoint);
    }
  }
  return found;
}
