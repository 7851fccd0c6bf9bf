// Shows that the ruleset asks the kernel for exactly the difference, in an order it accepts, and for nothing when a
// change was taken back.

import { strict as assert } from 'node:assert';
import { type Chain, ruleComment, type TableState } from '../../../felix/nft/objects.ts';
import { Ruleset } from '../../../felix/nft/ruleset.ts';
import { assertAcceptable } from '../golden.ts';

const chain = (name: string, ...rules: readonly string[]): Chain => ({
  name,
  rules: rules.map((text) => ({ text, comment: '' })),
});
const set = { name: 's', key: ['ipv4_addr'], interval: false } as const;
const map = { name: 'm', key: ['ifname'], interval: false, value: 'verdict' } as const;

function pendingText(ruleset: Ruleset): string {
  const text = ruleset.pending().text();
  ruleset.committed();
  return text;
}

/** What a listing of the kernel says about a state: comments in place of texts. */
const listed = (state: TableState): TableState => ({
  ...state,
  chains: new Map(
    [...state.chains].map(([name, { rules, ...rest }]) => [
      name,
      { ...rest, rules: rules.map((rule) => ({ text: '', comment: ruleComment(rule) })) },
    ]),
  ),
});

describe('ruleset', () => {
  let ruleset: Ruleset;
  beforeEach(() => {
    ruleset = new Ruleset();
    ruleset.addCounter('c');
    ruleset.addSet(set);
    ruleset.addSet(map);
    ruleset.putElement('s', '10.0.0.1');
    ruleset.setChain(chain('leaf', 'ip saddr @s counter name "c" accept'));
    ruleset.setChain({
      ...chain('top', 'iifname vmap @m'),
      base: { type: 'filter', hook: 'forward', priority: -10 },
    });
    ruleset.putElement('m', '"cali1"', 'goto leaf');
  });

  it('declares first, then fills', () => {
    const text = ruleset.pending().text();
    assert.equal(
      text.replaceAll(/ comment "#\S+"/g, ''),
      `add table inet twill
add counter inet twill c
add set inet twill s { type ipv4_addr; }
add map inet twill m { type ifname : verdict; }
add chain inet twill leaf
add chain inet twill top { type filter hook forward priority -10; policy accept; }
add element inet twill s { 10.0.0.1 }
add element inet twill m { "cali1" : goto leaf }
add rule inet twill leaf ip saddr @s counter name "c" accept
add rule inet twill top iifname vmap @m
`,
    );
    assertAcceptable(text);
  });

  it('asks for nothing when nothing changed, or everything was taken back', () => {
    pendingText(ruleset);
    assert.equal(ruleset.isPending, false);
    ruleset.putElement('s', '10.0.0.2');
    ruleset.deleteElement('s', '10.0.0.2');
    ruleset.deleteElement('m', '"cali1"');
    ruleset.putElement('m', '"cali1"', 'goto leaf');
    ruleset.setChain(chain('other', 'drop'));
    ruleset.deleteChain('other');
    ruleset.setChain(chain('leaf', 'ip saddr @s counter name "c" accept'));
    ruleset.deleteCounter('c');
    ruleset.addCounter('c');
    ruleset.deleteSet('s');
    ruleset.addSet(set);
    ruleset.putElement('s', '10.0.0.1');
    assert.equal(pendingText(ruleset), '');
  });

  it('deletes and adds one element of many', () => {
    pendingText(ruleset);
    ruleset.putElement('s', '10.0.0.2');
    ruleset.deleteElement('s', '10.0.0.1');
    assert.equal(
      pendingText(ruleset),
      'delete element inet twill s { 10.0.0.1 }\nadd element inet twill s { 10.0.0.2 }\n',
    );
  });

  it('replaces the value of a map’s key', () => {
    pendingText(ruleset);
    ruleset.setChain(chain('leaf2', 'drop'));
    ruleset.putElement('m', '"cali1"', 'goto leaf2');
    assert.equal(
      pendingText(ruleset).replaceAll(/ comment "#\S+"/g, ''),
      `add chain inet twill leaf2
delete element inet twill m { "cali1" }
add element inet twill m { "cali1" : goto leaf2 }
add rule inet twill leaf2 drop
`,
    );
  });

  it('removes in the reverse order: references before what they refer to', () => {
    pendingText(ruleset);
    ruleset.deleteElement('m', '"cali1"');
    ruleset.deleteChain('leaf');
    ruleset.deleteSet('s');
    ruleset.deleteCounter('c');
    assert.equal(
      pendingText(ruleset),
      `delete element inet twill m { "cali1" }
flush chain inet twill leaf
delete set inet twill s
delete chain inet twill leaf
delete counter inet twill c
`,
    );
  });

  it('finds nothing to do when the kernel has what is wanted, also when it is rendered later', () => {
    const state = listed(ruleset.state());
    const restarted = new Ruleset();
    restarted.rebase(state);
    assert.notEqual(restarted.pending().text(), '');
    restarted.addCounter('c');
    restarted.addSet(set);
    restarted.addSet(map);
    restarted.putElement('s', '10.0.0.1');
    restarted.putElement('m', '"cali1"', 'goto leaf');
    for (const one of ruleset.state().chains.values()) restarted.setChain(one);
    assert.equal(pendingText(restarted), '');
  });

  it('puts right what differs in the kernel', () => {
    const state = listed(ruleset.state());
    pendingText(ruleset);
    ruleset.rebase({
      ...state,
      chains: new Map([
        ...state.chains,
        ['leaf', { name: 'leaf', rules: [] }],
        ['strange', { name: 'strange', rules: [] }],
      ]),
      sets: new Map([...state.sets, ['s', { declaration: set, elements: new Map([['8.8.8.8', '']]) }]]),
    });
    assert.equal(
      pendingText(ruleset).replaceAll(/ comment "#\S+"/g, ''),
      `delete element inet twill s { 8.8.8.8 }
add element inet twill s { 10.0.0.1 }
add rule inet twill leaf ip saddr @s counter name "c" accept
flush chain inet twill strange
delete chain inet twill strange
`,
    );
    ruleset.rebase(undefined);
    assert.match(ruleset.pending().text(), /^add table inet twill\nadd counter inet twill c\n/);
  });

  it('starts over when a set of ours has another type, or the table sleeps or is not to stay', () => {
    const state = listed(ruleset.state());
    const foreign = { declaration: { ...set, key: ['ipv6_addr'] as const }, elements: new Map() };
    for (const kernel of [
      { ...state, sets: new Map([...state.sets, ['s', foreign]]) },
      { ...state, dormant: true },
      { ...state, mustReplace: true },
    ]) {
      ruleset.rebase(kernel);
      const text = ruleset.pending().text();
      assert.match(text, /^delete table inet twill\nadd table inet twill\n/);
      assertAcceptable(`add table inet twill\n${text}`);
    }
  });
});
