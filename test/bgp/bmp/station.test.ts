// Shows the connection to a monitoring station: the picture first, live messages, again after a loss, and giving up a
// station that takes nothing.

import assert from 'node:assert/strict';
import { createServer, type Server, type Socket } from 'node:net';
import { BmpStation } from '../../../bgp/bmp/station.ts';
import { parseAddress } from '../../../net/address.ts';
import { createLogger } from '../../../runtime/log.ts';
import { until } from '../../system/bgp/routers.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

describe('BMP station', () => {
  let server: Server;
  let station: BmpStation | undefined;
  let sockets: Socket[];
  let heard: string[];
  beforeEach(async () => {
    sockets = [];
    heard = [];
    server = createServer((socket) => {
      const index = sockets.push(socket) - 1;
      heard[index] = '';
      socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    station?.close(text('.'));
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const listenTo = (index: number): void => {
    sockets[index]?.on('data', (bytes) => {
      heard[index] += bytes.toString();
    });
  };

  function start(): BmpStation {
    const address = server.address();
    assert(typeof address === 'object' && address);
    const begin = () => ({ first: [text('first ')], rest: [[text('a ')], [], [text('b ')]].values() });
    const settings = { address: parseAddress('127.0.0.1') ?? 0, port: address.port };
    station = new BmpStation(settings, { begin }, createLogger('test', 'silent'));
    return station;
  }

  it('tells the picture at each connection, and its end', async () => {
    const started = start();
    await until(() => sockets.length === 1);
    listenTo(0);
    await until(() => heard[0] === 'first a b ');
    started.send(text('live '));
    await until(() => heard[0] === 'first a b live ');
    sockets[0]?.destroy();
    await until(() => sockets.length === 2);
    listenTo(1);
    await until(() => heard[1] === 'first a b ');
    assert.equal(started.connections, 2);
    started.close(text('end'));
    await until(() => heard[1] === 'first a b end');
  });

  it('gives up a station that takes nothing', async () => {
    const started = start();
    await until(() => sockets.length === 1 && started.isUp);
    sockets[0]?.pause();
    const block = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 100 && started.overruns === 0; i++) started.send(block);
    assert.equal(started.overruns, 1);
    assert(!started.isUp);
    await until(() => started.connections === 2);
  });
});
