// Policies and profiles in the table: their chains, lookup maps and counters.

import type { CalcPolicy, CalcProfile, IpSetId, PolicyId, RuleAction } from '../calc/output.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import type { RulesConfig } from '../rules/config.ts';
import type { SetParts } from '../rules/match.ts';
import { type Direction, policyChain, profileChain } from '../rules/names.ts';
import { type ChainSource, closedChain, type RenderedChain, renderRules } from '../rules/policy.ts';
import type { PolicyShape, TierShapes } from '../rules/tiers.ts';

const directions = ['ingress', 'egress'] as const;

/** A policy or a profile; the two differ in name only. */
export type RuleOwner =
  | { readonly kind: 'policy'; readonly id: PolicyId }
  | { readonly kind: 'profile'; readonly id: string };

export interface RenderedRule {
  readonly owner: string;
  readonly kind: RuleOwner['kind'];
  readonly direction: Direction;
  readonly origin: string;
  readonly action: RuleAction;
  readonly staged: boolean;
  readonly counter: string;
}

interface OwnerState {
  readonly owner: RuleOwner;
  readonly source: CalcPolicy | CalcProfile;
  readonly staged: boolean;
  readonly rendered: Map<Direction, RenderedChain>;
  readonly usedSets: ReadonlySet<IpSetId>;
}

const keyOf = (owner: RuleOwner): string => `${owner.kind} ${owner.id}`;
const absent: PolicyShape = { hasRules: false, canPass: false, staged: false };

export class Policies {
  private readonly ruleset: Ruleset;
  private readonly parts: SetParts;
  private readonly states = new Map<string, OwnerState>();
  private readonly users = new Map<IpSetId, Set<string>>();
  /** What the kernel refuses, as it was refused. It stays closed until it changes. */
  private readonly quarantine = new Map<string, CalcPolicy | CalcProfile>();
  private readonly received = new Map<string, { owner: RuleOwner; source: CalcPolicy | CalcProfile | undefined }>();

  constructor(ruleset: Ruleset, parts: SetParts) {
    this.ruleset = ruleset;
    this.parts = parts;
  }

  /** Undefined: gone. */
  receive(owner: RuleOwner, source: CalcPolicy | CalcProfile | undefined): void {
    this.received.set(keyOf(owner), { owner, source });
  }

  shape(owner: RuleOwner, direction: Direction): PolicyShape {
    const state = this.states.get(keyOf(owner));
    if (!state) return absent;
    const rendered = state.rendered.get(direction);
    return { hasRules: rendered !== undefined, canPass: rendered?.canPass ?? false, staged: state.staged };
  }

  /** The same, as a rendering of tiers asks for it. */
  shapesIn(direction: Direction): TierShapes {
    return {
      policy: (id) => this.shape({ kind: 'policy', id }, direction),
      profileHasRules: (id) => this.shape({ kind: 'profile', id }, direction).hasRules,
    };
  }

  /**
   * The kernel refuses this chain or map: closes the policy or profile that it belongs to with the next rendering, so that
   * everything else can be applied. Undefined: it belongs to none, or to one that is closed already.
   */
  quarantineOwnerOf(object: string): RuleOwner | undefined {
    for (const [key, state] of this.states) {
      const isTheirs = [...state.rendered.values()].some(
        ({ chain, maps }) => chain.name === object || maps.some((map) => map.declaration.name === object),
      );
      if (!isTheirs) continue;
      if (this.quarantine.get(key) === state.source) return undefined;
      this.quarantine.set(key, state.source);
      if (!this.received.has(key)) this.received.set(key, state);
      return state.owner;
    }
    return undefined;
  }

  /** Policies and profiles that are closed because the kernel refuses their rules. */
  quarantined(): string[] {
    return [...this.quarantine.keys()];
  }

  get size(): number {
    return this.states.size;
  }

  /** Every rule that is in the table, and its counter. */
  *rules(): Iterable<RenderedRule> {
    for (const { owner, source, staged, rendered } of this.states.values()) {
      for (const [direction, { counters }] of rendered) {
        for (const [i, { origin, action }] of source[direction].entries()) {
          const counter = counters[i];
          if (counter === undefined) continue;
          yield { owner: owner.id, kind: owner.kind, direction, origin, action, staged, counter };
        }
      }
    }
  }

  /** Renders what was received and whatever uses these IP sets; returns those that endpoints must look at again. */
  render(changedSets: ReadonlySet<IpSetId>, config: RulesConfig): Set<string> {
    const reshaped = new Set<string>();
    const dirty = new Map(this.received);
    this.received.clear();
    for (const id of changedSets) {
      for (const key of this.users.get(id) ?? []) {
        const state = this.states.get(key);
        if (state && !dirty.has(key)) dirty.set(key, state);
      }
    }
    for (const [key, { owner, source }] of dirty) {
      const before = directions.map((direction) => this.shape(owner, direction));
      if (source) this.write(key, owner, source, config);
      else this.remove(key);
      const after = directions.map((direction) => this.shape(owner, direction));
      if (before.some((shape, i) => !sameShape(shape, after[i] ?? absent))) reshaped.add(key);
    }
    return reshaped;
  }

  /** Renders everything anew: the configuration changed. */
  renderAll(config: RulesConfig): Set<string> {
    // It has a part in the texts of rules.
    this.quarantine.clear();
    for (const [key, state] of this.states) if (!this.received.has(key)) this.received.set(key, state);
    return this.render(new Set(), config);
  }

  private write(key: string, owner: RuleOwner, source: CalcPolicy | CalcProfile, config: RulesConfig): void {
    const old = this.states.get(key);
    const staged = 'staged' in source && source.staged;
    if (this.quarantine.get(key) !== source) this.quarantine.delete(key);
    const isClosed = this.quarantine.has(key);
    const usedSets = setsUsedBy(source);
    const rendered = new Map<Direction, RenderedChain>();
    for (const direction of directions) {
      const rules = source[direction];
      if (rules.length > 0) {
        const stage = 'stage' in source ? source.stage : undefined;
        const given = chainSource(owner, direction, { rules, staged, stage });
        const chain = isClosed ? closedChain(given) : renderRules(given, this.parts, config);
        rendered.set(direction, chain);
        this.put(chain);
      }
      this.forget(old?.rendered.get(direction), rendered.get(direction));
    }
    this.index(key, old?.usedSets, usedSets);
    this.states.set(key, { owner, source, staged, rendered, usedSets });
  }

  private remove(key: string): void {
    const state = this.states.get(key);
    if (!state) return;
    for (const chain of state.rendered.values()) this.forget(chain, undefined);
    this.index(key, state.usedSets, new Set());
    this.quarantine.delete(key);
    this.states.delete(key);
  }

  private put(rendered: RenderedChain): void {
    for (const counter of rendered.counters) this.ruleset.addCounter(counter);
    for (const { declaration, elements } of rendered.maps) {
      this.ruleset.addSet(declaration);
      this.ruleset.setElements(declaration.name, elements);
    }
    this.ruleset.setChain(rendered.chain);
  }

  /** Deletes what the old rendering had and the new one has not. */
  private forget(old: RenderedChain | undefined, now: RenderedChain | undefined): void {
    if (!old) return;
    if (!now) this.ruleset.deleteChain(old.chain.name);
    const maps = new Set(now?.maps.map((map) => map.declaration.name));
    for (const { declaration } of old.maps) if (!maps.has(declaration.name)) this.ruleset.deleteSet(declaration.name);
    const counters = new Set(now?.counters);
    for (const counter of old.counters) if (!counters.has(counter)) this.ruleset.deleteCounter(counter);
  }

  private index(key: string, before: ReadonlySet<IpSetId> | undefined, after: ReadonlySet<IpSetId>): void {
    for (const id of before ?? []) {
      if (after.has(id)) continue;
      const users = this.users.get(id);
      users?.delete(key);
      if (users?.size === 0) this.users.delete(id);
    }
    for (const id of after) {
      const users = this.users.get(id);
      if (users) users.add(key);
      else this.users.set(id, new Set([key]));
    }
  }
}

function chainSource(
  owner: RuleOwner,
  direction: Direction,
  given: Pick<ChainSource, 'rules' | 'staged' | 'stage'>,
): ChainSource {
  const name = owner.kind === 'policy' ? policyChain(direction, owner.id) : profileChain(direction, owner.id);
  return { name, owner: owner.id, ...given };
}

function setsUsedBy(source: CalcPolicy | CalcProfile): Set<IpSetId> {
  const used = new Set<IpSetId>();
  for (const rule of [...source.ingress, ...source.egress]) {
    for (const side of [rule.source, rule.destination]) {
      for (const list of [side.ipSets, side.notIpSets, side.namedPortSets, side.notNamedPortSets]) {
        for (const id of list) used.add(id);
      }
    }
  }
  return used;
}

const sameShape = (a: PolicyShape, b: PolicyShape): boolean =>
  a.hasRules === b.hasRules && a.canPass === b.canPass && a.staged === b.staged;
