// Workload endpoints in the table: a few elements each, and chains that endpoints with equal policies share.

import { formatAddress, widthOf } from '../../net/address.ts';
import { familyOfPrefix } from '../../net/prefix.ts';
import type { CalcWorkload, WorkloadId } from '../calc/output.ts';
import { addressRangeKey, concat, interfaceKey, prefixKey } from '../nft/objects.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import type { RulesConfig } from '../rules/config.ts';
import type { Direction } from '../rules/names.ts';
import { mergePrefixes } from '../rules/ranges.ts';
import { dispatchMap, sets } from '../rules/static.ts';
import { type RenderedTiers, renderTiers, type TiersSource } from '../rules/tiers.ts';
import type { Policies } from './policies.ts';
import type { SharedChains } from './shared-chains.ts';

const directions = ['ingress', 'egress'] as const;

/** One ordered list of policies and profiles, and the chains made of it. */
interface PolicyList {
  readonly source: TiersSource;
  readonly owners: ReadonlySet<string>;
  readonly users: Set<WorkloadId>;
  rendered: ReadonlyMap<Direction, RenderedTiers>;
}

/** What became of an endpoint in one rendering. */
export interface EndpointChange {
  readonly before?: CalcWorkload;
  readonly after?: CalcWorkload;
}

/** What became of an interface: whose it was, and whose it is, in the table. */
export type InterfaceChange = EndpointChange;

export interface EndpointChanges {
  readonly endpoints: readonly EndpointChange[];
  readonly interfaces: readonly InterfaceChange[];
}

interface EndpointState {
  readonly workload: CalcWorkload;
  readonly list: string;
}

export class Endpoints {
  private readonly ruleset: Ruleset;
  private readonly policies: Policies;
  private readonly states = new Map<WorkloadId, EndpointState>();
  private readonly lists = new Map<string, PolicyList>();
  private readonly listsByOwner = new Map<string, Set<string>>();
  private readonly shared: SharedChains;
  /** Who says that an interface is theirs. More than one is a fault of the datastore, or a replacement under way. */
  private readonly claims = new Map<string, Set<WorkloadId>>();
  /** Whom the table has on an interface: one of its claimants. */
  private readonly holders = new Map<string, CalcWorkload>();
  private readonly received = new Map<WorkloadId, CalcWorkload | undefined>();

  constructor(ruleset: Ruleset, policies: Policies, shared: SharedChains) {
    this.ruleset = ruleset;
    this.policies = policies;
    this.shared = shared;
  }

  /** Undefined: gone. */
  receive(id: WorkloadId, workload: CalcWorkload | undefined): void {
    this.received.set(id, workload);
  }

  get size(): number {
    return this.states.size;
  }

  workloads(): Iterable<CalcWorkload> {
    return [...this.states.values()].map(({ workload }) => workload);
  }

  workloadOn(interfaceName: string): CalcWorkload | undefined {
    return this.holders.get(interfaceName);
  }

  workload(id: WorkloadId): CalcWorkload | undefined {
    return this.states.get(id)?.workload;
  }

  /** `reshaped`: policies and profiles, by key, that now have rules or Pass where they had none, or the reverse. */
  render(reshaped: ReadonlySet<string>, config: RulesConfig): EndpointChanges {
    const affected = new Set<string>();
    for (const owner of reshaped) for (const list of this.listsByOwner.get(owner) ?? []) affected.add(list);
    for (const key of affected) this.renderList(key, config);
    const endpoints: EndpointChange[] = [];
    const touched = new Set<string>();
    for (const [id, after] of this.received) {
      const before = this.states.get(id)?.workload;
      endpoints.push({ ...(before && { before }), ...(after && { after }) });
      for (const workload of [before, after]) if (workload) touched.add(workload.interfaceName);
      if (before) this.unclaim(before);
      if (after) this.write(id, after, config);
      else this.remove(id);
    }
    this.received.clear();
    return { endpoints, interfaces: [...touched].map((name) => this.settle(name)) };
  }

  renderAll(config: RulesConfig): void {
    for (const key of this.lists.keys()) this.renderList(key, config);
  }

  private write(id: WorkloadId, workload: CalcWorkload, config: RulesConfig): void {
    const old = this.states.get(id);
    const key = listKey(workload);
    if (old?.list !== key) this.joinList(key, workload, config);
    this.states.set(id, { workload, list: key });
    if (old && old.list !== key) this.leaveList(old.list, id);
    const claimants = this.claims.get(workload.interfaceName);
    if (claimants) claimants.add(id);
    else this.claims.set(workload.interfaceName, new Set([id]));
  }

  private remove(id: WorkloadId): void {
    const state = this.states.get(id);
    if (!state) return;
    this.states.delete(id);
    this.leaveList(state.list, id);
  }

  private unclaim({ id, interfaceName }: CalcWorkload): void {
    const claimants = this.claims.get(interfaceName);
    claimants?.delete(id);
    if (claimants?.size === 0) this.claims.delete(interfaceName);
  }

  /** Gives the interface to its rightful holder: the table shows that one's policies, and no address of the others. */
  private settle(interfaceName: string): InterfaceChange {
    const before = this.holders.get(interfaceName);
    const after = this.rightfulHolder(interfaceName);
    const list = after && this.states.get(after.id)?.list;
    if (before) this.removeElements(before, after);
    if (after && list !== undefined) {
      this.holders.set(interfaceName, after);
      this.putElements(after, list);
    } else this.holders.delete(interfaceName);
    return { ...(before && { before }), ...(after && { after }) };
  }

  /** Of those that claim it, the one that was written last. */
  private rightfulHolder(interfaceName: string): CalcWorkload | undefined {
    let best: CalcWorkload | undefined;
    for (const id of this.claims.get(interfaceName) ?? []) {
      const workload = this.states.get(id)?.workload;
      if (workload && (!best || isLater(workload, best))) best = workload;
    }
    return best;
  }

  private putElements(workload: CalcWorkload, list: string): void {
    const name = interfaceKey(workload.interfaceName);
    this.ruleset.putElement(sets.workloads.name, name);
    this.putDispatch(workload.interfaceName, list);
    for (const [set, key] of sourceKeys(workload)) this.ruleset.putElement(set, key);
  }

  private putDispatch(interfaceName: string, list: string): void {
    for (const [direction, tiers] of this.lists.get(list)?.rendered ?? []) {
      this.ruleset.putElement(dispatchMap(direction), interfaceKey(interfaceName), `goto ${tiers.entry}`);
    }
  }

  /** What an interface's old holder had there and its holder now has not. */
  private removeElements(old: CalcWorkload, now: CalcWorkload | undefined): void {
    const kept = new Set((now ? sourceKeys(now) : []).map(([set, key]) => `${set} ${key}`));
    for (const [set, key] of sourceKeys(old)) if (!kept.has(`${set} ${key}`)) this.ruleset.deleteElement(set, key);
    if (now) return;
    const name = interfaceKey(old.interfaceName);
    this.ruleset.deleteElement(sets.workloads.name, name);
    for (const direction of directions) this.ruleset.deleteElement(dispatchMap(direction), name);
  }

  private joinList(key: string, workload: CalcWorkload, config: RulesConfig): void {
    let list = this.lists.get(key);
    if (!list) {
      const { tiers, profiles } = workload;
      list = { source: { tiers, profiles }, owners: ownersOf(workload), users: new Set(), rendered: new Map() };
      this.lists.set(key, list);
      for (const owner of list.owners) {
        const lists = this.listsByOwner.get(owner);
        if (lists) lists.add(key);
        else this.listsByOwner.set(owner, new Set([key]));
      }
      this.renderList(key, config);
    }
    list.users.add(workload.id);
  }

  private leaveList(key: string, id: WorkloadId): void {
    const list = this.lists.get(key);
    if (!list) return;
    list.users.delete(id);
    if (list.users.size > 0) return;
    this.lists.delete(key);
    for (const owner of list.owners) {
      const lists = this.listsByOwner.get(owner);
      lists?.delete(key);
      if (lists?.size === 0) this.listsByOwner.delete(owner);
    }
    for (const tiers of list.rendered.values()) this.shared.release(tiers);
  }

  private renderList(key: string, config: RulesConfig): void {
    const list = this.lists.get(key);
    if (!list) return;
    const before = list.rendered;
    const rendered = new Map<Direction, RenderedTiers>();
    for (const direction of directions) {
      const tiers = renderTiers(direction, list.source, this.policies.shapesIn(direction), config);
      this.shared.retain(tiers);
      rendered.set(direction, tiers);
    }
    list.rendered = rendered;
    for (const tiers of before.values()) this.shared.release(tiers);
    for (const id of list.users) {
      const interfaceName = this.states.get(id)?.workload.interfaceName;
      if (interfaceName !== undefined && this.holders.get(interfaceName)?.id === id) {
        this.putDispatch(interfaceName, key);
      }
    }
  }
}

/** A total order that knows nothing of who came to us first. */
const isLater = (a: CalcWorkload, b: CalcWorkload): boolean =>
  a.revision === b.revision ? a.id > b.id : a.revision > b.revision;

/** Equal for endpoints that get the same chains. */
function listKey({ tiers, profiles }: CalcWorkload): string {
  return JSON.stringify([tiers.map((t) => [t.name, t.defaultAction, t.ingress, t.egress]), profiles]);
}

function ownersOf({ tiers, profiles }: CalcWorkload): Set<string> {
  const owners = new Set(profiles.map((name) => `profile ${name}`));
  for (const tier of tiers) for (const id of [...tier.ingress, ...tier.egress]) owners.add(`policy ${id}`);
  return owners;
}

/** Elements of the anti-spoofing sets. */
function sourceKeys(workload: CalcWorkload): [set: string, key: string][] {
  const name = interfaceKey(workload.interfaceName);
  const keys: [string, string][] = [];
  for (const prefix of workload.addresses) {
    const family = familyOfPrefix(prefix);
    const isHost = prefix.length === widthOf(family);
    const set = isHost ? sets[`sources${family}`] : sets[`sourcePrefixes${family}`];
    keys.push([set.name, concat(name, isHost ? formatAddress(prefix.address) : prefixKey(prefix))]);
  }
  for (const family of [4, 6] as const) {
    for (const { first, last } of mergePrefixes(workload.allowedSourcePrefixes, family)) {
      keys.push([sets[`sourcePrefixes${family}`].name, concat(name, addressRangeKey(first, last))]);
    }
  }
  return keys;
}
