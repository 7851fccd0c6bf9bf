// Shows on loopback that the transport connects, accepts, coalesces and bounds writes, reports errors by their code, and
// that TCP-MD5 keys and TTL security are enforced by the kernel and change without dropping a connection.

import assert from 'node:assert/strict';
import { Worker } from 'node:worker_threads';
import type { Connection, Listener } from '../../bgp/edges.ts';
import { acceptAll, type PeerSettings } from '../../bgp/settings.ts';
import { createTransport, highWaterBytes } from '../../bgp/transport.ts';
import { parseAddress } from '../../net/address.ts';

const transport = createTransport();
const clientAddress = address('127.0.0.2');
const serverAddress = address('127.0.0.1');

describe('bgp transport', () => {
  let port = 20000 + (process.pid % 20000);
  const open: { listener?: Listener; connections: Connection[] } = { connections: [] };

  afterEach(() => {
    for (const connection of open.connections.splice(0)) connection.destroy();
    open.listener?.close();
    port++;
  });

  async function pair(server: Partial<PeerSettings>, client: Partial<PeerSettings>, timeoutMs = 3000) {
    const accepted = deferred<Connection>();
    const toClient = peer(clientAddress, server);
    open.listener = transport.listen({ address: serverAddress, port }, [toClient], (connection) => {
      open.connections.push(connection);
      accepted.resolve(connection);
    });
    const settings = peer(serverAddress, { port, sourceAddress: clientAddress, ...client });
    const result = await connect(settings, timeoutMs);
    if (!('connection' in result)) return result;
    open.connections.push(result.connection);
    return { client: result.connection, server: await accepted.promise, listener: open.listener };
  }

  it('carries bytes both ways, in order, and knows both addresses', async () => {
    const made = await pair({}, {});
    assert(!('error' in made));
    const atServer = collect(made.server);
    const atClient = collect(made.client);
    for (let i = 0; i < 1000; i++) made.client.write(Uint8Array.of(i & 255));
    made.server.write(Buffer.from('hello'));
    await until(() => atServer.bytes.length === 1000 && atClient.bytes.length === 5);
    assert.deepEqual(
      [...atServer.bytes],
      Array.from({ length: 1000 }, (_, i) => i & 255),
    );
    assert(atServer.reads < 100, `small writes leave together: ${atServer.reads} reads`);
    assert.equal(made.server.remoteAddress, clientAddress);
    assert.equal(made.server.localAddress, serverAddress);
    assert.equal(made.server.incoming, true);
    assert.equal(made.client.incoming, false);
  });

  it('lets the receiver keep a slice() of what it has read', async () => {
    const made = await pair({}, {});
    assert(!('error' in made));
    const kept: Uint8Array[] = [];
    made.server.setHandlers({ onBytes: (bytes) => kept.push(bytes.slice()), onDrain: () => {}, onClose: () => {} });
    made.client.write(Uint8Array.of(1, 2));
    await until(() => kept.length === 1);
    made.client.write(Uint8Array.of(3, 4));
    await until(() => kept.length === 2);
    assert.deepEqual(
      kept.map((bytes) => [...bytes]),
      [
        [1, 2],
        [3, 4],
      ],
    );
  });

  it('counts what a stuck peer has not taken, and says when it has caught up', async () => {
    const made = await pair({}, {});
    assert(!('error' in made));
    const atServer = collect(made.server);
    made.server.pause();
    let drained = 0;
    made.client.setHandlers({ onBytes: () => {}, onDrain: () => drained++, onClose: () => {} });
    const size = 24 * 1024 * 1024;
    for (let sent = 0; sent < size; sent += 65536) made.client.write(new Uint8Array(65536));
    await until(() => made.client.queuedBytes > highWaterBytes);
    assert.equal(drained, 0);
    made.server.resume();
    await until(() => drained === 1);
    assert.equal(made.client.queuedBytes, 0);
    await until(() => atServer.bytes.length === size);
  });

  it('lets others have their turn while a peer sends faster than we read', async () => {
    const size = 16 * 1024 * 1024;
    let total = 0;
    let longestTurn = 0;
    let turn = 0;
    open.listener = transport.listen({ address: serverAddress, port }, [peer(clientAddress, {})], (connection) => {
      open.connections.push(connection);
      const onBytes = (bytes: Uint8Array): void => {
        if (turn === 0) setImmediate(() => (turn = 0));
        turn += bytes.length;
        total += bytes.length;
        longestTurn = Math.max(longestTurn, turn);
        // As long as digesting that many routes takes: the kernel's buffer fills again meanwhile.
        for (const until = performance.now() + 5; performance.now() < until; );
      };
      connection.setHandlers({ onBytes, onDrain: () => {}, onClose: () => {} });
    });
    const sender = new Worker(
      `require('node:net').connect({ port: ${port}, host: '127.0.0.1', localAddress: '127.0.0.2' }).write(Buffer.alloc(${size}));`,
      { eval: true },
    );
    await until(() => total === size);
    await sender.terminate();
    assert(longestTurn <= 256 * 1024, `${longestTurn} bytes in one turn`);
  });

  it('delivers what was queued before end(), then an orderly close', async () => {
    const made = await pair({}, {});
    assert(!('error' in made));
    const atServer = collect(made.server);
    const atClient = collect(made.client);
    made.client.write(Buffer.from('last words'));
    made.client.end();
    await until(() => atServer.closed !== undefined && atClient.closed !== undefined);
    assert.equal(Buffer.from(atServer.bytes).toString(), 'last words');
    assert.deepEqual(atServer.closed, { error: undefined });
  });

  it('reports a refused connection by its code', async () => {
    assert.deepEqual(await connect(peer(serverAddress, { port })), { error: 'ECONNREFUSED' });
  });

  it('reports a source address that cannot be used', async () => {
    const result = await connect(peer(serverAddress, { port, device: 'no-such-device' }));
    assert.deepEqual(result, { error: 'ENODEV' });
  });

  it('connects with the right TCP-MD5 key and not with a wrong one', async () => {
    const right = await pair({ password: 'secret' }, { password: 'secret' });
    assert(!('error' in right));
    const wrong = await connect(peer(serverAddress, { port, sourceAddress: clientAddress, password: 'wrong' }), 300);
    assert.deepEqual(wrong, { error: 'no answer' });
  });

  it('changes a key without dropping the connection', async () => {
    const made = await pair({ password: 'old' }, { password: 'old' });
    assert(!('error' in made));
    const atServer = collect(made.server);
    made.client.write(Buffer.from('a'));
    await until(() => atServer.bytes.length === 1);
    // Both ends are in this process: one updatePeers() call per side, as two speakers would do.
    made.listener.updatePeers([peer(clientAddress, { password: 'new' }), peer(serverAddress, { password: 'new' })]);
    made.client.write(Buffer.from('b'));
    await until(() => atServer.bytes.length === 2);
    const late = await connect(peer(serverAddress, { port, sourceAddress: clientAddress, password: 'new' }));
    assert('connection' in late);
    open.connections.push(late.connection);
  });

  it('drops packets from beyond the TTL security limit', async () => {
    const near = await pair({ ttlSecurityHops: 1 }, { ttlSecurityHops: 1 });
    assert(!('error' in near));
    const atServer = collect(near.server);
    near.client.write(Buffer.from('near'));
    await until(() => atServer.bytes.length === 4);
    open.listener?.close();
    port++;
    const far = await pair({ ttlSecurityHops: 1 }, {});
    assert(!('error' in far));
    const silent = collect(far.server);
    far.client.write(Buffer.from('far'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(silent.bytes.length, 0);
  });
});

function connect(settings: PeerSettings, timeoutMs = 3000) {
  return new Promise<{ readonly connection: Connection } | { readonly error: string }>((resolve) => {
    const attempt = transport.connect(settings, (result) => {
      clearTimeout(timer);
      resolve(result);
    });
    const timer = setTimeout(() => {
      attempt.cancel();
      resolve({ error: 'no answer' });
    }, timeoutMs);
  });
}

function collect(connection: Connection) {
  const seen: { bytes: Buffer; reads: number; closed: { error: string | undefined } | undefined } = {
    bytes: Buffer.alloc(0),
    reads: 0,
    closed: undefined,
  };
  const chunks: Buffer[] = [];
  connection.setHandlers({
    onBytes: (bytes) => {
      seen.reads++;
      chunks.push(Buffer.from(bytes));
      seen.bytes = Buffer.concat(chunks);
      chunks.splice(0, chunks.length, seen.bytes);
    },
    onDrain: () => {},
    onClose: (error) => {
      seen.closed = { error };
    },
  });
  return seen;
}

async function until(condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    assert(Date.now() < deadline, `not within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function deferred<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function address(text: string) {
  const parsed = parseAddress(text);
  assert(parsed !== undefined);
  return parsed;
}

function peer(remote: ReturnType<typeof address>, changes: Partial<PeerSettings>): PeerSettings {
  return {
    name: 'test',
    address: remote,
    port: 179,
    asn: 64512,
    passive: false,
    families: ['ipv4-unicast'],
    holdTimeSec: 90,
    keepaliveTimeSec: 0,
    connectRetrySec: 5,
    routeReflectorClient: false,
    nextHop: 'auto',
    allowedOwnAsns: 0,
    gracefulRestart: true,
    addPathSend: false,
    addPathReceive: false,
    importFilter: acceptAll,
    exportFilter: acceptAll,
    ...changes,
  };
}
