// The node's reports: what the children answer, more often while it is not ready, and on again after a refusal.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startReporting } from '../../agent/report.ts';
import { type EphemeralStore, openEphemeral } from '../../datastore/ephemeral.ts';
import { KvError } from '../../datastore/kv.ts';
import { createMemoryStore } from '../../datastore/memory.ts';
import { serveControl } from '../../runtime/control.ts';
import { until } from '../datastore/until.ts';

describe('node reports', () => {
  const directory = mkdtempSync(join(tmpdir(), 'twill-report-'));
  const felixSocket = join(directory, 'felix.sock');
  const store = createMemoryStore();
  let felix: Server;
  let reports: EphemeralStore;

  before(async () => {
    reports = await openEphemeral({ store });
    felix = await serveControl(felixSocket, {
      'GET /v1/status': () => ({ endpoints: 7 }),
      'GET /v1/hits': () => ({ rules: [] }),
    });
  });
  after(async () => {
    felix.close();
    await reports.close();
    await store.close();
    rmSync(directory, { recursive: true });
  });

  it('tells what answers, leaves out what does not, and comes again soon after a refusal', async () => {
    let ready = false;
    let refusals = 1;
    const ephemeral: EphemeralStore = {
      where: 'test',
      publish: (...report) =>
        refusals-- > 0 ? Promise.reject(new KvError('unavailable', 'away')) : reports.publish(...report),
      read: (kind) => reports.read(kind),
      close: () => reports.close(),
    };
    const stop = startReporting({
      ephemeral,
      node: 'n1',
      felixSocket,
      bgpSocket: join(directory, 'none.sock'),
      readiness: async () => ({ ready, reasons: ready ? [] : ['bgp: down'] }),
      intervalSec: 3600,
      log: pino({ level: 'silent' }),
    });
    const status = async () => JSON.parse((await reports.read('status'))[0]?.json ?? '{}') as Record<string, unknown>;
    await until(async () => (await status())['ready'] === false, 'the first report, after a refusal');
    assert.deepEqual((await status())['reasons'], ['bgp: down']);
    assert.deepEqual((await status())['felix'], { endpoints: 7 });
    assert.equal('bgp' in (await status()), false);
    ready = true;
    await until(async () => (await status())['ready'] === true, 'the report of readiness');
    assert.deepEqual(await reports.read('hits'), [{ node: 'n1', json: '{"rules":[]}' }]);
    stop();
  });
});
