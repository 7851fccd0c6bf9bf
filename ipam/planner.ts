// Decides which blocks an assignment or a release changes: own blocks → a new block → borrowed addresses.
//
// The node's own blocks are kept in memory with their revisions. What is kept may be out of date: whoever carries out the
// plan compares revisions, and says forget() when somebody else was quicker.

import type { KvStore, Revision } from '../datastore/kv.ts';
import {
  affinitiesOf,
  blockKey,
  blocksOf,
  type IpamBlock,
  parseAffinity,
  parseBlock,
  partsOfAffinityKey,
  prefixOfBlockKey,
} from '../datastore/model/ipam.ts';
import { type Address, type Family, familyOf } from '../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix, prefixContains, prefixCovers, prefixOf } from '../net/prefix.ts';
import * as blocks from './block.ts';
import { isGivenUp, type KnownBlock, type Plan } from './plan.ts';
import { choosePools, type Pool } from './pools.ts';
import {
  type Refused,
  refuseBorrowing,
  refuseExhausted,
  refuseNoPool,
  refuseOutside,
  refuseTaken,
} from './refusals.ts';
import type { AssignRequest, IpamView } from './request.ts';
import { blocksOfPool } from './walk.ts';

export interface PlannerSettings {
  readonly store: KvStore;
  readonly node: string;
  readonly view: IpamView;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

type Step = { readonly kind: 'done' } | Refused;
const done: Step = { kind: 'done' };

const defaultMaxBlocks = 20;

export class Planner {
  readonly #settings: PlannerSettings;
  /** Blocks with our affinity, by prefix text; undefined until read, and again after a lost race. */
  readonly #own = new Map<Family, Map<string, KnownBlock>>();

  constructor(settings: PlannerSettings) {
    this.#settings = settings;
  }

  /** Forgets what it believes about the node's blocks: the next plan reads them. */
  forget(): void {
    this.#own.clear();
  }

  /** Fills the plan with what the request wants, all of it or a refusal. */
  async planAssignment(plan: Plan, request: AssignRequest): Promise<Step> {
    const owner: blocks.Owner = { handle: request.handle, attributes: request.attributes };
    for (const address of request.addresses ?? []) {
      const step = await this.#planAddress(plan, address, owner);
      if (step.kind === 'refused') return step;
    }
    for (const family of [4, 6] as const) {
      const given = plan.addresses.filter((address) => familyOf(address) === family).length;
      const wanted = (request.count[family] ?? 0) - given;
      if (wanted <= 0) continue;
      const choice = choosePools(this.#settings.view.pools(), {
        family,
        ...(request.pools ? { named: request.pools } : {}),
        nodeLabels: this.#settings.view.nodeLabels(),
        namespaceLabels: request.namespaceLabels ?? {},
      });
      if (choice.pools.length === 0) return refuseNoPool(family, choice.passedOver);
      const step = await this.#planFamily(plan, family, wanted, choice.pools, owner);
      if (step.kind === 'refused') return step;
    }
    return done;
  }

  /** Own blocks first, then a new one, then addresses of other nodes' blocks. */
  async #planFamily(
    plan: Plan,
    family: Family,
    count: number,
    pools: readonly Pool[],
    owner: blocks.Owner,
  ): Promise<Step> {
    const config = this.#settings.view.config();
    const own = withNewBlocks(await this.#ownBlocks(family), plan, family);
    let missing = count;
    for (const known of own.values()) {
      if (missing === 0) return done;
      const prefix = blocks.prefixOfBlock(known.block);
      if (pools.some((pool) => prefixCovers(pool.prefix, prefix)))
        missing -= this.#takeFrom(plan, prefix, known, missing, owner);
    }
    const limit = config.maxBlocksPerHost > 0 ? config.maxBlocksPerHost : defaultMaxBlocks;
    let blockCount = own.size;
    while (missing > 0 && config.auto_allocate_blocks && blockCount < limit) {
      const prefix = await this.#freeBlock(plan, family, pools);
      if (!prefix) break;
      const known = { block: this.#newBlock(prefix), revision: 0 };
      const taken = this.#takeFrom(plan, prefix, known, missing, owner);
      // A block of reserved addresses alone: count it, so that the search ends.
      blockCount++;
      missing -= taken;
    }
    if (missing > 0 && !config.strict_affinity) missing -= await this.#borrow(plan, family, pools, missing, owner);
    if (missing === 0) return done;
    return refuseExhausted(family, pools, blockCount >= limit ? limit : undefined, config.strict_affinity);
  }

  /** Allocates from one block into the plan; how many addresses that gave. */
  #takeFrom(plan: Plan, prefix: Prefix, known: KnownBlock, count: number, owner: blocks.Owner): number {
    const name = formatPrefix(prefix);
    const { now, view } = this.#settings;
    const planned = plan.changes.get(name);
    const current = blocks.endCooldown(planned?.after ?? known.block, now(), view.config().ipCooldownSeconds);
    const { block, addresses } = blocks.allocate(current, count, owner, (address) => !view.isReserved(address));
    if (addresses.length === 0 && known.revision !== 0) return 0;
    plan.changes.set(name, { prefix, before: planned?.before ?? known, after: block });
    plan.addresses.push(...addresses);
    return addresses.length;
  }

  async #planAddress(plan: Plan, address: Address, owner: blocks.Owner): Promise<Step> {
    const { view, now } = this.#settings;
    const pool = view.pools().find((candidate) => prefixContains(candidate.prefix, address) && !candidate.disabled);
    if (!pool) return refuseOutside(address);
    const prefix = prefixOf(address, pool.blockLength);
    const planned = plan.changes.get(formatPrefix(prefix));
    const known = planned?.before ?? (await this.read(prefix)) ?? { block: this.#newBlock(prefix), revision: 0 };
    if (known.block.affinity !== this.#affinity() && view.config().strict_affinity) {
      return refuseBorrowing(address, prefix, known.block.affinity);
    }
    const current = blocks.endCooldown(planned?.after ?? known.block, now(), view.config().ipCooldownSeconds);
    const after = blocks.allocateAddress(current, address, owner);
    if (!after) return refuseTaken(current, address);
    plan.changes.set(formatPrefix(prefix), { prefix, before: known, after });
    plan.addresses.push(address);
    return done;
  }

  /** A block of the pools that does not exist yet, in this node's own order of looking. */
  async #freeBlock(plan: Plan, family: Family, pools: readonly Pool[]): Promise<Prefix | undefined> {
    const { entries } = await this.#settings.store.list(blocksOf(family), { keysOnly: true });
    const taken = new Set(plan.changes.keys());
    for (const { key } of entries) {
      const prefix = prefixOfBlockKey(key);
      if (prefix) taken.add(formatPrefix(prefix));
    }
    for (const pool of pools) {
      for (const prefix of blocksOfPool(pool.prefix, pool.blockLength, this.#settings.node)) {
        if (!taken.has(formatPrefix(prefix))) return prefix;
      }
    }
    return undefined;
  }

  async #borrow(
    plan: Plan,
    family: Family,
    pools: readonly Pool[],
    count: number,
    owner: blocks.Owner,
  ): Promise<number> {
    const { entries } = await this.#settings.store.list(blocksOf(family));
    let missing = count;
    for (const entry of entries) {
      if (missing === 0) break;
      const block = parseBlock(entry.value);
      if (!block || block.affinity === this.#affinity()) continue;
      const prefix = blocks.prefixOfBlock(block);
      if (!pools.some((pool) => prefixCovers(pool.prefix, prefix))) continue;
      missing -= this.#takeFrom(plan, prefix, { block, revision: entry.modRevision }, missing, owner);
    }
    return count - missing;
  }

  async #ownBlocks(family: Family): Promise<ReadonlyMap<string, KnownBlock>> {
    const known = this.#own.get(family);
    if (known) return known;
    const { store, node } = this.#settings;
    const own = new Map<string, KnownBlock>();
    const { entries } = await store.list(affinitiesOf(node, family));
    for (const entry of entries) {
      const parts = partsOfAffinityKey(entry.key);
      if (!parts || parseAffinity(entry.value)?.state !== 'confirmed') continue;
      const block = await this.read(parts.prefix);
      if (block && block.block.affinity === this.#affinity()) own.set(formatPrefix(parts.prefix), block);
    }
    this.#own.set(family, own);
    return own;
  }

  /** The block as it is stored now. */
  async read(prefix: Prefix): Promise<KnownBlock | undefined> {
    const entry = await this.#settings.store.get(blockKey(prefix));
    const block = entry && parseBlock(entry.value);
    return entry && block ? { block, revision: entry.modRevision } : undefined;
  }

  #newBlock(prefix: Prefix): IpamBlock {
    return blocks.newBlock(prefix, this.#affinity(), this.#settings.now());
  }

  #affinity(): string {
    return `host:${this.#settings.node}`;
  }

  /** The plan has become true at this revision. */
  remember(plan: Plan, revision: Revision): void {
    for (const [name, change] of plan.changes) {
      const { prefix, after } = change;
      if (after.affinity !== this.#affinity()) continue;
      const own = this.#own.get(familyOfPrefix(prefix));
      if (isGivenUp(change)) own?.delete(name);
      else own?.set(name, { block: after, revision });
    }
  }

  /** Adds to the plan that the handle gives back its addresses of the block with this name ("10.0.0.0/26"). */
  async planRelease(plan: Plan, name: string, handle: string): Promise<void> {
    const { now, view } = this.#settings;
    const prefix = prefixOfBlockKey(blockKeyOfName(name));
    if (!prefix) return;
    const planned = plan.changes.get(name);
    const before = planned?.before ?? this.#own.get(familyOfPrefix(prefix))?.get(name) ?? (await this.read(prefix));
    if (!before) return;
    const current = planned?.after ?? before.block;
    const ordinals = blocks.ordinalsOfHandle(current, handle);
    plan.addresses.push(...blocks.addressesOf(current, ordinals));
    const after = blocks.release(current, ordinals, now(), view.config().ipCooldownSeconds);
    const orphaned = !view.pools().some((pool) => prefixCovers(pool.prefix, prefix));
    plan.changes.set(name, { prefix, before, after, orphaned });
  }
}

/** The node's blocks with those that requests before claim in the same transaction. */
function withNewBlocks(
  own: ReadonlyMap<string, KnownBlock>,
  { changes }: Plan,
  family: Family,
): ReadonlyMap<string, KnownBlock> {
  const claimed = [...changes].filter(
    ([, { prefix, before }]) => before.revision === 0 && familyOfPrefix(prefix) === family,
  );
  if (claimed.length === 0) return own;
  return new Map([...own, ...claimed.map(([name, { before }]): [string, KnownBlock] => [name, before])]);
}

const blockKeyOfName = (name: string): string => `${blocksOf(name.includes(':') ? 6 : 4)}${name.replace('/', '-')}`;
