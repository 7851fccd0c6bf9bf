// The desired table: what the managers make of the calculation's output.
//
//   CalcUpdate ──receive──► managers (mark dirty) ──render──► Ruleset
//
// Pure: knows no kernel. render() works off what is dirty, in dependency order.

import type { CalcUpdate, CalcWorkload, WorkloadId } from '../calc/output.ts';
import { Ruleset } from '../nft/ruleset.ts';
import { type RulesConfig, rulesConfig } from '../rules/config.ts';
import { dropCounters, sets, staticChains } from '../rules/static.ts';
import { type EndpointChanges, Endpoints } from './endpoints.ts';
import { HostEndpoints, type Interfaces } from './host-endpoints.ts';
import { IpSets } from './ip-sets.ts';
import { NatOutgoing } from './nat.ts';
import { Policies, type RenderedRule, type RuleOwner } from './policies.ts';
import { SharedChains } from './shared-chains.ts';

export class DesiredTable {
  readonly ruleset = new Ruleset();
  private readonly ipSets = new IpSets(this.ruleset);
  private readonly policies = new Policies(this.ruleset, (id) => this.ipSets.parts(id));
  private readonly shared = new SharedChains(this.ruleset);
  private readonly endpoints = new Endpoints(this.ruleset, this.policies, this.shared);
  private readonly hostEndpoints = new HostEndpoints(this.ruleset, this.policies, this.shared);
  private readonly nat = new NatOutgoing(this.ruleset);
  private config: RulesConfig = rulesConfig();
  private configChanged = false;

  /** Starts as the empty picture: every workload interface is unknown, and so dropped. */
  constructor() {
    for (const declaration of Object.values(sets)) this.ruleset.addSet(declaration);
    for (const counter of Object.values(dropCounters)) this.ruleset.addCounter(counter);
    this.renderStatic();
  }

  /** Cheap: only notes what is to be rendered. */
  receive(update: CalcUpdate): void {
    switch (update.kind) {
      case 'ip-set':
      case 'ip-set-delta':
      case 'ip-set-removed':
        this.ipSets.receive(update);
        break;
      case 'policy':
        this.policies.receive({ kind: 'policy', id: update.policy.id }, update.policy);
        break;
      case 'policy-removed':
        this.policies.receive({ kind: 'policy', id: update.id }, undefined);
        break;
      case 'profile':
        this.policies.receive({ kind: 'profile', id: update.profile.name }, update.profile);
        break;
      case 'profile-removed':
        this.policies.receive({ kind: 'profile', id: update.name }, undefined);
        break;
      case 'workload':
        this.endpoints.receive(update.workload.id, update.workload);
        break;
      case 'workload-removed':
        this.endpoints.receive(update.id, undefined);
        break;
      case 'host-endpoint':
        this.hostEndpoints.put(update.hostEndpoint);
        break;
      case 'host-endpoint-removed':
        this.hostEndpoints.delete(update.id);
        break;
      case 'pool':
        this.nat.putPool(update.pool);
        break;
      case 'pool-removed':
        this.nat.deletePool(update.prefix);
        break;
      case 'host':
        this.nat.putHost(update.host);
        break;
      case 'host-removed':
        this.nat.deleteHost(update.node);
        break;
      case 'config':
        this.receiveConfig(update.parameters);
        break;
      case 'in-sync':
        break;
    }
  }

  /** Brings the ruleset up to date; returns what became of endpoints and interfaces. */
  render(): EndpointChanges {
    const changedSets = this.ipSets.render();
    let reshaped = this.policies.render(changedSets, this.config);
    const { configChanged } = this;
    if (configChanged) {
      this.configChanged = false;
      this.renderStatic();
      reshaped = new Set([...reshaped, ...this.policies.renderAll(this.config)]);
      this.endpoints.renderAll(this.config);
    }
    this.nat.render();
    this.hostEndpoints.render(configChanged || reshaped.size > 0, this.config);
    return this.endpoints.render(reshaped, this.config);
  }

  /** Host endpoints may be given by an interface's address. */
  get needsInterfaces(): boolean {
    return this.hostEndpoints.size > 0;
  }

  setInterfaces(interfaces: Interfaces): void {
    this.hostEndpoints.setInterfaces(interfaces);
  }

  /** The first of its interfaces; undefined: it has none of its own. */
  interfaceOfHostEndpoint(id: string): string | undefined {
    return this.hostEndpoints.interfaceOf(id);
  }

  isWorkloadInterface(name: string): boolean {
    return this.config.interfacePrefixes.some((prefix) => name.startsWith(prefix));
  }

  workload(id: WorkloadId): CalcWorkload | undefined {
    return this.endpoints.workload(id);
  }

  /** The endpoint whose interface this is. */
  workloadOn(interfaceName: string): CalcWorkload | undefined {
    return this.endpoints.workloadOn(interfaceName);
  }

  workloads(): Iterable<CalcWorkload> {
    return this.endpoints.workloads();
  }

  /** Every policy rule in the table, and its counter. */
  rules(): Iterable<RenderedRule> {
    return this.policies.rules();
  }

  /** Closes what this chain or map belongs to, see `Policies`. */
  quarantineOwnerOf(object: string): RuleOwner | undefined {
    return this.policies.quarantineOwnerOf(object);
  }

  quarantined(): string[] {
    return this.policies.quarantined();
  }

  counts(): {
    readonly endpoints: number;
    readonly hostEndpoints: number;
    readonly policies: number;
    readonly ipSets: number;
  } {
    return {
      endpoints: this.endpoints.size,
      hostEndpoints: this.hostEndpoints.size,
      policies: this.policies.size,
      ipSets: this.ipSets.size,
    };
  }

  private receiveConfig(parameters: Readonly<Record<string, string>>): void {
    const config = rulesConfig(parameters);
    this.nat.setExcludeHosts(parameters['NATOutgoingExclusions'] === 'IPPoolsAndHostIPs');
    if (JSON.stringify(config) === JSON.stringify(this.config)) return;
    this.config = config;
    this.configChanged = true;
  }

  private renderStatic(): void {
    for (const chain of staticChains(this.config)) this.ruleset.setChain(chain);
  }
}
