// What Go's clients say on a unix socket reaches Node's HTTP/2 with an authority that it takes, in whatever pieces it comes.

import assert from 'node:assert/strict';
import { createServer as createHttp2Server, type IncomingHttpHeaders } from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { withPlainAuthority } from '../../../datastore/embedded/authority.ts';
import { encodeFrame, encodeSettings, frameType, PREFACE, setting } from '../../../datastore/http2/frames.ts';
import { encodeHeaders } from '../../../datastore/http2/hpack.ts';
import { temporaryDirectory } from '../../system/datastore/processes.ts';
import { until } from '../until.ts';

const path = '%2Frun%2Ftwill%2Fdatastore.sock';

describe('datastore/embedded/authority', () => {
  const directory = temporaryDirectory();
  const socketPath = join(directory.path, 's');
  const http2 = createHttp2Server();
  const sockets = new Set<Socket>();
  let door: Server;
  let seen: { readonly headers: IncomingHttpHeaders; body: string }[] = [];

  before((done) => {
    http2.on('stream', (stream, headers) => {
      const request = { headers, body: '' };
      stream.on('data', (chunk: Buffer) => {
        request.body += chunk.toString();
      });
      stream.on('end', () => {
        seen.push(request);
        stream.respond({ ':status': 200 }, { endStream: true });
      });
    });
    http2.on('sessionError', () => {});
    door = createServer((socket) => withPlainAuthority(socket, (connection) => http2.emit('connection', connection)));
    door.listen(socketPath, done);
  });
  beforeEach(() => {
    seen = [];
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    door.close();
    directory.remove();
  });

  function open(): Socket {
    const socket = connect(socketPath);
    socket.on('error', () => {});
    sockets.add(socket);
    return socket;
  }
  const headers = (authority: string, more: readonly (readonly [string, string])[] = []): Buffer =>
    encodeHeaders([[':method', 'POST'], [':scheme', 'http'], [':path', '/x'], [':authority', authority], ...more]);
  const hello = (...settings: readonly (readonly [number, number])[]): Buffer =>
    Buffer.concat([PREFACE, encodeSettings(settings)]);

  it('takes a path as the authority, byte by byte, padded, with priority and continued', async () => {
    const block = headers(path, [['a', 'b'.repeat(300)]]);
    const first = Buffer.concat([Buffer.from([3]), Buffer.alloc(5), block.subarray(0, 50), Buffer.alloc(3)]);
    const words = Buffer.concat([
      hello(),
      encodeFrame(frameType.headers, 8 | 0x20, 1, first),
      encodeFrame(frameType.continuation, 4, 1, block.subarray(50)),
      encodeFrame(frameType.data, 1, 1, Buffer.from('body')),
    ]);
    const socket = open();
    for (const byte of words) socket.write(Buffer.of(byte));
    await until(() => seen.length === 1, 'the request to arrive');
    assert.deepEqual([seen[0]?.headers[':authority'], seen[0]?.headers['a']], ['localhost', 'b'.repeat(300)]);
    assert.equal(seen[0]?.body, 'body');
  });

  it('keeps the table of headers between requests', async () => {
    const kept = Buffer.concat([
      Buffer.from([0x83, 0x86]),
      ...[
        [0x44, '/x'],
        [0x41, path],
      ].map(([code, text]) =>
        Buffer.concat([Buffer.from([Number(code), String(text).length]), Buffer.from(String(text))]),
      ),
    ]);
    const socket = open();
    socket.write(Buffer.concat([hello(), encodeFrame(frameType.headers, 5, 1, kept)]));
    // :path and :authority by the places that they got.
    socket.write(encodeFrame(frameType.headers, 5, 3, Buffer.from([0x83, 0x86, 0xbf, 0xbe])));
    await until(() => seen.length === 2, 'both requests to arrive');
    for (const request of seen)
      assert.deepEqual([request.headers[':authority'], request.headers[':path']], ['localhost', '/x']);
  });

  it('splits headers that are longer than a frame', async () => {
    const long = headers(path, [['a', 'b'.repeat(20_000)]]);
    const socket = open();
    const parts = [long.subarray(0, 16_000), long.subarray(16_000)] as const;
    socket.write(
      Buffer.concat([
        hello(),
        encodeFrame(frameType.headers, 1, 1, parts[0]),
        encodeFrame(frameType.continuation, 4, 1, parts[1]),
      ]),
    );
    await until(() => seen.length === 1, 'the request to arrive');
    assert.equal(seen[0]?.headers['a']?.length, 20_000);
  });

  it('leaves clients of Node as they are', async () => {
    for (const settings of [[setting.enablePush, 0] as const, [setting.initialWindowSize, 65_535] as const]) {
      const socket = open();
      socket.write(Buffer.concat([hello(settings), encodeFrame(frameType.headers, 5, 1, headers('here'))]));
      await until(() => seen.length === 1, 'the request to arrive');
      assert.equal(seen[0]?.headers[':authority'], 'here');
      seen = [];
    }
  });

  for (const [what, words] of [
    ['no HTTP/2', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['headers that are no HPACK', Buffer.concat([hello(), encodeFrame(frameType.headers, 5, 1, Buffer.from([0xff]))])],
    ['interrupted headers', Buffer.concat([hello(), encodeFrame(frameType.headers, 0, 1, headers(path)), hello()])],
    ['a frame that is too long', Buffer.concat([hello(), Buffer.from('ffffff000000000001', 'hex')])],
  ] as const) {
    it(`hangs up on ${what}`, async () => {
      const socket = open();
      let closed = false;
      socket.on('close', () => {
        closed = true;
      });
      socket.resume();
      socket.write(words);
      await until(() => closed, 'the connection to be closed');
      assert.deepEqual(seen, []);
    });
  }
});
