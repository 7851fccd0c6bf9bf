// Gives addresses to owners and takes them back.
//
//   assign ── choose pools ── plan: own blocks → a new block → borrowed ── one transaction: blocks, affinities, handle,
//      ▲                                                                   and whatever the caller wants beside them
//      └────────── the transaction failed: somebody was quicker; forget what we believed and plan again ──┘
//
// The node's own blocks are kept in memory with their revisions, so that the usual assignment costs one transaction and no
// reading. What is kept may be out of date: the transaction compares revisions, so a stale belief costs a round, never an
// address given twice. Requests of one process are served one after the other; between processes and nodes, etcd decides.

import { type Compare, KvError, type KvStore, type Operation, type Revision } from '../datastore/kv.ts';
import {
  affinitiesOf,
  affinityKey,
  blockKey,
  blocksOf,
  encodeBlock,
  handleKey,
  type IpamBlock,
  type IpamConfig,
  parseAffinity,
  parseBlock,
  parseHandle,
  partsOfAffinityKey,
  prefixOfBlockKey,
} from '../datastore/model/ipam.ts';
import { type Address, type Family, familyOf, formatAddress } from '../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix, prefixContains, prefixCovers, prefixOf } from '../net/prefix.ts';
import * as blocks from './block.ts';
import { choosePools, type Labels, type Pool } from './pools.ts';
import { blocksOfPool } from './walk.ts';

/** What the allocator must know of the cluster; the agent feeds it from a syncer, a command reads it once. */
export interface IpamView {
  pools(): readonly Pool[];
  config(): IpamConfig;
  nodeLabels(): Labels;
  /** Inside an IPReservation: never given automatically. */
  isReserved(address: Address): boolean;
}

export interface AllocatorSettings {
  readonly store: KvStore;
  readonly node: string;
  readonly view: IpamView;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface AssignRequest {
  /** Owner's id: `<network>.<container id>` for a pod. */
  readonly handle: string;
  /** How many of each family; with `addresses`, those count first. */
  readonly count: Readonly<Partial<Record<Family, number>>>;
  /** These very addresses. */
  readonly addresses?: readonly Address[];
  /** Names or prefixes of the pools to use. */
  readonly pools?: readonly string[];
  readonly namespaceLabels?: Labels;
  readonly attributes: Readonly<Record<string, string>>;
  /** What else is to be written in the same transaction, once the addresses are known. */
  readonly also?: (addresses: readonly Address[]) => {
    readonly compare: readonly Compare[];
    readonly then: readonly Operation[];
  };
}

export type AssignRefusal = 'no-pool' | 'exhausted' | 'address-taken' | 'address-outside-pools' | 'conflict';

export type AssignResult =
  | { readonly kind: 'assigned'; readonly addresses: readonly Address[]; readonly revision: Revision }
  | { readonly kind: 'refused'; readonly reason: AssignRefusal; readonly message: string };

export interface ReleaseResult {
  readonly released: readonly Address[];
  readonly revision: Revision | undefined;
}

/** Rounds after which a busy datastore counts as an answer: each one lost means that somebody else won one. */
const maxRounds = 50;
const defaultMaxBlocks = 20;

interface KnownBlock {
  readonly block: IpamBlock;
  /** 0: it does not exist yet. */
  readonly revision: Revision;
}

/** What one transaction will change. */
interface Plan {
  readonly changes: Map<string, { readonly prefix: Prefix; readonly before: KnownBlock; after: IpamBlock }>;
  readonly addresses: Address[];
}

type Step =
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly reason: AssignRefusal; readonly message: string };
const done: Step = { kind: 'done' };

export class Allocator {
  readonly #settings: AllocatorSettings;
  /** Blocks with our affinity, by prefix text; undefined until read, and again after a lost race. */
  readonly #own = new Map<Family, Map<string, KnownBlock>>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(settings: AllocatorSettings) {
    this.#settings = settings;
  }

  /**
   * Assigns all that the request wants, or nothing. One transaction in the usual case.
   * Rejects with KvError when the datastore does not answer; then nothing is assigned, or releaseByHandle() frees it.
   */
  assign(request: AssignRequest): Promise<AssignResult> {
    return this.#inTurn(() => this.#assign(request));
  }

  /** Why assign() would refuse now; undefined when it would not. Writes nothing. */
  refusal(request: AssignRequest): Promise<string | undefined> {
    return this.#inTurn(async () => {
      const step = await this.#plan({ changes: new Map(), addresses: [] }, request);
      return step.kind === 'refused' ? step.message : undefined;
    });
  }

  /** Frees everything the handle has, with the operations of `also` in the same transaction. Idempotent. */
  releaseByHandle(handle: string, also: readonly Operation[] = []): Promise<ReleaseResult> {
    return this.#inTurn(() => this.#release(handle, also));
  }

  /** Forgets what it believes about the node's blocks: the next request reads them. */
  forget(): void {
    this.#own.clear();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #assign(request: AssignRequest): Promise<AssignResult> {
    let handleEntry: { readonly value: string; readonly modRevision: Revision } | undefined;
    for (let round = 0; round < maxRounds; round++) {
      const plan: Plan = { changes: new Map(), addresses: [] };
      const step = await this.#plan(plan, request);
      if (step.kind === 'refused') return step;
      const extra = request.also?.(plan.addresses) ?? { compare: [], then: [] };
      const handleRevision = handleEntry?.modRevision ?? 0;
      const compare: Compare[] = [
        ...extra.compare,
        { key: handleKey(request.handle), target: 'modRevision', is: handleRevision },
        ...[...plan.changes.values()].map(comparesBlock),
      ];
      const then = [...this.#writes(plan), this.#handleWrite(request.handle, handleEntry?.value, plan), ...extra.then];
      try {
        const result = await this.#settings.store.transact({
          compare,
          then,
          otherwise: [
            { kind: 'get', key: handleKey(request.handle) },
            ...extra.compare.map(({ key }): Operation => ({ kind: 'get', key })),
          ],
        });
        if (result.succeeded) {
          this.#remember(plan, result.revision);
          return { kind: 'assigned', addresses: plan.addresses, revision: result.revision };
        }
        handleEntry = result.entries[0];
        const lost = failedCompare(extra.compare, result.entries.slice(1));
        if (lost)
          return { kind: 'refused', reason: 'conflict', message: `${lost} was changed by somebody else meanwhile` };
      } catch (error) {
        this.forget();
        if (!(error instanceof KvError) || error.code !== 'unknown-outcome') throw error;
        const revision = await this.#confirm(request.handle, plan);
        if (revision !== undefined) return { kind: 'assigned', addresses: plan.addresses, revision };
        handleEntry = await this.#settings.store.get(handleKey(request.handle));
      }
      this.forget();
    }
    return {
      kind: 'refused',
      reason: 'conflict',
      message: `other nodes won all of ${maxRounds} attempts to write; the datastore is very busy, try again`,
    };
  }

  /** After a write of unknown outcome: its revision when it did happen. */
  async #confirm(handle: string, plan: Plan): Promise<Revision | undefined> {
    const entry = await this.#settings.store.get(handleKey(handle));
    if (!entry) return undefined;
    for (const { prefix } of plan.changes.values()) {
      const known = await this.#read(prefix);
      if (!known || known.revision !== entry.modRevision) return undefined;
    }
    return entry.modRevision;
  }

  async #plan(plan: Plan, request: AssignRequest): Promise<Step> {
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
    const own = await this.#ownBlocks(family);
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
    if (!pool) {
      return {
        kind: 'refused',
        reason: 'address-outside-pools',
        message: `${formatAddress(address)} is in no enabled IP pool`,
      };
    }
    const prefix = prefixOf(address, pool.blockLength);
    const planned = plan.changes.get(formatPrefix(prefix));
    const known = planned?.before ?? (await this.#read(prefix)) ?? { block: this.#newBlock(prefix), revision: 0 };
    if (known.block.affinity !== this.#affinity() && view.config().strict_affinity) {
      const holder = known.block.affinity ?? 'nobody';
      const message = `${formatAddress(address)} is of block ${formatPrefix(prefix)}, which belongs to ${holder}, and strict affinity forbids borrowing`;
      return { kind: 'refused', reason: 'address-taken', message };
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
      const block = await this.#read(parts.prefix);
      if (block && block.block.affinity === this.#affinity()) own.set(formatPrefix(parts.prefix), block);
    }
    this.#own.set(family, own);
    return own;
  }

  async #read(prefix: Prefix): Promise<KnownBlock | undefined> {
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

  /** Blocks, and for the new ones their affinity: confirmed at once, for both are one transaction. */
  #writes(plan: Plan): Operation[] {
    return [...plan.changes.values()].flatMap(({ prefix, before, after }): Operation[] => {
      const block: Operation = { kind: 'put', key: blockKey(prefix), value: encodeBlock(after) };
      if (before.revision !== 0) return [block];
      const value = JSON.stringify({ state: 'confirmed', deleted: false });
      return [block, { kind: 'put', key: affinityKey(this.#settings.node, prefix), value }];
    });
  }

  #handleWrite(handle: string, current: string | undefined, plan: Plan): Operation {
    const counts: Record<string, number> = { ...(current === undefined ? {} : parseHandle(current)?.block) };
    for (const address of plan.addresses) {
      for (const [name, { prefix }] of plan.changes) {
        if (prefixContains(prefix, address)) counts[name] = (counts[name] ?? 0) + 1;
      }
    }
    return { kind: 'put', key: handleKey(handle), value: JSON.stringify({ block: counts, deleted: false }) };
  }

  #remember(plan: Plan, revision: Revision): void {
    for (const [name, { prefix, after }] of plan.changes) {
      if (after.affinity !== this.#affinity()) continue;
      this.#own.get(familyOfPrefix(prefix))?.set(name, { block: after, revision });
    }
  }

  async #release(handle: string, also: readonly Operation[]): Promise<ReleaseResult> {
    const { store, now, view } = this.#settings;
    for (let round = 0; round < maxRounds; round++) {
      const entry = await store.get(handleKey(handle));
      const plan: Plan = { changes: new Map(), addresses: [] };
      const compare: Compare[] = [{ key: handleKey(handle), target: 'modRevision', is: entry?.modRevision ?? 0 }];
      const then: Operation[] = [...also];
      if (entry) then.push({ kind: 'delete', key: handleKey(handle) });
      for (const name of Object.keys(entry ? (parseHandle(entry.value)?.block ?? {}) : {})) {
        await this.#planRelease(plan, name, handle, now(), view.config().ipCooldownSeconds);
      }
      for (const change of plan.changes.values()) {
        compare.push(comparesBlock(change));
        then.push(releaseWrite(change.prefix, change.after));
      }
      if (then.length === 0) return { released: [], revision: undefined };
      const result = await store.transact({ compare, then });
      if (result.succeeded) {
        this.#remember(plan, result.revision);
        return { released: plan.addresses, revision: result.revision };
      }
      this.forget();
    }
    throw new KvError('unavailable', `other nodes won all of ${maxRounds} attempts to release ${handle}; try again`);
  }

  async #planRelease(plan: Plan, name: string, handle: string, nowMs: number, cooldownSec: number): Promise<void> {
    const prefix = prefixOfBlockKey(blockKeyOfName(name));
    const before = prefix && (this.#own.get(familyOfPrefix(prefix))?.get(name) ?? (await this.#read(prefix)));
    if (!prefix || !before) return;
    const ordinals = blocks.ordinalsOfHandle(before.block, handle);
    plan.addresses.push(...blocks.addressesOf(before.block, ordinals));
    plan.changes.set(name, { prefix, before, after: blocks.release(before.block, ordinals, nowMs, cooldownSec) });
  }
}

const blockKeyOfName = (name: string): string => `${blocksOf(name.includes(':') ? 6 : 4)}${name.replace('/', '-')}`;

const comparesBlock = ({ prefix, before }: { readonly prefix: Prefix; readonly before: KnownBlock }): Compare => ({
  key: blockKey(prefix),
  target: 'modRevision',
  is: before.revision,
});

/** A block that is nobody's and empty has no reason to exist. */
const releaseWrite = (prefix: Prefix, block: IpamBlock): Operation =>
  block.affinity === null && blocks.isEmpty(block)
    ? { kind: 'delete', key: blockKey(prefix) }
    : { kind: 'put', key: blockKey(prefix), value: encodeBlock(block) };

/** The key of the caller's first compare that does not hold, going by the entries read in the same transaction. */
function failedCompare(
  compares: readonly Compare[],
  entries: readonly (
    | {
        readonly modRevision: Revision;
        readonly createRevision: Revision;
        readonly version: number;
        readonly value: string;
      }
    | undefined
  )[],
): string | undefined {
  return compares.find((compare, i) => {
    const entry = entries[i];
    return compare.target === 'value' ? entry?.value !== compare.is : (entry?.[compare.target] ?? 0) !== compare.is;
  })?.key;
}

function refuseNoPool(family: Family, passedOver: readonly string[]): AssignResult & Step {
  const reasons = passedOver.length > 0 ? `: ${passedOver.join('; ')}` : ': there is none; create an IPPool';
  return { kind: 'refused', reason: 'no-pool', message: `no IPv${family} pool can serve this pod${reasons}` };
}

function refuseExhausted(
  family: Family,
  pools: readonly Pool[],
  limit: number | undefined,
  strict: boolean,
): AssignResult & Step {
  const names = pools.map((pool) => `${pool.name} (${formatPrefix(pool.prefix)})`).join(', ');
  const why =
    limit === undefined
      ? `all addresses of ${names} are in use or reserved`
      : `this node has its ${limit} blocks (maxBlocksPerHost) and they are full`;
  const hint = strict ? '; strict affinity forbids borrowing from other nodes’ blocks' : '';
  return { kind: 'refused', reason: 'exhausted', message: `no free IPv${family} address: ${why}${hint}` };
}

function refuseTaken(block: IpamBlock, address: Address): AssignResult & Step {
  const owner = blocks.ownerOf(block, address);
  const who =
    owner === undefined ? 'it was released a moment ago and cools down' : `${owner.handle_id ?? 'somebody'} has it`;
  return { kind: 'refused', reason: 'address-taken', message: `${formatAddress(address)} is not free: ${who}` };
}
