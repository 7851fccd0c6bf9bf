// The addresses that a speaker listens on. One that can not be listened on, or whose socket does not take what peers need, is
// an error that is told, and ends nothing else.

import { formatAddress } from '../../net/address.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Connection, Listener, Transport } from '../edges.ts';
import type { ListenSettings, SpeakerSettings } from '../settings.ts';

export class Listeners {
  readonly #transport: Transport;
  readonly #accept: (connection: Connection) => void;
  readonly #log: Logger;
  readonly #listeners = new Map<string, Listener>();
  readonly #errors = new Map<string, string>();

  constructor(transport: Transport, accept: (connection: Connection) => void, log: Logger) {
    this.#transport = transport;
    this.#accept = accept;
    this.#log = log;
  }

  configure({ listen, peers, dynamicPeers }: SpeakerSettings): void {
    const wanted = new Map(listen.map((one) => [keyOf(one), one]));
    for (const [key, listener] of [...this.#listeners]) {
      if (wanted.has(key)) continue;
      listener.close();
      this.#listeners.delete(key);
    }
    this.#errors.clear();
    for (const [key, one] of wanted) {
      const listener = this.#listeners.get(key);
      // The kernel may refuse a key: no reason to end all that is up.
      if (listener) this.#orNote(one, 'can not set what peers need', () => listener.updatePeers(peers, dynamicPeers));
      else {
        this.#orNote(one, 'can not listen', () => {
          this.#listeners.set(key, this.#transport.listen(one, peers, this.#accept, dynamicPeers));
        });
      }
    }
  }

  #orNote(listen: ListenSettings, failure: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      const where = `${formatAddress(listen.address)}:${listen.port}`;
      const reason = error instanceof Error ? error.message : String(error);
      this.#errors.set(keyOf(listen), `${where}: ${reason}`);
      this.#log.error({ address: where, error: reason }, failure);
    }
  }

  get errors(): string[] {
    return [...this.#errors.values()];
  }

  close(): void {
    for (const listener of this.#listeners.values()) listener.close();
  }
}

const keyOf = ({ address, port, device }: ListenSettings): string =>
  `${formatAddress(address)} ${port} ${device ?? ''}`;
