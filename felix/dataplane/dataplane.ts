// The apply loop: receives the calculation's output cheaply, and brings the kernel in line with it in batches.
//
//   onUpdate ─┐                    ┌─ routes that are no longer wanted go
//   drift ────┼─► apply(), never ──┼─ one nftables transaction
//   retry ────┘   two at a time    ├─ routes that are missing come
//                                  └─ whoever waits for an endpoint is told
//
// Starting, retrying and repairing drift are that same path. Nothing of the kernel changes before the first in-sync, with
// one exception: where no table of ours exists at all, the empty one is put up at once, which drops all traffic of workloads,
// because without it there would be no policy until the datastore has answered.

import type { MonitorEvent } from '../../linux/monitor.ts';
import type { Conntrack } from '../../linux/netlink/conntrack.ts';
import type { Rtnetlink } from '../../linux/netlink/rtnetlink.ts';
import type { Address } from '../../net/address.ts';
import type { Logger } from '../../runtime/log.ts';
import type { CalcUpdate, WorkloadId } from '../calc/output.ts';
import { type KernelState, tableName } from '../nft/objects.ts';
import type { TraceTarget } from '../nft/trace-table.ts';
import { Auditor } from './auditor.ts';
import { Awaiting, type AwaitResult } from './awaiting.ts';
import type { TableChannel } from './channel.ts';
import type { EndpointChange, InterfaceChange } from './endpoints.ts';
import { FlowCutter } from './flow-cutter.ts';
import { type Hits, readHits } from './hits.ts';
import type { Surroundings } from './host-flows.ts';
import { KernelRoutes, type RouteFailure } from './kernel-routes.ts';
import type { RenderedRule, RuleOwner } from './policies.ts';
import { Revocation } from './revocation.ts';
import { Rhythm } from './rhythm.ts';
import type { DataplaneStatus } from './status.ts';
import { surroundingsOf } from './surroundings.ts';
import { DesiredTable } from './table.ts';
import { traceTargetOf } from './trace-target.ts';
import { Unenforced } from './unenforced.ts';
import { WorkloadLinks } from './workload-links.ts';

export interface DataplaneOptions {
  readonly channel: TableChannel;
  readonly netlink: Pick<Rtnetlink, 'execute' | 'links' | 'routes' | 'addresses' | 'interfaceTowards'>;
  /** Writes kernel switches; false when one does not exist. */
  readonly writeSwitches: (values: Readonly<Record<string, number>>) => boolean;
  /** Absent: established flows live on whatever policy says later. */
  readonly conntrack?: Pick<Conntrack, 'forEach' | 'delete'>;
  /** Runs a big transaction without its being reported back to us; see Monitor.withoutNftables. */
  readonly quietly?: <T>(transaction: () => Promise<T>) => Promise<T>;
  readonly log: Logger;
}

const claimEveryMs = 50;
const longestClaimMs = 5000;
/** From here on being told of each element costs more than asking whether others wrote too (some 20 µs). */
const manyElements = 100;
export class Dataplane {
  private readonly options: DataplaneOptions;
  private readonly log: Logger;
  private readonly table = new DesiredTable();
  private readonly routes: KernelRoutes;
  private readonly awaiting = new Awaiting();
  private readonly links: WorkloadLinks;
  private readonly unenforced: Unenforced;
  private readonly rhythm: Rhythm;
  private readonly revocation: Revocation | undefined;
  private readonly cutter: FlowCutter | undefined;
  private readonly auditor = new Auditor();
  private interruptAudit: (() => void) | undefined;

  /** Rendered, and not in the kernel yet: an attempt that fails must not lose them. */
  private uncommitted: EndpointChange[] = [];

  private inSync = false;
  private everApplied = false;
  /** The kernel's table may be other than we think. */
  private tableUnknown = true;
  private routesUnknown = true;
  private interfacesUnknown = true;

  private applies = 0;
  private failures = 0;
  private repairs = 0;
  private lastApplyMs = 0;
  private lastError = '';

  constructor(options: DataplaneOptions) {
    this.options = options;
    this.log = options.log;
    const { conntrack, channel, netlink, writeSwitches, log } = options;
    const isWorkloadInterface = (name: string): boolean => this.table.isWorkloadInterface(name);
    this.routes = new KernelRoutes(netlink, isWorkloadInterface);
    this.links = new WorkloadLinks({ netlink, writeSwitches, isWorkloadInterface });
    this.unenforced = new Unenforced(log);
    this.rhythm = new Rhythm({ run: () => this.apply(), mayRun: () => this.inSync });
    if (!conntrack) return;
    this.revocation = new Revocation();
    const surroundings = (): Surroundings => surroundingsOf(netlink);
    this.cutter = new FlowCutter({ conntrack, channel, revocation: this.revocation, surroundings, log });
  }

  /** Takes possession of the table, or puts up the empty one where there is none. Call before anything else. */
  async start(): Promise<void> {
    await this.claimTable();
    const found = await this.options.channel.readPart({ elementsOf: () => false, isGivenUp: () => false });
    if (found.kind === 'read' && found.state) return;
    const { ruleset } = this.table;
    const result = await this.options.channel.apply(ruleset.pending(), (name) => ruleset.declarationOf(name));
    if (result.kind === 'failed') throw new Error(`cannot create the nftables table: ${result.message}`);
    ruleset.committed();
    this.log.info('no table of ours was there: workloads are cut off until the datastore has been read');
  }

  onUpdate(update: CalcUpdate): void {
    this.table.receive(update);
    this.revocation?.receive(update);
    this.unenforced.receive(update);
    if (update.kind === 'in-sync' && !this.inSync) {
      this.inSync = true;
      this.log.info('in sync with the datastore');
    }
    this.schedule();
  }

  /** What the kernel reports; edits of others to what is ours are undone. */
  onKernelEvents(events: readonly MonitorEvent[]): void {
    for (const event of events) {
      switch (event.kind) {
        case 'nftables':
          if (!event.own && event.tables.includes(tableName)) this.noteForeignEdit(event.by);
          break;
        case 'resync':
          this.requestResync();
          break;
        case 'link':
        case 'link-removed':
          if (!this.table.isWorkloadInterface(event.link.name)) this.noteInterfaces();
          this.noteLink(event);
          break;
        case 'address':
        case 'address-removed':
          this.noteInterfaces();
          break;
        default:
          if (this.routes.onEvent(event)) this.schedule();
      }
    }
  }

  /** Compares with the kernel what should not have changed, when there is time; of many sets some each time. */
  requestAudit(): void {
    this.auditor.request();
    this.routesUnknown = true;
    this.interfacesUnknown = true;
    this.schedule();
  }

  /** Compares everything with the kernel on the next apply. */
  requestResync(): void {
    this.tableUnknown = true;
    this.routesUnknown = true;
    this.interfacesUnknown = true;
    this.schedule();
  }

  /** Resolves when the endpoint, as written at this revision of the datastore or later, is in the kernel. */
  awaitEndpoint(id: WorkloadId, revision: number, timeoutMs: number): Promise<AwaitResult> {
    return this.awaiting.wait(id, revision, timeoutMs, () => this.explain(id, revision));
  }

  status(): DataplaneStatus {
    const reason = !this.inSync
      ? 'waiting for the datastore'
      : !this.everApplied
        ? 'the first picture is not in the kernel yet'
        : this.lastError;
    return {
      ready: reason === '',
      reason,
      inSync: this.inSync,
      backend: this.options.channel.name,
      tableOwned: this.options.channel.isOwned,
      ...this.table.counts(),
      endpointsProgrammed: this.awaiting.size,
      routes: this.routes.size,
      applies: this.applies,
      lastApplyMs: this.lastApplyMs,
      failures: this.failures,
      repairs: this.repairs,
      flowsCut: this.cutter?.flowsCut ?? 0,
      quarantined: this.table.quarantined(),
      notEnforced: this.unenforced.all(),
      lastError: this.lastError,
    };
  }

  endpoints(): { id: WorkloadId; interfaceName: string; revision: number; programmed: boolean }[] {
    return [...this.table.workloads()].map(({ id, interfaceName, revision }) => ({
      id,
      interfaceName,
      revision,
      programmed: this.awaiting.isProgrammed(id, revision),
    }));
  }

  /** An agent that is being replaced may take a moment to end. */
  private async claimTable(): Promise<void> {
    const deadline = performance.now() + longestClaimMs;
    for (;;) {
      const claim = this.options.channel.claim();
      if (claim.kind === 'open') this.log.info({ reason: claim.reason }, 'others may edit the table; it is repaired');
      if (claim.kind !== 'taken') return;
      if (performance.now() > deadline) throw new Error(claim.message);
      await new Promise((resolve) => setTimeout(resolve, claimEveryMs));
    }
  }

  /** Resolves when nothing that was received is waiting to be applied, or the last attempt failed. */
  settled(): Promise<void> {
    return this.rhythm.settled();
  }

  /** Rule counters of this node. */
  hits(): Hits {
    return readHits(this.options.channel, this.table);
  }

  /** Every policy rule in the table. */
  rules(): Iterable<RenderedRule> {
    return this.table.rules();
  }

  /** What to follow of the endpoint with this id, of the pod `<namespace>/<pod>`, or of `hostendpoint:<name>`. */
  traceTarget(name: string): TraceTarget | undefined {
    return traceTargetOf(this.table, name);
  }

  /** Stops; the kernel keeps what it has. */
  async close(): Promise<void> {
    const closed = this.rhythm.close();
    this.interruptAudit?.();
    this.awaiting.close();
    await closed;
    await this.cutter?.close();
  }

  private schedule(): void {
    this.rhythm.request();
    this.interruptAudit?.();
  }

  private async apply(): Promise<number> {
    const started = performance.now();
    try {
      const failures = await this.applyOnce();
      this.applies++;
      this.everApplied = true;
      this.rhythm.succeeded();
      this.lastError = '';
      if (failures.length > 0) this.noteRouteFailures(failures);
    } catch (error) {
      this.noteFailure(error);
    }
    this.lastApplyMs = performance.now() - started;
    await this.audit();
    return this.lastApplyMs;
  }

  private async applyOnce(): Promise<RouteFailure[]> {
    if (this.tableUnknown) await this.readTable();
    if (this.routesUnknown) {
      const links = this.options.netlink.links();
      this.routes.resync(links);
      this.links.resync(links);
      // Only now: a read that failed is tried again.
      this.routesUnknown = false;
    }
    if (this.interfacesUnknown && this.table.needsInterfaces) this.readInterfaces();
    const { endpoints, interfaces } = this.table.render();
    this.revocation?.rendered();
    this.uncommitted.push(...endpoints);
    this.renderRoutes(interfaces);
    this.noteTakenInterfaces(interfaces);
    for (const { before, after } of endpoints) if (before && !after) this.awaiting.forget(before.id);
    this.links.putIntoGroup();
    const failures = this.routes.removeStale();
    await this.commitTable();
    this.revocation?.committed();
    const changes = this.uncommitted;
    this.uncommitted = [];
    for (const { after } of changes) {
      if (after && this.table.workload(after.id)) this.awaiting.applied(after.id, after.revision);
    }
    this.writeSwitches();
    failures.push(...this.routes.addMissing());
    await this.cutter?.afterApply(newAddresses(changes));
    this.awaiting.check((id) => this.explain(id, 0) === undefined);
    return failures;
  }

  private readInterfaces(): void {
    const { interfaces } = surroundingsOf(this.options.netlink);
    this.table.setInterfaces(interfaces);
    this.revocation?.setInterfaces(interfaces);
    this.interfacesUnknown = false;
  }

  /** Not during render(): what it changes and what is read here must not mix. */
  private async readTable(): Promise<void> {
    // Before: an edit that comes while we read makes it unknown again.
    this.tableUnknown = false;
    try {
      await this.rebase(await this.options.channel.read());
    } catch (error) {
      this.tableUnknown = true;
      throw error;
    }
    if (this.everApplied) this.noteDrift();
  }

  /** Nothing changes the ruleset meanwhile: only applies do, and they never overlap. */
  private async rebase(kernel: KernelState | undefined): Promise<void> {
    for (const _ of this.table.ruleset.rebasing(kernel)) await new Promise(setImmediate);
  }

  private noteDrift(): void {
    if (!this.table.ruleset.isPending) return;
    this.repairs++;
    this.log.warn('the table in the kernel was not as we left it; putting it right');
  }

  /** Compares, when nothing else is to be done; what differs is put right by the next apply. */
  private async audit(): Promise<void> {
    const { ruleset } = this.table;
    if (!this.auditor.isWanted || this.tableUnknown || ruleset.isPending || this.rhythm.isClosed) return;
    let interrupted = false;
    const isMoreUrgent = (): boolean =>
      interrupted || this.rhythm.isClosed || this.tableUnknown || (this.rhythm.isWanted && !this.auditor.isOverdue);
    // An edit does not even wait for the dump that is going on: the reading ends by itself, and is thrown away.
    const interruption = new Promise<undefined>((resolve) => {
      this.interruptAudit = () => {
        interrupted ||= isMoreUrgent();
        if (interrupted) resolve(undefined);
      };
    });
    try {
      const state = await Promise.race([this.auditor.read(this.options.channel, ruleset, isMoreUrgent), interruption]);
      if (!state) return;
      await this.rebase(state.table);
      this.noteDrift();
      if (ruleset.isPending) this.schedule();
    } catch (error) {
      this.log.warn(
        { reason: error instanceof Error ? error.message : String(error) },
        'the table can not be compared',
      );
    } finally {
      this.interruptAudit = undefined;
    }
  }

  private async commitTable(): Promise<void> {
    const { ruleset } = this.table;
    if (!ruleset.isPending) return;
    const transaction = ruleset.pending();
    const run = () => this.options.channel.apply(transaction, (name) => ruleset.declarationOf(name));
    const { quietly } = this.options;
    const result = await (quietly && transaction.elementCount >= manyElements ? quietly(run) : run());
    if (result.kind === 'failed') {
      // Our picture of the kernel may be the reason: read it before the next attempt.
      this.tableUnknown = true;
      const culprit = result.stale || !result.object ? undefined : this.table.quarantineOwnerOf(result.object);
      if (culprit) throw new Quarantined(culprit, result.message);
      throw new Error(`nftables refused the transaction: ${result.message}`);
    }
    ruleset.committed();
  }

  /** An endpoint that another one takes the interface from is no longer in the kernel. */
  private noteTakenInterfaces(changes: readonly InterfaceChange[]): void {
    for (const { before, after } of changes) {
      if (!before || !after || before.id === after.id) continue;
      const { interfaceName } = after;
      this.log.warn({ interfaceName, from: before.id, to: after.id }, 'an interface goes to another endpoint');
      this.awaiting.reopen(before.id);
    }
  }

  private renderRoutes(changes: readonly InterfaceChange[]): void {
    for (const { before } of changes) {
      for (const prefix of before?.addresses ?? []) this.routes.delete(prefix, before?.interfaceName ?? '');
    }
    for (const { after } of changes) {
      for (const prefix of after?.addresses ?? []) this.routes.set(prefix, after?.interfaceName ?? '');
    }
  }

  private writeSwitches(): void {
    this.links.writeHostSwitches();
    for (const id of this.awaiting.incomplete()) {
      const name = this.table.workload(id)?.interfaceName;
      if (name !== undefined && this.routes.hasInterface(name)) this.links.writeSwitchesOf(name);
    }
  }

  private noteInterfaces(): void {
    this.interfacesUnknown = true;
    if (this.table.needsInterfaces) this.schedule();
  }

  private noteLink(event: Extract<MonitorEvent, { kind: 'link' | 'link-removed' }>): void {
    const { name, index } = event.link;
    const former = this.routes.nameOf(index);
    const touched = this.routes.onEvent(event);
    const isGone = event.kind === 'link-removed';
    if (isGone) this.links.onLinkGone(name);
    else {
      if (former !== undefined && former !== name) this.noteRenamed(former, name);
      if (this.links.onLink(event.link)) this.schedule();
    }
    if (touched || isGone) this.reopen(name);
  }

  /** Its group keeps it what it was for the rules: a link of a workload, and under this name an unknown one. */
  private noteRenamed(from: string, to: string): void {
    this.links.onLinkGone(from);
    const workload = this.table.workloadOn(from);
    if (!workload) return;
    this.log.warn({ endpoint: workload.id, from, to }, 'an interface was renamed: its workload is cut off');
    this.reopen(from);
  }

  /** What was made for the endpoint of this interface may not be so any more. */
  private reopen(interfaceName: string): void {
    const workload = this.table.workloadOn(interfaceName);
    if (!workload) return;
    this.awaiting.reopen(workload.id);
    this.schedule();
  }

  /** Why the endpoint is not programmed; undefined when it is. */
  private explain(id: WorkloadId, revision: number): string | undefined {
    const workload = this.table.workload(id);
    if (!this.inSync) return 'felix has not read the datastore yet';
    if (!workload) return 'felix knows no such endpoint of this node';
    if (workload.revision < revision) return `felix has it at revision ${workload.revision}`;
    const { interfaceName, addresses } = workload;
    const holder = this.table.workloadOn(interfaceName);
    if (holder && holder.id !== id)
      return `interface ${interfaceName} belongs to ${holder.id}, which was written later`;
    if (!this.routes.hasInterface(interfaceName)) return `interface ${interfaceName} is not there, or is down`;
    const missing = addresses.filter((prefix) => !this.routes.isProgrammed(prefix, interfaceName));
    if (missing.length > 0) return `a route to ${interfaceName} could not be made`;
    return this.lastError === '' ? undefined : this.lastError;
  }

  private noteForeignEdit(by: string): void {
    this.log.warn({ by }, 'somebody edited our table');
    this.tableUnknown = true;
    this.schedule();
  }

  private noteRouteFailures(failures: readonly RouteFailure[]): void {
    for (const { prefix, interfaceName, error } of failures) {
      this.log.error({ prefix, interfaceName, error: error.message }, 'route not programmed');
    }
    this.failures += failures.length;
    this.lastError = `${failures.length} routes could not be programmed`;
    this.rhythm.retryLater();
  }

  private noteFailure(error: unknown): void {
    this.failures++;
    if (error instanceof Quarantined) {
      const { owner, message } = error;
      this.log.error(
        { [owner.kind]: owner.id, error: message },
        'the kernel refuses its rules: closed until it changes',
      );
      // The others do not wait for it.
      this.rhythm.retryAtOnce();
      return;
    }
    this.lastError = error instanceof Error ? error.message : String(error);
    this.log.error({ error: this.lastError, retryMs: this.rhythm.retryDelayMs }, 'apply failed');
    this.rhythm.retryLater();
  }
}

/** The rules of one policy or profile were refused; without them the transaction may succeed. */
class Quarantined extends Error {
  readonly owner: RuleOwner;

  constructor(owner: RuleOwner, message: string) {
    super(message);
    this.owner = owner;
  }
}

/** Addresses that an endpoint has and, before, had not. */
function* newAddresses(changes: readonly EndpointChange[]): Iterable<Address> {
  for (const { before, after } of changes) {
    const known = new Set(before?.addresses.map((prefix) => prefix.address));
    for (const { address } of after?.addresses ?? []) if (!known.has(address)) yield address;
  }
}
