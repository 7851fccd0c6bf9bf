// The control API: answers, errors with their status, a socket left by a dead process, a client that gives up.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlError, callControl, PlainText, serveControl } from '../../runtime/control.ts';

describe('control', () => {
  const dir = mkdtempSync(join(tmpdir(), 'twill-control-'));
  const socket = join(dir, 'x.sock');
  let server: Server | undefined;
  let aborted = false;

  before(async () => {
    writeFileSync(socket, 'left behind');
    server = await serveControl(socket, {
      'GET /v1/echo': ({ query }) => ({ said: query.get('word') }),
      'POST /v1/body': ({ body }) => body,
      'GET /metrics': () => new PlainText('up 1\n'),
      'GET /v1/teapot': () => {
        throw new ControlError(418, 'I am a teapot');
      },
      'GET /v1/never': ({ signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve({});
          });
        }),
    });
  });

  after(() => {
    server?.close();
    rmSync(dir, { recursive: true });
  });

  it('answers JSON and text', async () => {
    assert.deepEqual(await callControl(socket, '/v1/echo?word=hello'), { said: 'hello' });
    assert.deepEqual(await callControl(socket, '/v1/body', { body: { a: [1] } }), { a: [1] });
    assert.equal(await callControl(socket, '/metrics'), 'up 1\n');
  });

  it('carries errors with their status', async () => {
    await assert.rejects(
      callControl(socket, '/v1/teapot'),
      (error) => error instanceof ControlError && error.status === 418,
    );
    await assert.rejects(callControl(socket, '/v1/nothing'), /no such call; there are GET \/v1\/echo/);
    await assert.rejects(
      callControl(join(dir, 'none.sock'), '/'),
      (error) => error instanceof ControlError && error.status === 0,
    );
  });

  it('refuses a socket on which somebody answers', async () => {
    await assert.rejects(serveControl(socket, {}), /another process is listening/);
  });

  it('gives up in time and tells the handler', async () => {
    await assert.rejects(callControl(socket, '/v1/never', { timeoutMs: 20 }), /no answer within 20 ms/);
    while (!aborted) await new Promise((resolve) => setImmediate(resolve));
  });
});
