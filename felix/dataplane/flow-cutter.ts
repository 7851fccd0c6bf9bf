// Cuts flows that are no longer allowed: makes connection tracking forget them, and blocks for some minutes the answers
// that the other side may still be sending.
//
// A pass reads the flows in slices, while the event loop turns. What comes up meanwhile waits for the next pass.

import type { Conntrack, ConntrackFilter, ConntrackFlow } from '../../linux/netlink/conntrack.ts';
import type { NftClient } from '../../linux/nftables.ts';
import { type Address, familyOf } from '../../net/address.ts';
import type { Logger } from '../../runtime/log.ts';
import { tableName } from '../nft/objects.ts';
import { sets } from '../rules/static.ts';
import { answersKey, type Revocation, type Suspicion } from './revocation.ts';

export interface FlowCutterOptions {
  readonly conntrack: Pick<Conntrack, 'forEach' | 'delete'>;
  readonly nft: NftClient;
  readonly revocation: Revocation;
  readonly ownAddresses: () => ReadonlySet<Address>;
  readonly log: Logger;
}

/** Up to this many addresses the kernel is asked for each one's flows, instead of for all flows. */
const fewAddresses = 4;

export class FlowCutter {
  private readonly options: FlowCutterOptions;
  private running: Promise<void> = Promise.resolve();
  private closed = false;
  private total = 0;

  constructor(options: FlowCutterOptions) {
    this.options = options;
  }

  get flowsCut(): number {
    return this.total;
  }

  /**
   * To be called when a change is in the kernel. Waits only where an address has changed hands: its new owner must not
   * be told that it is ready before the old one's flows are gone.
   */
  async afterApply(): Promise<void> {
    const suspicion = this.options.revocation.takeSuspicion();
    if (!suspicion) return;
    this.running = this.running.then(() => this.pass(suspicion));
    if (suspicion.released.size > 0) await this.running;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.running;
  }

  private async pass(suspicion: Suspicion): Promise<void> {
    if (this.closed) return;
    const { conntrack, revocation, ownAddresses, log } = this.options;
    try {
      const own = ownAddresses();
      const isRevoked = revocation.judge(suspicion, (address) => own.has(address));
      const revoked = new Map<number, ConntrackFlow>();
      for (const filter of filtersFor(suspicion)) {
        await conntrack.forEach(filter, (flow) => {
          if (isRevoked(flow)) revoked.set(flow.id, flow);
        });
      }
      if (revoked.size === 0) return;
      const flows = [...revoked.values()];
      await this.blockAnswers(flows);
      const failures = conntrack.delete(flows);
      this.total += flows.length - failures.length;
      log.info({ flows: flows.length, failed: failures.length }, 'cut flows that are no longer allowed');
    } catch (error) {
      log.error({ error: error instanceof Error ? error.message : String(error) }, 'could not cut revoked flows');
    }
  }

  private async blockAnswers(flows: readonly ConntrackFlow[]): Promise<void> {
    const keys = { 4: new Set<string>(), 6: new Set<string>() };
    for (const flow of flows) {
      const answers = answersKey(flow);
      if (answers) keys[answers.family].add(answers.key);
    }
    for (const family of [4, 6] as const) {
      if (keys[family].size === 0) continue;
      const set = sets[`revokedAnswers${family}`].name;
      const text = `add element ${tableName} ${set} { ${[...keys[family]].join(', ')} }\n`;
      const result = await this.options.nft.run(text);
      if (result.kind === 'failed') this.options.log.warn({ error: result.message }, 'could not block answers');
    }
  }
}

function filtersFor({ released, addresses, everything }: Suspicion): ConntrackFilter[] {
  const all = [...released, ...addresses];
  if (everything || all.length > fewAddresses) return [{ family: 4 }, { family: 6 }];
  return all.flatMap((address): ConntrackFilter[] => {
    const family = familyOf(address);
    const filters = [
      { family, originalSource: address },
      { family, replySource: address },
    ];
    return released.has(address) ? [...filters, { family, originalDestination: address }] : filters;
  });
}
