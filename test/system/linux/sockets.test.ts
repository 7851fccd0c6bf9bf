// TCP-MD5, GTSM and bound sources against the kernel: who has the key and the hops connects, nobody else does.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer, type Server, Socket } from 'node:net';
import { basename } from 'node:path';
import { addAddress } from '../../../linux/netlink/address.ts';
import { changeLink, createVeth } from '../../../linux/netlink/link.ts';
import { Rtnetlink } from '../../../linux/netlink/rtnetlink.ts';
import { withNetnsFd } from '../../../linux/netns.ts';
import {
  type ConnectOptions,
  connectingSocket,
  listeningSocket,
  localPort,
  setMd5Key,
  setMd5KeyForPrefix,
  udpSocket,
} from '../../../linux/sockets.ts';
import { type Address, formatAddress, parseAddress } from '../../../net/address.ts';
import { until, useNetns } from './namespaces.ts';

const address = (text: string): Address => parseAddress(text) ?? assert.fail(text);

describe('TCP sockets', function () {
  this.timeout(20_000);
  const netns = useNetns('server', 'client');
  const ends = { server: ['10.9.0.1', 'fd09::1'], client: ['10.9.0.2', 'fd09::2'] } as const;

  before(async () => {
    const server = new Rtnetlink({ netns: netns('server') });
    const client = new Rtnetlink({ netns: netns('client') });
    withNetnsFd(netns('client'), (netnsFd) =>
      server.run(createVeth({ end: { name: 'v0' }, peer: { name: 'v0', netnsFd }, up: true })),
    );
    client.run(changeLink('v0', { up: true }));
    for (const [links, texts] of [
      [server, ends.server],
      [client, ends.client],
    ] as const) {
      const interfaceIndex = links.link('v0')?.index ?? assert.fail();
      for (const text of texts) {
        links.run(
          addAddress({
            interfaceIndex,
            address: address(text),
            length: text.includes(':') ? 64 : 24,
            noDuplicateDetection: true,
          }),
        );
      }
      links.close();
    }
    // The first neighbour solicitation of an interface that is not ready yet is lost, and the next one comes a second later.
    for (const side of ['server', 'client'] as const) {
      const show = ['-n', basename(netns(side)), '-6', 'addr', 'show', 'dev', 'v0', 'tentative'];
      await until('addresses are ready', () => execFileSync('ip', show, { encoding: 'utf8' }) === '');
    }
  });

  let server: Server;
  let fd: number;
  afterEach(() => server.close());

  function listen(at: string, options: { minTtl?: number; ttl?: number } = {}): number {
    fd = listeningSocket(address(at), 0, { netns: netns('server'), ...options });
    server = createServer((connection) => connection.on('error', () => {}).end('hello'));
    server.listen({ fd });
    return localPort(fd);
  }

  /** "hello", or the error, or "timeout". */
  function connect(to: string, port: number, options: ConnectOptions = {}, timeoutMs = 700): Promise<string> {
    return new Promise((resolve) => {
      const socket = new Socket({ fd: connectingSocket(address(to), { netns: netns('client'), ...options }) });
      const end = (text: string): void => {
        socket.destroy();
        resolve(text);
      };
      socket.setTimeout(timeoutMs, () => end('timeout'));
      socket.on('error', (error) => end('code' in error ? String(error.code) : error.message));
      socket.on('data', (data) => end(`${data} ${socket.localAddress}`));
      // The family is that of the descriptor.
      socket.connect({ host: formatAddress(address(to)), port, autoSelectFamily: false });
    });
  }

  it('connect from the source they were bound to', async () => {
    const port = listen('10.9.0.1');
    assert.equal(await connect('10.9.0.1', port, { source: address('10.9.0.2') }), 'hello 10.9.0.2');
    const port6 = ((): number => {
      server.close();
      return listen('fd09::1');
    })();
    assert.equal(await connect('fd09::1', port6, { source: address('fd09::2'), device: 'v0' }), 'hello fd09::2');
  });

  it('connect with the right TCP-MD5 key only, which may come and go', async () => {
    const port = listen('10.9.0.1');
    setMd5Key(fd, address('10.9.0.2'), 'secret');
    assert.equal(await connect('10.9.0.1', port, { md5: 'secret' }), 'hello 10.9.0.2');
    assert.equal(await connect('10.9.0.1', port, { md5: 'wrong' }), 'timeout');
    assert.equal(await connect('10.9.0.1', port), 'timeout');
    setMd5Key(fd, address('10.9.0.2'), undefined);
    assert.equal(await connect('10.9.0.1', port), 'hello 10.9.0.2');
    setMd5KeyForPrefix(fd, { address: address('10.9.0.0'), length: 24 }, 'range');
    assert.equal(await connect('10.9.0.1', port, { md5: 'range' }), 'hello 10.9.0.2');
  });

  it('refuse peers that are too many hops away', async () => {
    const port = listen('fd09::1', { minTtl: 255, ttl: 255 });
    assert.equal(await connect('fd09::1', port, { ttl: 255, minTtl: 255 }), 'hello fd09::2');
    assert.equal(await connect('fd09::1', port, { ttl: 64 }), 'timeout');
  });

  it('say why an address can not be bound', () => {
    server = createServer();
    assert.throws(() => listeningSocket(address('192.0.2.1'), 0, { netns: netns('server') }), {
      code: 'EADDRNOTAVAIL',
    });
  });

  for (const family of ['udp4', 'udp6'] as const) {
    it(`take datagrams that come from near enough only, ${family}`, async () => {
      server = createServer();
      const [to, from] = family === 'udp4' ? ['10.9.0.1', '10.9.0.2'] : ['fd09::1', 'fd09::2'];
      const receiver = createSocket(family);
      const receiverFd = udpSocket(address(to), 0, { netns: netns('server'), device: 'v0', minTtl: 255 });
      const heard: string[] = [];
      receiver.on('message', (bytes) => heard.push(bytes.toString()));
      receiver.bind({ fd: receiverFd });
      const port = localPort(receiverFd);
      const send = async (text: string, ttl: number): Promise<void> => {
        const sender = createSocket(family);
        sender.bind({ fd: udpSocket(address(from), 0, { netns: netns('client'), ttl }) });
        await new Promise((resolve) => sender.send(text, port, to, resolve));
        sender.close();
      };
      await send('far', 254);
      await send('near', 255);
      await until('a datagram', () => heard.length > 0);
      assert.deepEqual(heard, ['near']);
      receiver.close();
    });
  }
});
