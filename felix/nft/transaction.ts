// One atomic change of the table, as data and as text in nft's language.

import {
  type Chain,
  hookText,
  type Rule,
  ruleComment,
  type SetDeclaration,
  type TableState,
  tableName,
} from './objects.ts';

export type Command =
  | { readonly kind: 'add-table' }
  | { readonly kind: 'delete-table' }
  | { readonly kind: 'add-counter'; readonly name: string }
  | { readonly kind: 'delete-counter'; readonly name: string }
  | { readonly kind: 'add-set'; readonly declaration: SetDeclaration }
  | { readonly kind: 'delete-set'; readonly declaration: SetDeclaration }
  | { readonly kind: 'add-elements'; readonly set: string; readonly elements: readonly (readonly [string, string])[] }
  | { readonly kind: 'delete-elements'; readonly set: string; readonly keys: readonly string[] }
  | { readonly kind: 'add-chain'; readonly chain: Chain }
  | { readonly kind: 'flush-chain'; readonly name: string }
  | { readonly kind: 'delete-chain'; readonly name: string }
  | { readonly kind: 'add-rules'; readonly chain: string; readonly rules: readonly Rule[] };

export class Transaction {
  readonly commands: readonly Command[];

  constructor(commands: readonly Command[]) {
    this.commands = commands;
  }

  /**
   * Everything anew, the old table gone in the same instant. Loses counters; for when the kernel holds something under
   * our names that can not be changed in place. (Adding a table that is there, to be sure that it can be deleted, is refused
   * where it has other flags.)
   */
  static rebuild(state: TableState, tableExists: boolean): Transaction {
    const commands: Command[] = [...(tableExists ? [{ kind: 'delete-table' } as const] : []), { kind: 'add-table' }];
    for (const name of state.counters) commands.push({ kind: 'add-counter', name });
    for (const { declaration } of state.sets.values()) commands.push({ kind: 'add-set', declaration });
    for (const chain of state.chains.values()) commands.push({ kind: 'add-chain', chain });
    for (const [set, { elements }] of state.sets) {
      if (elements.size > 0) commands.push({ kind: 'add-elements', set, elements: [...elements] });
    }
    for (const { name, rules } of state.chains.values()) {
      if (rules.length > 0) commands.push({ kind: 'add-rules', chain: name, rules });
    }
    return new Transaction(commands);
  }

  get isEmpty(): boolean {
    return this.commands.length === 0;
  }

  get elementCount(): number {
    let count = 0;
    for (const command of this.commands) {
      if (command.kind === 'add-elements') count += command.elements.length;
      else if (command.kind === 'delete-elements') count += command.keys.length;
    }
    return count;
  }

  text(): string {
    return this.commands.map(commandText).join('');
  }
}

function commandText(command: Command): string {
  switch (command.kind) {
    case 'add-table':
      return `add table ${tableName}\n`;
    case 'delete-table':
      return `delete table ${tableName}\n`;
    case 'add-counter':
      return `add counter ${tableName} ${command.name}\n`;
    case 'delete-counter':
      return `delete counter ${tableName} ${command.name}\n`;
    case 'add-set':
      return setText(command.declaration);
    case 'delete-set':
      return `delete ${setKind(command.declaration)} ${tableName} ${command.declaration.name}\n`;
    case 'add-elements':
      return `add element ${tableName} ${command.set} { ${command.elements.map(elementText).join(', ')} }\n`;
    case 'delete-elements':
      return `delete element ${tableName} ${command.set} { ${command.keys.join(', ')} }\n`;
    case 'add-chain': {
      const hook = hookText(command.chain.base);
      return `add chain ${tableName} ${command.chain.name}${hook === '' ? '' : ` { ${hook} }`}\n`;
    }
    case 'flush-chain':
      return `flush chain ${tableName} ${command.name}\n`;
    case 'delete-chain':
      return `delete chain ${tableName} ${command.name}\n`;
    case 'add-rules':
      return command.rules.map((rule) => ruleText(command.chain, rule)).join('');
  }
}

const ruleText = (chain: string, rule: Rule): string =>
  `add rule ${tableName} ${chain} ${rule.text} comment "${ruleComment(rule)}"\n`;

const elementText = ([key, value]: readonly [string, string]): string =>
  value === '' ? key : `${key} : ${isVerdict(value) ? value : `"${value}"`}`;

const isVerdict = (value: string): boolean => /^(accept|drop|(goto|jump) .*)$/.test(value);

const setKind = (declaration: SetDeclaration): 'map' | 'set' => (declaration.value ? 'map' : 'set');

function setText(declaration: SetDeclaration): string {
  const { name, key, interval, value, timeoutSec } = declaration;
  const type = `type ${key.join(' . ')}${value ? ` : ${value}` : ''};`;
  const timeout = timeoutSec === undefined ? '' : ` flags timeout; timeout ${timeoutSec}s;`;
  return `add ${setKind(declaration)} ${tableName} ${name} { ${type}${interval ? ' flags interval;' : ''}${timeout} }\n`;
}
