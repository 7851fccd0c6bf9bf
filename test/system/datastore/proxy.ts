// A TCP proxy between client and server that does what networks do: cut, refuse, delay, freeze.

import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class FaultyProxy {
  readonly #server: Server;
  readonly #pairs = new Set<{ readonly client: Socket; readonly upstream: Socket }>();
  readonly #targetPort: number;
  #port = 0;
  #refusing = false;
  #frozen = false;
  #delayMs = 0;

  static async start(targetPort: number): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    const address = proxy.#server.address();
    assert.ok(address && typeof address === 'object');
    proxy.#port = address.port;
    return proxy;
  }

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((client) => this.#accept(client));
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Resets every connection, as a firewall does that lost its state. */
  cut(): void {
    for (const { client, upstream } of this.#pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  /** New connections are closed at once, present ones cut. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
    if (refusing) this.cut();
  }

  /** Nothing passes, nothing is closed: a network that swallows packets. What was sent meanwhile arrives afterwards. */
  freeze(frozen: boolean): void {
    this.#frozen = frozen;
    for (const { client, upstream } of this.#pairs) {
      for (const socket of [client, upstream]) {
        if (frozen) socket.pause();
        else socket.resume();
      }
    }
  }

  /** Each chunk waits this long, in each direction. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: '127.0.0.1', port: this.#targetPort });
    const pair = { client, upstream };
    this.#pairs.add(pair);
    this.#pipe(client, upstream);
    this.#pipe(upstream, client);
    if (this.#frozen) {
      client.pause();
      upstream.pause();
    }
    client.once('close', () => this.#pairs.delete(pair));
  }

  #pipe(from: Socket, to: Socket): void {
    from.setNoDelay(true);
    // One timer per chunk keeps the order: timers of equal length fire in the order in which they were set.
    from.on('data', (chunk) => {
      if (this.#delayMs === 0) to.write(chunk);
      else setTimeout(() => to.writable && to.write(chunk), this.#delayMs);
    });
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}
