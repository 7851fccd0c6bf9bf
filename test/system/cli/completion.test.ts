// The completion scripts in the real shells: what bash, zsh and fish make of them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../datastore/processes.ts';

const main = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));
const loader = import.meta.resolve('tsx');

const here = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

describe('shell completion', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  before(() => {
    const file = `${directory.path}/twillctl`;
    writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' --import '${loader}' '${main}' "$@"\n`);
    chmodSync(file, 0o755);
    writeFileSync(`${directory.path}/pools.yaml`, '');
  });
  after(() => directory.remove());

  function run(shell: string, words: readonly string[], input = ''): string {
    const env = {
      ...process.env,
      PATH: `${directory.path}:${process.env['PATH']}`,
      HOME: directory.path,
      TERM: 'dumb',
      NODE_NO_WARNINGS: '1',
    };
    return spawnSync(shell, words, { input, encoding: 'utf8', env, cwd: directory.path, timeout: 30_000 }).stdout;
  }

  it('answers bash', () => {
    const complete = (...words: readonly string[]) =>
      run('bash', [
        '-c',
        `source <(twillctl completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _twillctl; compgen -W "\${COMPREPLY[*]}" | sort`,
        'bash',
        'twillctl',
        ...words,
      ]);
    assert.equal(complete('get', 'ipp'), 'ipp\nippools\n');
    assert.equal(complete('apply', '-f', 'poo'), 'pools.yaml\n');
  });

  it('answers fish', function () {
    if (!here('fish')) this.skip(); // The package fish is not installed.
    const complete = (line: string) => run('fish', ['-c', `twillctl completion fish | source; complete -C '${line}'`]);
    assert.equal(complete('twillctl get ipp'), 'ipp\nippools\n');
    assert.equal(complete('twillctl apply -f poo'), 'pools.yaml\n');
  });

  it('answers zsh', function () {
    if (!here('zsh')) this.skip(); // The package zsh is not installed.
    // Only a line editor on a terminal completes: script(1) gives it one, and the keys are typed ahead.
    const typed = (keys: string) =>
      run(
        'script',
        ['-qec', 'zsh -f -i', '/dev/null'],
        `autoload -U compinit; compinit -D -u; source <(twillctl completion zsh)\r${keys}\rexit\r`,
      );
    assert.match(typed('twillctl get ippo\t--help; echo twillctl get ippo\t'), /twillctl get ippools/);
    assert.match(typed('twillctl apply -f poo\t--help'), /twillctl apply -f pools\.yaml/);
  });
});
