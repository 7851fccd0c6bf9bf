// Kills the engine of twill-datastore at random moments and looks at what is there afterwards: every acknowledged step, in
// full, in order, and beyond them at most steps that were on their way.
//
// `npm run crash:store` does this ten thousand times; the tests do a few.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { Engine } from '../../../datastore/embedded/engine.ts';
import { seededRandom } from '../../datastore/random.ts';
import { stateAfter, stepOf } from './crash-steps.ts';
import { temporaryDirectory } from './processes.ts';

export interface CrashReport {
  readonly rounds: number;
  readonly steps: number;
  readonly tornEnds: number;
}

export async function crashAgainAndAgain(
  rounds: number,
  seed: number,
  onRound: (round: number, steps: number) => void = () => {},
): Promise<CrashReport> {
  const scratch = temporaryDirectory();
  const worker = join(scratch.path, 'worker.mjs');
  const directory = join(scratch.path, 'data');
  await build({
    entryPoints: [new URL('./crash-worker.ts', import.meta.url).pathname],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: worker,
    logLevel: 'error',
  });
  const random = seededRandom(seed);
  mkdirSync(directory);
  let [step, tornEnds] = [0, 0];
  for (let round = 1; round <= rounds; round++) {
    // Mostly in the middle of its work, now and then while it starts and recovers.
    const moment = { fromFirstStep: random.next() < 0.9, afterMs: random.below(100) };
    const acknowledged = await runAndKill(worker, directory, moment);
    const found = inspect(directory);
    tornEnds += found.torn ? 1 : 0;
    const name = `seed ${seed}, round ${round}`;
    assert.ok(found.step > acknowledged, `${name}: step ${acknowledged} was acknowledged, ${found.step - 1} is there`);
    assert.ok(found.step >= step, `${name}: the store went back from step ${step} to ${found.step}`);
    assert.equal(found.state, stateAfter(found.step), `${name}: the state after step ${found.step - 1}`);
    step = found.step;
    onRound(round, step);
  }
  scratch.remove();
  return { rounds, steps: step, tornEnds };
}

/** The last step that was acknowledged before the process was killed, -1 for none. */
function runAndKill(
  worker: string,
  directory: string,
  { fromFirstStep, afterMs }: { readonly fromFirstStep: boolean; readonly afterMs: number },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [worker, directory], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [output, errors] = ['', ''];
    let timer: NodeJS.Timeout | undefined;
    const killLater = (): void => {
      timer ??= setTimeout(() => child.kill('SIGKILL'), afterMs);
    };
    if (!fromFirstStep) killLater();
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      killLater();
      output = output.slice(-200) + chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk;
    });
    child.on('close', (_code, signal) => {
      clearTimeout(timer);
      if (signal !== 'SIGKILL') reject(new Error(`the engine ended by itself: ${errors}`));
      else resolve(Number(/(\d+)\n[^\n]*$/.exec(output)?.[1] ?? -1));
    });
  });
}

function inspect(directory: string): { readonly step: number; readonly state: string; readonly torn: boolean } {
  const engine = new Engine({
    directory,
    now: () => 0,
    onFailure: (error) => {
      throw error;
    },
    history: { ageMs: 0, bytes: 1 << 30 },
  });
  const { versions } = engine.mvcc.range({ from: '\0' });
  const state = versions.map(({ key, value }) => `${key}=${value}`).join('\n');
  void engine.close();
  return { step: stepOf(engine.mvcc.revision), state, torn: engine.tornBytes > 0 };
}
