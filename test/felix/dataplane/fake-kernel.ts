// A kernel's table in memory: works transactions off, can be edited behind everybody's back, and can be slow to read.

import type { ApplyResult, TableChannel } from '../../../felix/dataplane/channel.ts';
import type { Claim } from '../../../felix/dataplane/table-owner.ts';
import type { PartialRead, PartialState } from '../../../felix/nft/decode.ts';
import { type Chain, type KernelState, ruleComment, type SetDeclaration } from '../../../felix/nft/objects.ts';
import type { Command, Transaction } from '../../../felix/nft/transaction.ts';

interface FakeSet {
  readonly declaration: SetDeclaration;
  readonly elements: Map<string, string>;
}

export class FakeKernel implements TableChannel {
  readonly name = 'fake';
  readonly isOwned = false;
  readonly chains = new Map<string, Chain>();
  readonly sets = new Map<string, FakeSet>();
  readonly counterNames = new Set<string>();
  private hasTable = false;
  /** Called when a reading has begun and its picture is taken, before the answer. */
  whileReading: () => Promise<void> = async () => {};
  /** How many sets' elements were read, reading by reading. */
  readonly readings: number[] = [];
  applies = 0;

  claim(): Claim {
    return { kind: 'open', reason: 'it is a fake' };
  }

  async apply({ commands }: Transaction): Promise<ApplyResult> {
    this.applies++;
    for (const command of commands) this.execute(command);
    return { kind: 'ok' };
  }

  async read(): Promise<KernelState | undefined> {
    const result = await this.readPart({ elementsOf: () => true, isGivenUp: () => false });
    return result.kind === 'read' ? result.state : undefined;
  }

  async readPart({ elementsOf, isGivenUp }: PartialRead): Promise<PartialState> {
    const state = this.hasTable ? this.picture(elementsOf) : undefined;
    await this.whileReading();
    if (isGivenUp()) return { kind: 'given-up' };
    this.readings.push([...(state?.sets.values() ?? [])].filter(({ elements }) => elements).length);
    return { kind: 'read', state };
  }

  counters(): ReadonlyMap<string, { packets: number; bytes: number }> {
    return new Map();
  }

  private picture(elementsOf: (set: string) => boolean): KernelState {
    const sets = new Map(
      [...this.sets].map(([name, { declaration, elements }]) => [
        name,
        { declaration, elements: elementsOf(name) ? new Map(elements) : undefined },
      ]),
    );
    return { chains: new Map(this.chains), sets, counters: new Set(this.counterNames) };
  }

  private execute(command: Command): void {
    switch (command.kind) {
      case 'add-table':
        this.hasTable = true;
        return;
      case 'delete-table':
        this.hasTable = false;
        for (const part of [this.chains, this.sets, this.counterNames]) part.clear();
        return;
      case 'add-counter':
        this.counterNames.add(command.name);
        return;
      case 'delete-counter':
        this.counterNames.delete(command.name);
        return;
      case 'add-set':
        this.sets.set(command.declaration.name, { declaration: command.declaration, elements: new Map() });
        return;
      case 'delete-set':
        this.sets.delete(command.declaration.name);
        return;
      case 'add-elements':
        for (const [key, value] of command.elements) this.set(command.set).elements.set(key, value);
        return;
      case 'delete-elements':
        for (const key of command.keys) this.set(command.set).elements.delete(key);
        return;
      default:
        this.executeOnChain(command);
    }
  }

  private executeOnChain(command: Command): void {
    switch (command.kind) {
      case 'add-chain':
        this.chains.set(command.chain.name, { ...command.chain, rules: [] });
        return;
      case 'flush-chain':
        this.chains.set(command.name, { ...this.chain(command.name), rules: [] });
        return;
      case 'delete-chain':
        this.chains.delete(command.name);
        return;
      case 'add-rules': {
        // As the kernel: the comment with its fingerprint is all that is given back.
        const added = command.rules.map((rule) => ({ text: '', comment: ruleComment(rule) }));
        const chain = this.chain(command.chain);
        this.chains.set(command.chain, { ...chain, rules: [...chain.rules, ...added] });
        return;
      }
      default:
        throw new Error(`no command of chains: ${command.kind}`);
    }
  }

  private set(name: string): FakeSet {
    const set = this.sets.get(name);
    if (!set) throw new Error(`ENOENT: set ${name}`);
    return set;
  }

  private chain(name: string): Chain {
    const chain = this.chains.get(name);
    if (!chain) throw new Error(`ENOENT: chain ${name}`);
    return chain;
  }
}
