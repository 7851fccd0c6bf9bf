// The HTTP/2 client against node:http2's server, whole and in pieces, and against one that misbehaves.

import assert from 'node:assert/strict';
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { Http2Client } from '../../../datastore/http2/client.ts';
import { encodeFrame, frameType, readSettings } from '../../../datastore/http2/frames.ts';
import type { Header } from '../../../datastore/http2/hpack.ts';

const headers: readonly Header[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/x'],
  [':authority', 'localhost'],
];

const listening = (server: Server | Http2Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('no port'));
      else resolve(address.port);
    });
  });

const connected = (port: number): Promise<Socket> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
  });

describe('HTTP/2 client', () => {
  const open: (Server | Http2Server)[] = [];
  afterEach(() => {
    for (const server of open.splice(0)) server.close();
  });

  async function against(onStream: (stream: ServerHttp2Stream) => void, window?: number): Promise<Http2Client> {
    const server = createServer({ settings: { ...(window !== undefined && { initialWindowSize: window }) } });
    server.on('stream', (stream) => {
      stream.on('error', () => {});
      onStream(stream);
    });
    open.push(server);
    return new Http2Client(await connected(await listening(server)));
  }

  it('sends and receives bodies larger than frames and windows, several at once', async () => {
    const client = await against((stream) => {
      stream.respond({ ':status': 200, kind: 'echo' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'all%20well' }));
      stream.pipe(stream);
    }, 1000);
    const bodies = [0, 1, 999, 1001, 70_000, 400_000].map((length) => Buffer.alloc(length, `${length}`));
    const answers = await Promise.all(bodies.map((body) => client.request(headers, body).answer));
    for (const [i, answer] of answers.entries()) {
      assert.ok(Buffer.concat(answer.body).equals(bodies[i] ?? Buffer.of()), `${bodies[i]?.length} bytes`);
      assert.equal(answer.headers.get('kind'), 'echo');
      assert.equal(answer.headers.get('grpc-message'), 'all%20well');
    }
    client.close();
    assert.equal(client.usable, false);
  });

  it('reads an answer that has only headers', async () => {
    const client = await against((stream) => stream.respond({ 'grpc-status': '5' }, { endStream: true }));
    const { headers: found, body } = await client.request(headers, Buffer.of(1)).answer;
    assert.deepEqual([found.get('grpc-status'), body], ['5', []]);
    client.close();
  });

  it('names the reason when the server gives a call up, and goes on with others', async () => {
    const client = await against((stream) => {
      if (stream.id === 1) stream.close(7);
      else stream.respond({ ':status': 200 }, { endStream: true });
    });
    await assert.rejects(client.request(headers, Buffer.of(1)).answer, /gave up the call: REFUSED_STREAM/);
    await client.request(headers, Buffer.of(1)).answer;
    client.close();
  });

  it('gives a call up itself', async () => {
    let code: number | undefined;
    const client = await against((stream) => {
      stream.on('close', () => {
        code = stream.rstCode;
      });
    });
    const exchange = client.request(headers, Buffer.of(1));
    setImmediate(() => exchange.cancel());
    await assert.rejects(exchange.answer, /given up/);
    client.close();
    for (const end = Date.now() + 5000; code === undefined && Date.now() < end; )
      await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(code, 8);
  });

  /** A server that says hello and then what `answer` says, byte by byte. */
  async function raw(answer: readonly Buffer[]): Promise<Http2Client> {
    const server = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        for (const byte of Buffer.concat(answer)) socket.write(Buffer.of(byte));
      });
    });
    open.push(server);
    const socket = await connected(await listening(server));
    socket.setNoDelay(true);
    return new Http2Client(socket);
  }
  const settings = encodeFrame(frameType.settings, 0, 0, Buffer.alloc(0));
  const block = Buffer.from('880001610162', 'hex');

  it('takes frames in pieces, padded, continued, with unknown ones in between', async () => {
    const client = await raw([
      settings,
      encodeFrame(0xbe, 0, 0, Buffer.from('?')),
      encodeFrame(frameType.ping, 0, 0, Buffer.alloc(8)),
      encodeFrame(
        frameType.headers,
        8 | 0x20,
        1,
        Buffer.concat([Buffer.from('02', 'hex'), Buffer.alloc(5), block.subarray(0, 3), Buffer.alloc(2)]),
      ),
      encodeFrame(frameType.continuation, 4, 1, block.subarray(3)),
      encodeFrame(frameType.data, 9, 1, Buffer.from('03616263000000', 'hex')),
    ]);
    const { headers: found, body } = await client.request(headers, Buffer.of(1)).answer;
    assert.deepEqual(
      [[...found], Buffer.concat(body).toString()],
      [
        [
          [':status', '200'],
          ['a', 'b'],
        ],
        'abc',
      ],
    );
    client.close();
  });

  for (const [what, frames, reason] of [
    [
      'ends the connection',
      [encodeFrame(frameType.goAway, 0, 0, Buffer.from('000000000000000b', 'hex'))],
      /ENHANCE_YOUR_CALM/,
    ],
    ['speaks HTTP/1', [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], /not HTTP\/2/],
    ['interrupts headers', [encodeFrame(frameType.headers, 0, 1, block), settings], /interrupted/],
    ['pads more than there is', [encodeFrame(frameType.data, 8, 1, Buffer.from('09', 'hex'))], /more padding/],
    ['pushes', [encodeFrame(frameType.pushPromise, 4, 1, Buffer.alloc(4))], /pushes/],
  ] as const) {
    it(`fails when the server ${what}`, async () => {
      const client = await raw(what === 'speaks HTTP/1' ? frames : [settings, ...frames]);
      await assert.rejects(client.request(headers, Buffer.of(1)).answer, reason);
      assert.equal(client.usable, false);
    });
  }

  it('reads settings', () => {
    assert.deepEqual(readSettings(Buffer.from('000300000064000400010000', 'hex')), [
      [3, 100],
      [4, 65_536],
    ]);
  });
});
