// What a program needs of the machine, checked before it changes anything.
//
//     const missing = await missingRequirements([netAdmin, nftables, veth, program('birdc', 'bird2')]);
//     if (missing.length > 0) { print them; exit(1) }
//
// Kernel features are probed in a network namespace of their own that disappears again.

import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { LinuxError } from './errors.ts';
import { createVeth } from './netlink/link.ts';
import { NetlinkSocket } from './netlink/socket.ts';
import { insideScratchNetns } from './netns.ts';
import { openNftables } from './nftables.ts';

export interface Requirement {
  /** Undefined when it is there; otherwise one line: what is missing and the remedy. */
  missing(): Promise<string | undefined>;
}

/** The complaints about what is not there, in order. */
export async function missingRequirements(requirements: readonly Requirement[]): Promise<string[]> {
  const complaints: string[] = [];
  for (const requirement of requirements) {
    const complaint = await requirement.missing();
    if (complaint) complaints.push(complaint);
  }
  return complaints;
}

const CAP_NET_ADMIN = 12;
const CAP_SYS_ADMIN = 21;

/** Links, routes, rules, namespaces. */
export const netAdmin: Requirement = {
  async missing() {
    const lacking = [
      hasCapability(CAP_NET_ADMIN) ? '' : 'CAP_NET_ADMIN',
      hasCapability(CAP_SYS_ADMIN) ? '' : 'CAP_SYS_ADMIN (to enter network namespaces)',
    ].filter((name) => name !== '');
    return lacking.length > 0 ? `missing privilege ${lacking.join(', ')}: run as root` : undefined;
  },
};

function hasCapability(number: number): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> BigInt(number)) & 1n) === 1n;
}

/** libnftables or nft, and a kernel with nf_tables. */
export const nftables: Requirement = {
  async missing() {
    try {
      // The client is opened inside, so that its netlink socket stays in the scratch namespace.
      const client = insideScratchNetns(() => openNftables());
      try {
        const result = await client.run('add table inet probe');
        if (result.kind === 'ok') return undefined;
        return `nftables does not work: ${result.message.split('\n')[0]}: load the kernel module nf_tables`;
      } finally {
        await client.close();
      }
    } catch (error) {
      return `nftables is not there (${text(error)}): apt-get install libnftables1 nftables`;
    }
  },
};

/** A kernel with virtual Ethernet pairs. */
export const veth: Requirement = {
  async missing() {
    try {
      insideScratchNetns(() => {
        const socket = new NetlinkSocket();
        try {
          socket.run(createVeth({ end: { name: 'probe0' }, peer: { name: 'probe1' } }));
        } finally {
          socket.close();
        }
      });
      return undefined;
    } catch (error) {
      return `the kernel can not make veth pairs (${text(error)}): load the kernel module veth`;
    }
  },
};

/** A program on the path, and the Debian package that brings it. */
export const program = (name: string, debianPackage: string): Requirement => ({
  async missing() {
    return findProgram(name) ? undefined : `the program ${name} is missing: apt-get install ${debianPackage}`;
  },
});

/** Its full path; undefined when it is in none of PATH's folders (nor the sbin ones, which users often lack). */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const text = (error: unknown): string => (error instanceof LinuxError ? error.message : String(error));
