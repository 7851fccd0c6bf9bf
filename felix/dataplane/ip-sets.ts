// IP sets as kernel sets: single addresses in hash sets, prefixes in interval sets, named ports as address . protocol .
// port; each for the two families. A kernel set exists while there is a member of its kind.

import { familyOf, formatAddress, widthOf } from '../../net/address.ts';
import { familyOfPrefix, formatPrefix, type Prefix } from '../../net/prefix.ts';
import type { CalcUpdate, IpSetId, IpSetMember } from '../calc/output.ts';
import { addressRangeKey, concat, type KeyType } from '../nft/objects.ts';
import type { Ruleset } from '../nft/ruleset.ts';
import { ipSetName, type SetPart } from '../rules/names.ts';
import { mergePrefixes } from '../rules/ranges.ts';

const partKeys: Readonly<Record<SetPart, readonly KeyType[]>> = {
  hosts4: ['ipv4_addr'],
  hosts6: ['ipv6_addr'],
  prefixes4: ['ipv4_addr'],
  prefixes6: ['ipv6_addr'],
  ports4: ['ipv4_addr', 'inet_proto', 'inet_service'],
  ports6: ['ipv6_addr', 'inet_proto', 'inet_service'],
};

type IpSetUpdate = Extract<CalcUpdate, { kind: 'ip-set' | 'ip-set-delta' | 'ip-set-removed' }>;

interface IpSetState {
  readonly parts: Set<SetPart>;
  /** Members that are networks, by their text; kept because the kernel's intervals are merged from all of them. */
  readonly prefixes: Map<string, Prefix>;
}

const noParts: ReadonlySet<SetPart> = new Set();

export class IpSets {
  private readonly ruleset: Ruleset;
  private readonly states = new Map<IpSetId, IpSetState>();
  private readonly received: IpSetUpdate[] = [];

  constructor(ruleset: Ruleset) {
    this.ruleset = ruleset;
  }

  receive(update: IpSetUpdate): void {
    this.received.push(update);
  }

  parts(id: IpSetId): ReadonlySet<SetPart> {
    return this.states.get(id)?.parts ?? noParts;
  }

  get size(): number {
    return this.states.size;
  }

  /** Works off what was received; returns the IP sets whose parts changed: rules that use them look different now. */
  render(): Set<IpSetId> {
    const changed = new Set<IpSetId>();
    for (const update of this.received.splice(0)) this.renderUpdate(update, changed);
    return changed;
  }

  private renderUpdate(update: IpSetUpdate, changed: Set<IpSetId>): void {
    switch (update.kind) {
      case 'ip-set':
        this.replace(update.id, update.members, changed);
        return;
      case 'ip-set-delta':
        this.change(update.id, update.added, update.removed, changed);
        return;
      case 'ip-set-removed': {
        for (const part of this.parts(update.id)) this.ruleset.deleteSet(ipSetName(update.id, part));
        this.states.delete(update.id);
        changed.add(update.id);
        return;
      }
    }
  }

  private replace(id: IpSetId, members: readonly IpSetMember[], changed: Set<IpSetId>): void {
    const old = this.states.get(id);
    if (old) {
      // Empty what is there, keeping the sets: members that stay cancel out before anything reaches the kernel.
      for (const part of old.parts) this.ruleset.setElements(ipSetName(id, part), new Map());
      old.prefixes.clear();
    } else this.states.set(id, { parts: new Set(), prefixes: new Map() });
    this.change(id, members, [], changed);
  }

  private change(
    id: IpSetId,
    added: readonly IpSetMember[],
    removed: readonly IpSetMember[],
    changed: Set<IpSetId>,
  ): void {
    const state = this.states.get(id);
    if (!state) throw new Error(`members for IP set ${id}, which was not announced`);
    const dirtyFamilies = new Set<4 | 6>();
    for (const member of removed) {
      if (isNetwork(member)) {
        state.prefixes.delete(formatPrefix(member.prefix));
        dirtyFamilies.add(familyOfPrefix(member.prefix));
      } else {
        const part = partOf(member);
        if (state.parts.has(part)) this.ruleset.deleteElement(ipSetName(id, part), memberKey(member));
      }
    }
    for (const member of added) {
      const part = partOf(member);
      if (!state.parts.has(part)) {
        state.parts.add(part);
        changed.add(id);
        const interval = part === 'prefixes4' || part === 'prefixes6';
        this.ruleset.addSet({ name: ipSetName(id, part), key: partKeys[part], interval });
      }
      if (isNetwork(member)) {
        state.prefixes.set(formatPrefix(member.prefix), member.prefix);
        dirtyFamilies.add(familyOfPrefix(member.prefix));
      } else this.ruleset.putElement(ipSetName(id, part), memberKey(member));
    }
    for (const family of dirtyFamilies) this.renderPrefixes(id, state, family);
    this.dropEmptyParts(id, state, changed);
  }

  /** What is in the kernel depends on the members there are, not on those there were. */
  private dropEmptyParts(id: IpSetId, state: IpSetState, changed: Set<IpSetId>): void {
    for (const part of state.parts) {
      const name = ipSetName(id, part);
      if (this.ruleset.elementsOf(name).size > 0) continue;
      this.ruleset.deleteSet(name);
      state.parts.delete(part);
      changed.add(id);
    }
  }

  private renderPrefixes(id: IpSetId, state: IpSetState, family: 4 | 6): void {
    const part: SetPart = `prefixes${family}`;
    if (!state.parts.has(part)) return;
    const ranges = mergePrefixes([...state.prefixes.values()], family);
    const wanted = new Map(ranges.map(({ first, last }) => [addressRangeKey(first, last), '']));
    this.ruleset.setElements(ipSetName(id, part), wanted);
  }
}

function isNetwork(member: IpSetMember): member is IpSetMember & { kind: 'prefix' } {
  return member.kind === 'prefix' && member.prefix.length < widthOf(familyOfPrefix(member.prefix));
}

function partOf(member: IpSetMember): SetPart {
  if (member.kind === 'address-port') return `ports${familyOf(member.address)}`;
  return `${isNetwork(member) ? 'prefixes' : 'hosts'}${familyOfPrefix(member.prefix)}`;
}

function memberKey(member: IpSetMember): string {
  if (member.kind === 'prefix') return formatAddress(member.prefix.address);
  return concat(formatAddress(member.address), `${member.protocol}`, `${member.port}`);
}
