// Runs the built twillctl as its users do, against a store of its own, and keeps what V8 compiled for it.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { keptCommands } from './scripts.mjs';

const argumentsOf = { get: ['nodes'], apply: ['-f', '-'] };
const manifest = `
apiVersion: projectcalico.org/v3
kind: Node
metadata: { name: one }
spec: { bgp: { ipv4Address: 192.0.2.1/24 } }
`;

/** Without it twillctl works all the same, only slower: a failure is a message. */
export async function warmUp(root, buildId) {
  const directory = mkdtempSync(join(tmpdir(), 'twill-build-'));
  const socket = join(directory, 'store.sock');
  const listen = ['--data-dir', join(directory, 'store'), '--listen', `unix:${socket}`, '--log-level', 'silent'];
  const store = spawn(process.execPath, [join(root, 'dist/bin/twill-datastore'), ...listen], { stdio: 'ignore' });
  const ended = new Promise((resolve) => store.once('exit', resolve));
  try {
    for (let waited = 0; !existsSync(socket) && waited < 10_000; waited += 20) await delay(20);
    // In this order: there has to be something to get.
    for (const command of [...keptCommands].reverse()) {
      const compiled = join(root, `dist/lib/twillctl.${buildId}.${command}.compiled`);
      const env = { ...process.env, ETCD_ENDPOINTS: `unix:${socket}`, TWILL_COMPILED: compiled };
      const program = ['--require', join(root, 'tools/record-scripts.cjs'), join(root, 'dist/bin/twillctl')];
      const words = [...program, command, ...argumentsOf[command]];
      const { status, stderr } = spawnSync(process.execPath, words, { env, input: manifest });
      if (status !== 0) console.error(`twillctl ${command} starts slower than it could: ${stderr}`);
    }
  } finally {
    store.kill();
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}
