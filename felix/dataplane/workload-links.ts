// The host side of workloads' links, as far as rules depend on it: the group that makes a link a workload's whatever its name
// becomes, and the kernel's switches of an endpoint's interface.

import { hasCode } from '../../linux/errors.ts';
import { changeLink, type Link } from '../../linux/netlink/link.ts';
import type { Rtnetlink } from '../../linux/netlink/rtnetlink.ts';
import { workloadLinkGroup } from '../rules/static.ts';
import { hostSwitches, workloadSwitches } from './interfaces.ts';

export interface WorkloadLinksOptions {
  readonly netlink: Pick<Rtnetlink, 'execute'>;
  /** Writes kernel switches; false when one does not exist. */
  readonly writeSwitches: (values: Readonly<Record<string, number>>) => boolean;
  readonly isWorkloadInterface: (name: string) => boolean;
}

export class WorkloadLinks {
  private readonly options: WorkloadLinksOptions;
  /** Links, by index, that are not in the group yet. */
  private readonly ungrouped = new Map<number, string>();
  private readonly switched = new Set<string>();
  private hostIsSwitched = false;

  constructor(options: WorkloadLinksOptions) {
    this.options = options;
  }

  resync(links: readonly Link[]): void {
    this.ungrouped.clear();
    for (const link of links) this.onLink(link);
  }

  /** True: there is something to do about it. */
  onLink({ index, name, group }: Link): boolean {
    const isMissing = group !== workloadLinkGroup && this.options.isWorkloadInterface(name);
    if (isMissing) this.ungrouped.set(index, name);
    else this.ungrouped.delete(index);
    return isMissing;
  }

  onLinkGone(name: string): void {
    this.switched.delete(name);
  }

  /** Before an endpoint counts as programmed. */
  putIntoGroup(): void {
    const indexes = [...this.ungrouped.keys()];
    if (indexes.length === 0) return;
    const failures = this.options.netlink.execute(
      indexes.map((index) => changeLink(index, { group: workloadLinkGroup })),
    );
    const failed = failures.find(({ error }) => !hasCode(error, 'ENODEV'));
    if (failed) {
      const name = this.ungrouped.get(indexes[failed.index] ?? 0);
      throw new Error(`interface ${name} could not be put into the workloads' group: ${failed.error.message}`);
    }
    this.ungrouped.clear();
  }

  writeHostSwitches(): void {
    if (this.hostIsSwitched) return;
    this.options.writeSwitches(hostSwitches);
    this.hostIsSwitched = true;
  }

  /** Once for each link; it must be there. */
  writeSwitchesOf(name: string): void {
    if (this.switched.has(name)) return;
    this.options.writeSwitches(workloadSwitches(name));
    this.switched.add(name);
  }
}
