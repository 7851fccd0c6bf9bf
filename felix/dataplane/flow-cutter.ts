// Cuts flows that are no longer allowed: makes connection tracking forget them, and blocks for some minutes the answers
// that the other side may still be sending.
//
// A pass reads the flows in slices, while the event loop turns. What comes up meanwhile waits for the next pass.

import type { Conntrack, ConntrackFilter, ConntrackFlow } from '../../linux/netlink/conntrack.ts';
import { type Address, familyOf } from '../../net/address.ts';
import type { Logger } from '../../runtime/log.ts';
import { type Command, Transaction } from '../nft/transaction.ts';
import { sets } from '../rules/static.ts';
import type { TableChannel } from './channel.ts';
import type { Surroundings } from './host-flows.ts';
import { answersKey, type Revocation, type Suspicion } from './revocation.ts';

export interface FlowCutterOptions {
  readonly conntrack: Pick<Conntrack, 'forEach' | 'delete'>;
  readonly channel: Pick<TableChannel, 'apply'>;
  readonly revocation: Revocation;
  /** Read anew for every pass. */
  readonly surroundings: () => Surroundings;
  readonly log: Logger;
}

/** A walk through all flows may take the kernel tens of milliseconds: at most a fifth of the time goes into them. */
const longestRestMs = 500;

export class FlowCutter {
  private readonly options: FlowCutterOptions;
  private running: Promise<void> | undefined;
  /** Addresses whose last owner's flows may still be there. */
  private readonly releasing = new Set<Address>();
  private closed = false;
  private total = 0;

  constructor(options: FlowCutterOptions) {
    this.options = options;
  }

  get flowsCut(): number {
    return this.total;
  }

  /**
   * To be called when a change is in the kernel, with the addresses that now have a new owner: it waits until the last
   * owner's flows are gone. Otherwise what is to be cut is cut later, without holding anybody up.
   */
  async afterApply(given: Iterable<Address>): Promise<void> {
    for (const address of this.options.revocation.released()) this.releasing.add(address);
    this.running ??= this.runPasses();
    for (const address of given) if (this.releasing.has(address)) await this.running;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.running;
  }

  /** What came up during a pass makes one more, after a rest in proportion. */
  private async runPasses(): Promise<void> {
    // Never over before the caller has noted that it runs.
    await Promise.resolve();
    for (;;) {
      const suspicion = this.options.revocation.takeSuspicion();
      if (!suspicion || this.closed) {
        this.running = undefined;
        return;
      }
      const started = performance.now();
      await this.pass(suspicion);
      for (const address of suspicion.released) this.releasing.delete(address);
      const restMs = Math.min((performance.now() - started) * 4, longestRestMs);
      if (this.releasing.size === 0) await new Promise((resolve) => setTimeout(resolve, restMs));
    }
  }

  private async pass(suspicion: Suspicion): Promise<void> {
    const { conntrack, revocation, surroundings, log } = this.options;
    try {
      const isRevoked = revocation.judge(suspicion, surroundings());
      const revoked = new Map<number, ConntrackFlow>();
      for (const filter of filtersFor(suspicion)) {
        await conntrack.forEach(filter, (flow) => {
          if (isRevoked(flow)) revoked.set(flow.id, flow);
        });
      }
      if (revoked.size === 0) return;
      const flows = [...revoked.values()];
      // Nobody answers from an address that has no owner any more.
      await this.blockAnswers(flows.filter(({ reply }) => !suspicion.released.has(reply.source)));
      const failures = conntrack.delete(flows);
      this.total += flows.length - failures.length;
      log.info({ flows: flows.length, failed: failures.length }, 'cut flows that are no longer allowed');
    } catch (error) {
      log.error({ error: error instanceof Error ? error.message : String(error) }, 'could not cut revoked flows');
      revocation.suspectAgain(suspicion);
      await new Promise((resolve) => setTimeout(resolve, longestRestMs));
    }
  }

  private async blockAnswers(flows: readonly ConntrackFlow[]): Promise<void> {
    const keys = { 4: new Set<string>(), 6: new Set<string>() };
    for (const flow of flows) {
      const answers = answersKey(flow);
      if (answers) keys[answers.family].add(answers.key);
    }
    const commands = ([4, 6] as const).flatMap((family): Command[] => {
      const elements = [...keys[family]].map((key) => [key, ''] as const);
      const set = sets[`revokedAnswers${family}`].name;
      return elements.length > 0 ? [{ kind: 'add-elements', set, elements }] : [];
    });
    const declarationOf = (name: string) => Object.values(sets).find((set) => set.name === name);
    const result = await this.options.channel.apply(new Transaction(commands), declarationOf);
    if (result.kind === 'failed') this.options.log.warn({ error: result.message }, 'could not block answers');
  }
}

/**
 * One walk for each family: a filter of the kernel's own saves little, because what costs is the walk through all
 * buckets, and each address and direction would need one.
 */
function filtersFor({ released, addresses, everything }: Suspicion): ConntrackFilter[] {
  const families = new Set<4 | 6>(everything ? [4, 6] : []);
  for (const some of [released, addresses]) for (const address of some) families.add(familyOf(address));
  return [...families].map((family) => ({ family }));
}
