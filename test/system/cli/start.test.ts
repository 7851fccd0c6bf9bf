// The built twillctl starts from V8's compiled form, and without it: when it is not there, damaged, or of another build.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { version } from '../../../runtime/version.ts';
import { temporaryDirectory } from '../datastore/processes.ts';

const dist = fileURLToPath(new URL('../../../dist/', import.meta.url));

describe('the built twillctl', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const lib = `${directory.path}/dist/lib`;
  const compiled = (): readonly string[] => readdirSync(lib).filter((name) => /^twillctl\..*\.compiled$/.test(name));

  beforeEach(() => {
    mkdirSync(`${directory.path}/dist/bin`, { recursive: true });
    for (const name of ['twillctl', 'package.json']) cpSync(`${dist}bin/${name}`, `${directory.path}/dist/bin/${name}`);
    cpSync(`${dist}lib`, lib, { recursive: true, filter: (path) => !/\/twill-[^/]+$/.test(path) });
  });
  afterEach(() => rmSync(`${directory.path}/dist`, { recursive: true }));
  after(() => directory.remove());

  function answers(program: string): void {
    const run = (...words: readonly string[]): string => {
      const { stdout, stderr, status } = spawnSync(program, words, { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      return stdout;
    };
    assert.match(run('version', '--client'), new RegExp(version.replaceAll('.', '\\.')));
    assert.match(run('explain', 'ippool.spec.blockSize'), /blockSize/);
    assert.match(run('get', '--help'), /custom-columns/);
    assert.match(run('--help'), /completion/);
  }

  it('as it was built, also by a link', () => {
    assert.ok(compiled().length >= 2);
    answers(`${directory.path}/dist/bin/twillctl`);
    symlinkSync(`${directory.path}/dist/bin/twillctl`, `${directory.path}/dist/ctl`);
    answers(`${directory.path}/dist/ctl`);
  });

  it('without the compiled form', () => {
    for (const name of compiled()) rmSync(`${lib}/${name}`);
    answers(`${directory.path}/dist/bin/twillctl`);
  });

  for (const [what, content] of [
    ['empty', ''],
    ['not ours', 'what is this?\nnothing'],
    ['cut off', '[["twillctl.cjs",100000]]\n1234'],
    ['of another version of V8', `[["twillctl.cjs",1000]]\n${'\u0007'.repeat(1000)}`],
  ] as const) {
    it(`with a compiled form that is ${what}`, () => {
      for (const name of compiled()) writeFileSync(`${lib}/${name}`, content);
      answers(`${directory.path}/dist/bin/twillctl`);
    });
  }
});
