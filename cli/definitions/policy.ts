// Commands about policy.

import type { Command } from 'commander';
import type { World } from '../world.ts';
import { repeatable, withFiles, withGlobals } from './shared.ts';

export function definePolicyCommands(program: Command, world: World): void {
  const policy = program.command('policy').description('What policy allows and why; asks the datastore, or files.');
  withGlobals(withFiles(policy.command('why')))
    .description('Explain whether traffic may pass: which tier, policy and rule decides, and what would change it.')
    .argument(
      '<source>',
      'namespace/pod, an address, node:NAME, hostendpoint:NAME, or namespace:label=value,… for a pod that may come',
    )
    .argument('<destination>', 'the same')
    .argument('[traffic]', 'tcp/80, udp/53, icmp …; all that may pass when absent')
    .option('-o, --output <format>', 'text, json or yaml')
    .action(async (source: string, destination: string, traffic: string | undefined, options) =>
      (await import('../commands/policy-why.ts')).runPolicyWhy(source, destination, traffic, options, world),
    );
  policy
    .command('test')
    .description(
      'Check policies against what they must allow and deny, as a PolicyTest in a file says; needs no cluster.',
    )
    .addOption(repeatable('-f, --filename <file>', 'file, directory, or "-" for standard input; repeatable'))
    .option('-R, --recursive', 'process the directory given with -f recursively')
    .option('-o, --output <format>', 'text, json or yaml')
    .action(async (options) => (await import('../commands/policy-test.ts')).runPolicyTests(options, world));
  withGlobals(withFiles(policy.command('lint')))
    .description('List what is probably not meant: unreachable and redundant rules, empty selections, open doors.')
    .option('-o, --output <format>', 'text, json or yaml')
    .action(async (options) => (await import('../commands/policy-lint.ts')).runPolicyLint(options, world));
  withGlobals(policy.command('hits'))
    .description('Show how often each rule has matched, on all nodes.')
    .argument('[name]', 'only this policy: name, namespace/name or kind/namespace/name')
    .option('--unused', 'only rules that have never matched')
    .option('--redis-url <url>', 'where the nodes report, when it is not the datastore (or REDIS_URL)')
    .option('--run-dir <directory>', 'where the agent’s sockets are (or TWILL_RUN_DIR)')
    .option('-o, --output <format>', 'table, json or yaml')
    .action(async (name: string | undefined, options) =>
      (await import('../commands/policy-hits.ts')).runPolicyHits(name, options, world),
    );
  withGlobals(policy.command('trace'))
    .description(
      'Show live what policy decides about the packets of a pod or host endpoint of this node, and which rule does.',
    )
    .argument('<pod>', 'pod, namespace/pod or hostendpoint:NAME')
    .option('-n, --namespace <namespace>', 'namespace of the pod')
    .option('--seconds <number>', 'for how long; Ctrl-C ends it earlier', '10')
    .option('--run-dir <directory>', 'where the agent’s sockets are (or TWILL_RUN_DIR)')
    .option('-o, --output <format>', 'text, or json: one object a line')
    .action(async (pod: string, options) =>
      (await import('../commands/policy-trace.ts')).runPolicyTrace(pod, options, world),
    );
}
