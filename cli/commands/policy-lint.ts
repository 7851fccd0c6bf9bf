// policy lint: what is probably not meant.

import { type Finding, lintPolicies } from '../../felix/explain/lint.ts';
import { policyName } from '../../felix/explain/verdict.ts';
import { formatJson, formatYaml } from '../output/documents.ts';
import { progressOf } from '../output/progress.ts';
import { CommandError, type World } from '../world.ts';
import { openPolicyWorld, type PolicySourceOptions } from './policy-world.ts';

export interface PolicyLintOptions extends PolicySourceOptions {
  readonly output?: string;
}

/** Ends with 1 when there are errors; warnings alone are none. */
export async function runPolicyLint(options: PolicyLintOptions, world: World): Promise<void> {
  const findings = lintPolicies(await openPolicyWorld(options, world), progressOf(world));
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const summary = `${errors} errors, ${findings.length - errors} warnings`;
  if (options.output === 'json') world.out(formatJson(findings));
  else if (options.output === 'yaml') world.out(await formatYaml(findings));
  else world.out(`${findings.map(describe).join('')}${summary}\n`);
  if (errors > 0) throw new CommandError(options.output === undefined ? '' : summary);
}

const describe = ({ severity, subject, rule, text }: Finding): string =>
  `${severity.padEnd(7)}  ${[policyName(subject), rule].filter(Boolean).join(' ')}: ${text}\n`;
