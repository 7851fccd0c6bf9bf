// When and what of the kernel's table is compared with the desired one although nothing says that it has changed.
//
// Everybody's edits are heard of as they happen; this is for what nobody thought of. It must not be in the way: it gives
// way to what has to be applied, and begins again after it. And it must cost little: the kernel finds a set by walking
// through all of them, so that reading every set of 10,000 takes it many seconds. Chains, rules, counters and the
// declarations of sets are compared each time, elements of some sets each time, all of them in turn.

import type { KernelState } from '../nft/objects.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import type { TableChannel } from './channel.ts';

const setsEachTime = 500;
/** How often it gives way before it does not any more: edits then wait for it once, for about a second at 10,000 sets. */
const longestPatience = 5;

export class Auditor {
  private wanted = false;
  private gaveWay = 0;
  /** Where in the order of the sets the next comparison goes on. */
  private position = 0;

  get isWanted(): boolean {
    return this.wanted;
  }

  get isOverdue(): boolean {
    return this.gaveWay >= longestPatience;
  }

  request(): void {
    this.wanted = true;
  }

  /** What the kernel has, with the elements of the sets whose turn it is; undefined when it gave way. */
  async read(
    channel: Pick<TableChannel, 'readPart'>,
    ruleset: Ruleset,
    isMoreUrgent: () => boolean,
  ): Promise<{ readonly table: KernelState | undefined } | undefined> {
    const names = [...ruleset.setNames()];
    if (this.position >= names.length) this.position = 0;
    const chosen = new Set(names.slice(this.position, this.position + setsEachTime));
    const result = await channel.readPart({
      elementsOf: (name) => chosen.has(name) || !ruleset.hasSet(name),
      isGivenUp: isMoreUrgent,
    });
    if (result.kind === 'given-up') {
      this.gaveWay++;
      return undefined;
    }
    this.wanted = false;
    this.gaveWay = 0;
    this.position += chosen.size;
    return { table: result.state };
  }
}
