// Kernel switches below /proc/sys.
//
// /proc/sys/net shows the network namespace of the thread that looks, whatever mount of /proc it goes through. So the
// files of another namespace are read and written from inside it.

import { readFileSync, writeFileSync } from 'node:fs';
import { hasCode } from './errors.ts';
import { insideNetns, type NetnsRef } from './netns.ts';

/** "net/ipv4/conf/cali123/proxy_arp": with slashes, because interface names may have dots. */
export type SysctlName = string;

export const readSysctl = (name: SysctlName, netns?: NetnsRef): string =>
  insideNetns(netns, () => readFileSync(`/proc/sys/${name}`, 'utf8').trim());

/** Writes all of them in one visit to the namespace, in order. */
export function writeSysctls(values: Readonly<Record<SysctlName, string | number>>, netns?: NetnsRef): void {
  insideNetns(netns, () => {
    for (const [name, value] of Object.entries(values)) writeFileSync(`/proc/sys/${name}`, String(value));
  });
}

/** As writeSysctls for switches that this kernel may lack: false when one was not there. Others are still written. */
export function writeSysctlsIfPresent(
  values: Readonly<Record<SysctlName, string | number>>,
  netns?: NetnsRef,
): boolean {
  return insideNetns(netns, () => {
    let complete = true;
    for (const [name, value] of Object.entries(values)) {
      try {
        writeFileSync(`/proc/sys/${name}`, String(value), { flag: 'r+' });
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error;
        complete = false;
      }
    }
    return complete;
  });
}

/**
 * As writeSysctlsIfPresent, leaving switches alone that are as wanted: reading one costs microseconds, writing
 * `forwarding` makes the kernel visit all of the device's addresses under its big lock.
 */
export function setSysctls(values: Readonly<Record<SysctlName, string | number>>, netns?: NetnsRef): boolean {
  return insideNetns(netns, () => {
    let complete = true;
    for (const [name, value] of Object.entries(values)) {
      try {
        const path = `/proc/sys/${name}`;
        if (readFileSync(path, 'utf8').trim() !== String(value)) writeFileSync(path, String(value), { flag: 'r+' });
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error;
        complete = false;
      }
    }
    return complete;
  });
}
