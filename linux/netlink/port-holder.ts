// Which process has the netlink socket with this port id: for messages to people.
//
//   /proc/net/netlink    sk  Eth(protocol)  Pid(port id)  …  Inode        of our own network namespace
//   /proc/<pid>/fd/<n>   → socket:[<inode>]

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface PortHolder {
  readonly pid: number;
  /** As in /proc/<pid>/comm. */
  readonly command: string;
}

/** Undefined: none that we can see. */
export function holderOfPort(protocol: number, port: number): PortHolder | undefined {
  const inode = inodeOfPort(protocol, port);
  if (inode === undefined) return undefined;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (!hasSocket(pid, inode)) continue;
    return { pid: Number(pid), command: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() };
  }
  return undefined;
}

function inodeOfPort(protocol: number, port: number): string | undefined {
  for (const line of readFileSync('/proc/self/net/netlink', 'utf8').split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (Number(fields[1]) === protocol && Number(fields[2]) === port) return fields.at(-1);
  }
  return undefined;
}

/** Processes end while we look. */
function hasSocket(pid: string, inode: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readLink(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
  } catch {
    return false;
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
