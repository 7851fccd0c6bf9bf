// After a crash inside libnftables the `nft` program takes over.
//
// The library runs in our process: when it crashes, we do. So a mark is set in a file for as long as a call lasts; whoever
// starts and finds it set knows how the last one ended.

import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { type NftClient, type NftOptions, openNftables } from './nftables.ts';

const idle = 0x30;
const inside = 0x31;

/** `markFile`: outlives the process, but not the machine: in the run directory. `onCrash` is told when the library is avoided. */
export function openGuardedNftables(
  options: NftOptions & { readonly markFile: string; readonly onCrash: () => void },
): NftClient {
  const { markFile, onCrash, ...rest } = options;
  const fd = openSync(markFile, 'a+', 0o600);
  const last = Buffer.alloc(1);
  const crashed = readSync(fd, last, 0, 1, 0) === 1 && last[0] === inside;
  closeSync(fd);
  if (crashed) {
    onCrash();
    return openNftables({ ...rest, backend: 'nft-program' });
  }
  const client = openNftables(rest);
  return client.backend === 'libnftables' ? new GuardedClient(client, markFile) : client;
}

class GuardedClient implements NftClient {
  readonly backend = 'libnftables';
  private readonly client: NftClient;
  private readonly fd: number;
  private calls = 0;

  constructor(client: NftClient, markFile: string) {
    this.client = client;
    this.fd = openSync(markFile, 'r+');
    this.mark(idle);
  }

  run(text: string) {
    return this.guarded(() => this.client.run(text));
  }

  check(text: string) {
    return this.guarded(() => this.client.check(text));
  }

  listJson(command: string) {
    return this.guarded(() => this.client.listJson(command));
  }

  async close(): Promise<void> {
    await this.client.close();
    closeSync(this.fd);
  }

  private async guarded<T>(call: () => Promise<T>): Promise<T> {
    if (this.calls++ === 0) this.mark(inside);
    try {
      return await call();
    } finally {
      if (--this.calls === 0) this.mark(idle);
    }
  }

  private mark(state: number): void {
    writeSync(this.fd, Uint8Array.of(state), 0, 1, 0);
  }
}
