// From the kernel's trace of a packet to decisions that name policies.
//
//   mark in our trace table     the packet is sent by the endpoint, or to it
//   forward-egress …            rules one by one, each with chain and handle; jump, goto, return
//   egress/NetworkPolicy/a/b    a rule with a verdict: the decision
//
// Pure but for the lookup of rule comments: chains' names say which policy they are, comments which rule.

import type { NftTrace, TracedPacket } from '../../linux/netlink/nftables-trace.ts';
import { formatAddress } from '../../net/address.ts';
import { tableName } from '../nft/objects.ts';
import { traceTableName } from '../nft/trace-table.ts';
import type { RenderedRule } from './policies.ts';

export interface TraceDecision {
  readonly packet: {
    readonly source: string;
    readonly destination: string;
    readonly protocol: number;
    readonly sourcePort?: number;
    readonly destinationPort?: number;
    readonly icmp?: { readonly type: number; readonly code: number };
  };
  /** Whose policy decided: the sender's (egress), the receiver's (ingress), or the node's own rules. */
  readonly direction: 'egress' | 'ingress' | 'node';
  readonly verdict: 'allow' | 'deny';
  readonly reason: TraceReason;
  /** Rules that matched before and did not decide: Log, Pass, and rules of staged policies. */
  readonly before: readonly TraceRule[];
}

export interface TraceRule {
  /** `<kind>/<namespace>/<name>`; a profile's is `profile/<name>`. */
  readonly policy: string;
  /** "ingress[3]"; "ingress[3] and 2 more" where neighbours are one lookup in the kernel. */
  readonly rule: string;
  readonly staged: boolean;
}

export type TraceReason =
  | ({ readonly kind: 'rule' } & TraceRule)
  | { readonly kind: 'tier-default'; readonly tier: string }
  | { readonly kind: 'no-profile' }
  /** A later packet of a flow whose first one policy allowed. */
  | { readonly kind: 'established' }
  /** A rule of ours that is no policy, or of somebody else's table. */
  | { readonly kind: 'other'; readonly table: string; readonly chain: string; readonly text: string };

export interface TraceSource {
  /** Every policy rule of the table. */
  readonly rules: () => Iterable<RenderedRule>;
  /** Of one chain: handle to comment. */
  readonly ruleComments: (chain: string) => ReadonlyMap<number, string>;
}

interface Journey {
  readonly sent: boolean;
  readonly received: boolean;
  readonly packet: TracedPacket | undefined;
  readonly before: readonly TraceRule[];
}

type ChainOwner = Pick<TraceRule, 'policy' | 'staged'>;

/** Packets that are under way at once; ids of older ones are forgotten. */
const maxJourneys = 10_000;

export class TraceReader {
  private readonly source: TraceSource;
  private readonly journeys = new Map<number, Journey>();
  private readonly comments = new Map<string, ReadonlyMap<number, string>>();
  private owners: ReadonlyMap<string, ChainOwner>;

  constructor(source: TraceSource) {
    this.source = source;
    this.owners = ownersOfChains(source.rules());
  }

  /** A decision when this message holds one. Packets that others trace are none of ours. */
  read(trace: NftTrace): TraceDecision | undefined {
    if (trace.table === traceTableName) {
      if (trace.type === 'rule') this.begin(trace);
      return undefined;
    }
    const known = this.journeys.get(trace.id);
    if (!known) return undefined;
    // With its headers a base chain begins, where addresses may be others: NAT is between.
    const journey = trace.packet ? { ...known, packet: trace.packet, before: [] } : known;
    if (journey !== known) this.journeys.set(trace.id, journey);
    if (trace.verdict !== 'accept' && trace.verdict !== 'drop') {
      // Without a handle it is the end of a chain.
      if (trace.ruleHandle !== undefined) this.noteUndecided(trace, journey);
      return undefined;
    }
    // What a base chain's policy lets go on, nobody has decided; what other tables accept is not for us to report.
    if (trace.verdict === 'accept' && (trace.type === 'policy' || trace.table !== tableName)) return undefined;
    return this.decision(trace, journey);
  }

  private begin(trace: NftTrace): void {
    const known = this.journeys.get(trace.id);
    const isSent = trace.chain === 'sent';
    // The hook at which a packet begins tells it from an older one with the same id.
    const sent = isSent || (known?.sent === true && trace.chain === 'received');
    this.journeys.delete(trace.id);
    this.journeys.set(trace.id, { sent, received: !isSent, packet: trace.packet ?? known?.packet, before: [] });
    const [oldest] = this.journeys.keys();
    if (this.journeys.size > maxJourneys && oldest !== undefined) this.journeys.delete(oldest);
  }

  private noteUndecided(trace: NftTrace, journey: Journey): void {
    const rule = trace.table === tableName ? this.policyRule(trace) : undefined;
    if (rule) this.journeys.set(trace.id, { ...journey, before: [...journey.before, rule] });
  }

  private decision(trace: NftTrace, journey: Journey): TraceDecision | undefined {
    const { packet, before, sent, received } = journey;
    if (!packet) return undefined;
    const direction = trace.table === tableName ? directionOf(trace.chain) : 'node';
    const reason = this.reasonOf(trace);
    if (reason.kind === 'established') {
      // Each hook says so; once, for the endpoint's own side, is enough.
      if (!(direction === 'egress' ? sent : direction === 'ingress' && received)) return undefined;
    } else if (reason.kind === 'other' && trace.verdict === 'accept' && trace.chain === 'source-check') {
      return undefined;
    }
    const { source, destination, ...rest } = packet;
    return {
      packet: { source: formatAddress(source), destination: formatAddress(destination), ...rest },
      direction,
      verdict: trace.verdict === 'accept' ? 'allow' : 'deny',
      reason,
      before,
    };
  }

  private reasonOf(trace: NftTrace): TraceReason {
    const { table, chain } = trace;
    if (table !== tableName) {
      const text = trace.type === 'policy' ? 'policy of the chain' : `rule ${trace.ruleHandle}`;
      return { kind: 'other', table, chain, text };
    }
    const rule = this.policyRule(trace);
    if (rule) return { kind: 'rule', ...rule };
    const text = this.comment(trace);
    const tier = /^end of tier (.*)$/.exec(text)?.[1];
    if (tier !== undefined) return { kind: 'tier-default', tier };
    if (text === 'no profile allows it') return { kind: 'no-profile' };
    if (text === 'flows that policy let in') return { kind: 'established' };
    return { kind: 'other', table, chain, text };
  }

  private policyRule(trace: NftTrace): TraceRule | undefined {
    if (!/^(ingress|egress)\/(?!tiers\/)/.test(trace.chain)) return undefined;
    if (!this.owners.has(trace.chain)) this.owners = ownersOfChains(this.source.rules());
    const owner = this.owners.get(trace.chain);
    return owner && { ...owner, rule: this.comment(trace) };
  }

  /** A rule that is not known is newer than what was read, or gone already. */
  private comment({ chain, ruleHandle = 0 }: NftTrace): string {
    if (!this.comments.get(chain)?.has(ruleHandle)) this.comments.set(chain, this.source.ruleComments(chain));
    return this.comments.get(chain)?.get(ruleHandle) ?? 'a rule that is gone';
  }
}

/** A rule's counter is named `<chain>/<hash>`. */
function ownersOfChains(rules: Iterable<RenderedRule>): Map<string, ChainOwner> {
  const owners = new Map<string, ChainOwner>();
  for (const { counter, owner, kind, staged } of rules) {
    const policy = kind === 'profile' ? `profile/${owner}` : owner.replace('//', '/');
    owners.set(counter.slice(0, counter.lastIndexOf('/')), { policy, staged });
  }
  return owners;
}

function directionOf(chain: string): TraceDecision['direction'] {
  if (/^(forward-|input-|to-host-)?egress/.test(chain) || chain === 'source-check') return 'egress';
  return /^(forward-|output-)?ingress/.test(chain) ? 'ingress' : 'node';
}
