// Shows how rules are resolved: overlaps go, host bits go, and what is not understood denies instead of being left out.

import assert from 'node:assert/strict';
import { compileRule, denyRule, mergeRanges, outermost, type RuleInput } from '../../../felix/calc/compile.ts';
import type { IpSetSpec } from '../../../felix/calc/ip-sets.ts';
import { formatPrefix } from '../../../net/prefix.ts';

function compile(rule: RuleInput, sets = new Map<string, IpSetSpec>()): ReturnType<typeof compileRule> {
  return compileRule(rule, 'ingress[0]', { direction: 'ingress', namespace: 'prod' }, sets);
}

describe('compiling rules', () => {
  it('drops networks that others cover, and host bits', () => {
    const nets = outermost(['10.1.0.0/16', '10.0.0.7/8', '192.0.2.1', 'fd00::1/64', 'fd00::2', '10.1.2.3/32']);
    assert.deepEqual(nets.map(formatPrefix), ['10.0.0.0/8', '192.0.2.1/32', 'fd00::/64']);
  });

  it('joins ranges that overlap or touch', () => {
    const ranges = [
      { first: 80, last: 80 },
      { first: 1, last: 5 },
      { first: 81, last: 90 },
      { first: 3, last: 9 },
    ];
    assert.deepEqual(mergeRanges(ranges), [
      { first: 1, last: 9 },
      { first: 80, last: 90 },
    ]);
  });

  it('gives equal selectors one set, whatever their wording', () => {
    const sets = new Map<string, IpSetSpec>();
    for (const selector of ["app == 'web'", 'app=="web"']) compile({ action: 'Allow', source: { selector } }, sets);
    assert.equal(sets.size, 1);
  });

  it('denies what it does not understand', () => {
    const rules: readonly RuleInput[] = [
      { action: 'Allow', protocol: 'nonsense' },
      { action: 'Allow', source: { nets: ['10.0.0.0/8', 'nonsense'] } },
      { action: 'Pass', source: { notNets: ['nonsense'] } },
      { action: 'Allow', protocol: 'TCP', destination: { ports: ['90:80'] } },
      { action: 'Allow', protocol: 'TCP', destination: { notPorts: ['!'] } },
    ];
    for (const rule of rules) assert.deepEqual(compile(rule), denyRule('ingress[0]'), JSON.stringify(rule));
  });

  it('closes matches that are not enforced', () => {
    assert.equal(compile({ action: 'Allow', http: { methods: ['GET'] } }), undefined);
    assert.equal(compile({ action: 'Deny', source: { services: { name: 'a' } } })?.action, 'deny');
    assert.equal(compile({ action: 'Pass', source: { services: { name: 'a' } } })?.action, 'deny');
  });
});
