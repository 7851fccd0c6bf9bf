// The desired state of the table, and what of it the kernel does not have yet.
//
//   managers ──set/put/delete──► Ruleset ──pending()──► Transaction ──► kernel ──ok──► committed()
//                                   ▲                                     │
//                                   └───────────── rebase(listing) ◄──────┘ at start, after drift, after a failure
//
// Only what differs from the kernel costs anything: for each name that was touched we keep what the kernel has for it,
// and nothing for all the others. A change that is taken back before it was applied leaves no trace.

import {
  type Chain,
  type Elements,
  hookText,
  type KernelState,
  ruleComment,
  type SetDeclaration,
  sameDeclaration,
  type TableState,
} from './objects.ts';
import { type Command, Transaction } from './transaction.ts';

interface SetState {
  readonly declaration: SetDeclaration;
  readonly elements: Map<string, string>;
  /** Touched keys, and what the kernel has for them (undefined: nothing). */
  readonly dirty: Map<string, string | undefined>;
}

/** What the kernel has of a set whose presence changed; undefined: no such set. */
type KernelSet = { readonly declaration: SetDeclaration; readonly elements: Elements } | undefined;

type ReadSet = KernelState['sets'] extends ReadonlyMap<string, infer T> ? T : never;

/** What the kernel has of a chain: of rules it keeps our comments, which carry the fingerprints of their texts. */
interface KernelChain {
  readonly hook: string;
  readonly comments: readonly string[];
}

/** Some hundred microseconds. */
const namesPerStep = 500;

export class Ruleset {
  private readonly chains = new Map<string, Chain>();
  private readonly sets = new Map<string, SetState>();
  private readonly counters = new Set<string>();

  private readonly dirtyChains = new Map<string, KernelChain | undefined>();
  private readonly dirtySets = new Map<string, KernelSet>();
  /** Sets that exist on both sides and have touched elements. */
  private readonly dirtyElements = new Set<SetState>();
  private readonly dirtyCounters = new Map<string, boolean>();
  private tableMissing = true;
  private mustRebuild = false;

  setChain(chain: Chain): void {
    const old = this.chains.get(chain.name);
    if (old && sameChain(old, chain)) return;
    if (!this.dirtyChains.has(chain.name)) this.dirtyChains.set(chain.name, old && asInKernel(old));
    this.chains.set(chain.name, chain);
  }

  deleteChain(name: string): void {
    const old = this.chains.get(name);
    if (!old) return;
    if (!this.dirtyChains.has(name)) this.dirtyChains.set(name, asInKernel(old));
    this.chains.delete(name);
  }

  addCounter(name: string): void {
    if (this.counters.has(name)) return;
    if (!this.dirtyCounters.has(name)) this.dirtyCounters.set(name, false);
    this.counters.add(name);
  }

  deleteCounter(name: string): void {
    if (!this.counters.delete(name)) return;
    if (!this.dirtyCounters.has(name)) this.dirtyCounters.set(name, true);
  }

  /** Of sets as they are desired, and of those that still are in the kernel. */
  declarationOf(name: string): SetDeclaration | undefined {
    return this.sets.get(name)?.declaration ?? this.dirtySets.get(name)?.declaration;
  }

  /** Declares a set, empty. Names are chosen so that one name always has one declaration. */
  addSet(declaration: SetDeclaration): void {
    const { name } = declaration;
    if (this.sets.has(name)) return;
    const set: SetState = { declaration, elements: new Map(), dirty: new Map() };
    const kernel = this.dirtySets.get(name);
    if (!this.dirtySets.has(name)) this.dirtySets.set(name, undefined);
    // It was there, was removed, and comes back before the removal was applied.
    if (kernel) for (const [key, value] of kernel.elements) set.dirty.set(key, value);
    this.sets.set(name, set);
  }

  deleteSet(name: string): void {
    const set = this.sets.get(name);
    if (!set) return;
    if (!this.dirtySets.has(name)) {
      this.dirtySets.set(name, { declaration: set.declaration, elements: kernelElements(set) });
    }
    this.dirtyElements.delete(set);
    this.sets.delete(name);
  }

  putElement(setName: string, key: string, value = ''): void {
    const set = this.expectSet(setName);
    const old = set.elements.get(key);
    if (old === value) return;
    this.touch(set, key, old);
    set.elements.set(key, value);
  }

  deleteElement(setName: string, key: string): void {
    const set = this.expectSet(setName);
    const old = set.elements.get(key);
    if (old === undefined) return;
    this.touch(set, key, old);
    set.elements.delete(key);
  }

  /** Makes the elements of a set exactly these, touching only those that differ. */
  setElements(setName: string, wanted: Elements): void {
    const set = this.expectSet(setName);
    for (const key of set.elements.keys()) if (!wanted.has(key)) this.deleteElement(setName, key);
    for (const [key, value] of wanted) this.putElement(setName, key, value);
  }

  elementsOf(setName: string): Elements {
    return this.expectSet(setName).elements;
  }

  state(): TableState {
    return { chains: this.chains, sets: this.sets, counters: this.counters };
  }

  get isPending(): boolean {
    return (
      this.tableMissing ||
      this.mustRebuild ||
      this.dirtyChains.size + this.dirtySets.size + this.dirtyElements.size + this.dirtyCounters.size > 0
    );
  }

  /** Commands that lead from the kernel's state to the desired one, in an order the kernel accepts. */
  pending(): Transaction {
    if (this.mustRebuild) return Transaction.rebuild(this.state(), !this.tableMissing);
    const commands: Command[] = [];
    if (this.tableMissing) commands.push({ kind: 'add-table' });
    this.pendingAdditions(commands);
    this.pendingRules(commands);
    this.pendingRemovals(commands);
    return new Transaction(commands);
  }

  /** The last `pending()` is in the kernel, and nothing was changed here since. */
  committed(): void {
    this.tableMissing = false;
    this.mustRebuild = false;
    for (const name of this.dirtySets.keys()) this.sets.get(name)?.dirty.clear();
    for (const set of this.dirtyElements) set.dirty.clear();
    this.dirtyChains.clear();
    this.dirtySets.clear();
    this.dirtyElements.clear();
    this.dirtyCounters.clear();
  }

  hasSet(name: string): boolean {
    return this.sets.has(name);
  }

  setNames(): Iterable<string> {
    return this.sets.keys();
  }

  /**
   * Takes what the kernel really has as the base of the next comparison; undefined: there is no table of ours. Sets whose
   * elements were not read count as right: only for when nothing is pending.
   */
  rebase(kernel: KernelState | undefined): void {
    for (const _ of this.rebasing(kernel));
  }

  /** The same in small steps. Between them nothing may be set or put here. */
  *rebasing(kernel: KernelState | undefined): Generator<void> {
    this.committed();
    this.tableMissing = kernel === undefined;
    this.mustRebuild = kernel?.dormant === true || kernel?.mustReplace === true;
    let compared = 0;
    for (const [name, chain] of this.chains) {
      this.rebaseChain(name, chain, kernel?.chains.get(name));
      if (++compared % namesPerStep === 0) yield;
    }
    for (const [name, chain] of kernel?.chains ?? []) {
      if (!this.chains.has(name)) this.dirtyChains.set(name, asListed(chain));
    }
    for (const name of this.counters) if (!kernel?.counters.has(name)) this.dirtyCounters.set(name, false);
    for (const name of kernel?.counters ?? []) if (!this.counters.has(name)) this.dirtyCounters.set(name, true);
    yield;
    for (const [name, set] of this.sets) {
      this.rebaseSet(set, kernel?.sets.get(name));
      if (++compared % namesPerStep === 0) yield;
    }
    for (const [name, { declaration, elements = new Map() }] of kernel?.sets ?? []) {
      if (!this.sets.has(name)) this.dirtySets.set(name, { declaration, elements });
    }
  }

  private rebaseChain(name: string, chain: Chain, listed: Chain | undefined): void {
    const found = listed && asListed(listed);
    if (found && found.hook !== hookText(chain.base)) this.mustRebuild = true;
    if (!found || !isInKernel(chain, found)) this.dirtyChains.set(name, found);
  }

  private rebaseSet(set: SetState, found: ReadSet | undefined): void {
    if (!found) {
      this.dirtySets.set(set.declaration.name, undefined);
      return;
    }
    // Our name with a foreign declaration: rules refer to it, so it can only go together with everything else.
    if (!sameDeclaration(set.declaration, found.declaration)) {
      this.mustRebuild = true;
      return;
    }
    if (!found.elements) return;
    for (const [key, value] of set.elements) {
      const kernelValue = found.elements.get(key);
      if (kernelValue !== value) set.dirty.set(key, kernelValue);
    }
    for (const [key, value] of found.elements) if (!set.elements.has(key)) set.dirty.set(key, value);
    if (set.dirty.size > 0) this.dirtyElements.add(set);
  }

  private touch(set: SetState, key: string, kernelValue: string | undefined): void {
    if (set.dirty.has(key)) return;
    // A new set's keys are all new; its elements go with its declaration.
    if (this.dirtySets.has(set.declaration.name)) {
      if (this.dirtySets.get(set.declaration.name)) set.dirty.set(key, kernelValue);
      return;
    }
    set.dirty.set(key, kernelValue);
    this.dirtyElements.add(set);
  }

  private expectSet(name: string): SetState {
    const set = this.sets.get(name);
    if (!set) throw new Error(`no set is named ${name}`);
    return set;
  }

  /** Whatever others refer to: counters, sets, then the (still empty) chains. */
  private pendingAdditions(commands: Command[]): void {
    for (const [name, had] of this.dirtyCounters) {
      if (!had && this.counters.has(name)) commands.push({ kind: 'add-counter', name });
    }
    for (const [name, kernel] of this.dirtySets) {
      const set = this.sets.get(name);
      if (set && !kernel) commands.push({ kind: 'add-set', declaration: set.declaration });
    }
    for (const [name, kernel] of this.dirtyChains) {
      const chain = this.chains.get(name);
      if (chain && !kernel) commands.push({ kind: 'add-chain', chain });
    }
  }

  private pendingRules(commands: Command[]): void {
    const changedSets: SetState[] = [...this.dirtyElements];
    for (const [name, kernel] of this.dirtySets) {
      const set = this.sets.get(name);
      if (set && kernel) changedSets.push(set);
      else if (set && set.elements.size > 0) {
        commands.push({ kind: 'add-elements', set: name, elements: [...set.elements] });
      }
    }
    for (const set of changedSets) pushElementChanges(commands, set);
    for (const [name, kernel] of this.dirtyChains) {
      const chain = this.chains.get(name);
      if (!chain || (kernel && isInKernel(chain, kernel))) continue;
      if (kernel && kernel.comments.length > 0) commands.push({ kind: 'flush-chain', name });
      if (chain.rules.length > 0) commands.push({ kind: 'add-rules', chain: name, rules: chain.rules });
    }
  }

  /** The reverse of the additions; chains are emptied first, so that their order does not matter. */
  private pendingRemovals(commands: Command[]): void {
    const goneChains = [...this.dirtyChains.keys()].filter(
      (name) => !this.chains.has(name) && this.kernelHasChain(name),
    );
    for (const name of goneChains) commands.push({ kind: 'flush-chain', name });
    // A verdict map that goes holds references to chains, a chain's rules hold references to sets.
    for (const [name, kernel] of this.dirtySets) {
      if (kernel && !this.sets.has(name)) commands.push({ kind: 'delete-set', declaration: kernel.declaration });
    }
    for (const name of goneChains) commands.push({ kind: 'delete-chain', name });
    for (const [name, had] of this.dirtyCounters) {
      if (had && !this.counters.has(name)) commands.push({ kind: 'delete-counter', name });
    }
  }

  private kernelHasChain(name: string): boolean {
    return this.dirtyChains.get(name) !== undefined;
  }
}

function pushElementChanges(commands: Command[], set: SetState): void {
  const removed: string[] = [];
  const added: [string, string][] = [];
  for (const [key, kernelValue] of set.dirty) {
    const value = set.elements.get(key);
    if (value === kernelValue) continue;
    if (kernelValue !== undefined) removed.push(key);
    if (value !== undefined) added.push([key, value]);
  }
  const name = set.declaration.name;
  if (removed.length > 0) commands.push({ kind: 'delete-elements', set: name, keys: removed });
  if (added.length > 0) commands.push({ kind: 'add-elements', set: name, elements: added });
}

function kernelElements(set: SetState): Map<string, string> {
  const elements = new Map(set.elements);
  for (const [key, value] of set.dirty) {
    if (value === undefined) elements.delete(key);
    else elements.set(key, value);
  }
  return elements;
}

const sameChain = (a: Chain, b: Chain): boolean =>
  a === b ||
  (hookText(a.base) === hookText(b.base) &&
    a.rules.length === b.rules.length &&
    a.rules.every((rule, i) => rule.text === b.rules[i]?.text && rule.comment === b.rules[i]?.comment));

const asInKernel = (chain: Chain): KernelChain => ({
  hook: hookText(chain.base),
  comments: chain.rules.map(ruleComment),
});

/** A listing's comments are complete already. */
const asListed = (chain: Chain): KernelChain => ({
  hook: hookText(chain.base),
  comments: chain.rules.map((rule) => rule.comment),
});

const isInKernel = (desired: Chain, kernel: KernelChain): boolean =>
  desired.rules.length === kernel.comments.length &&
  desired.rules.every((rule, i) => ruleComment(rule) === kernel.comments[i]);
