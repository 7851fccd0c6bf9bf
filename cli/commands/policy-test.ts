// policy test: resources and an expected truth table in one file, evaluated without a cluster.

import { type CheckOutcome, resourcesOf, runPolicyTest } from '../../felix/explain/policy-test.ts';
import { PolicyWorld } from '../../felix/explain/policy-world.ts';
import { unenforcedRules } from '../../felix/explain/text.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { CommandError, type World } from '../world.ts';
import { readPolicyFiles } from './policy-files.ts';

export interface PolicyTestOptions {
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly output?: string;
}

export async function runPolicyTests(options: PolicyTestOptions, world: World): Promise<void> {
  if (!options.filename) throw new CommandError('policy test needs a file: -f FILE, or -f - for standard input');
  const outcomes: CheckOutcome[] = [];
  let tests = 0;
  // Each file is a world of its own.
  for (const filename of options.filename) {
    const { resources, tests: found } = await readPolicyFiles([filename], options.recursive ?? false, world);
    tests += found.length;
    for (const test of found) {
      outcomes.push(...runPolicyTest(test, PolicyWorld.of([...resources, ...resourcesOf(test, resources)])));
    }
  }
  if (tests === 0) throw new CommandError('no document of kind PolicyTest in what was given');
  if (options.output === 'json') world.out(formatJson(outcomes));
  else if (options.output === 'yaml') world.out(await formatYaml(outcomes));
  else world.out(outcomes.map(describeOutcome).join(''));
  const failed = outcomes.filter((outcome) => !outcome.passed).length;
  const summary = `${outcomes.length - failed} passed, ${failed} failed`;
  if (options.output === undefined) world.out(`${summary}\n`);
  if (failed > 0) throw new CommandError(options.output === undefined ? '' : summary);
}

function describeOutcome(outcome: CheckOutcome): string {
  const { from, to, traffic, expected, passed, explanation, problem } = outcome;
  const line = `${passed ? 'ok  ' : 'FAIL'}  ${from} -> ${to}  ${traffic}  ${expected}\n`;
  if (passed) return line;
  if (!explanation) return `${line}        ${problem ?? ''}\n`;
  const sides = (['egress', 'ingress'] as const).flatMap((direction) => {
    const { because, tiers, wouldChange, allowed } = explanation[direction];
    // What allows is of interest when it should not, and the other way round.
    if (!allowed && expected === 'denied') return [];
    if (allowed && expected === 'allowed') return [];
    const more = [...unenforcedRules(tiers), ...wouldChange].map((text) => `          ${text}\n`);
    return [`        ${direction}: ${because}\n`, ...more];
  });
  const crossings = explanation.crossings
    .filter(({ allowed }) => allowed === (expected === 'denied'))
    .map(({ node, because }) => `        forwarded by node ${node}: ${because}\n`);
  return line + [...sides, ...crossings].join('');
}
