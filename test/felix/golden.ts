// Golden texts: compared with the file beside the test, rewritten with UPDATE_GOLDEN=1.

import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export function assertGolden(name: string, text: string): void {
  const path = fileURLToPath(new URL(`./golden/${name}`, import.meta.url));
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  assert.ok(existsSync(path), `${path} is missing: run with UPDATE_GOLDEN=1`);
  assert.equal(text, readFileSync(path, 'utf8'));
}

let nftWorks: boolean | undefined;

/** Lets the nft program judge a transaction, where there is one and we may. */
export function assertAcceptable(text: string): void {
  nftWorks ??= spawnSync('nft', ['--check', '-f', '-'], { input: 'add table inet twill-check\n' }).status === 0;
  if (!nftWorks) return;
  const { status, stderr } = spawnSync('nft', ['--check', '-f', '-'], { input: text, encoding: 'utf8' });
  assert.equal(status, 0, `${stderr}\n${text}`);
}
