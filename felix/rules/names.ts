// Names of our nftables objects, readable in `nft list table inet twill`.
//
//   ingress/NetworkPolicy/web/allow-http     a policy's rules for packets to an endpoint
//   ingress/tiers/1f0c…                      the ordered policies of some endpoints
//   set/s:3Qd…/hosts4                        an IP set, its single IPv4 addresses
//
// nft takes letters, digits, and / - _ . in names, of at most 127 characters.

import { createHash } from 'node:crypto';
import type { IpSetId, PolicyId } from '../calc/output.ts';

export type Direction = 'ingress' | 'egress';

const longest = 100;

export const policyChain = (direction: Direction, id: PolicyId): string =>
  nftName(`${direction}/${id.replace('//', '/')}`);

export const profileChain = (direction: Direction, name: string): string => nftName(`${direction}/profile/${name}`);

/** Named by its content: endpoints with equal policies meet in one chain. */
export const tiersChain = (direction: Direction, content: string): string => `${direction}/tiers/${digest(content)}`;

/** Named by the rule's content, so that a counter stays with its rule when others come and go around it. */
export const ruleCounter = (chain: string, content: string): string => `${chain}/${content}`;

export const foldMap = (chain: string, index: number): string => `${chain}/fold${index}`;

export const defaultActionCounter = (direction: Direction, tier: string): string =>
  nftName(`${direction}/default-action/${tier}`);

export const noProfileCounter = (direction: Direction): string => `${direction}/no-profile-match`;

/** The parts of an IP set that a kernel set can hold. `ports`: address . protocol . port. */
export type SetPart = 'hosts4' | 'hosts6' | 'prefixes4' | 'prefixes6' | 'ports4' | 'ports6';

export const ipSetName = (id: IpSetId, part: SetPart): string => `set/${nftName(id)}/${part}`;

/** Replaces what nft does not take, and shortens what is too long; both keep different names different. */
function nftName(text: string): string {
  const safe = text.replaceAll(/[^A-Za-z0-9/\-_.]/g, '_');
  if (safe.length <= longest && (safe === text || /^[sn]:/.test(text))) return safe;
  return `${safe.slice(0, longest - 17)}-${digest(text)}`;
}

const digest = (text: string): string => createHash('sha1').update(text).digest('hex').slice(0, 16);
