// What the routing process and the BFD process say to each other, as JSON: peers to watch one way, states the other.

import { type Address, formatAddress, parseAddress } from '../../net/address.ts';
import type { BfdPeer, BfdStateChange } from './engine.ts';
import type { BfdState } from './packet.ts';

export const sessionsPath = '/v1/sessions';
export const watchPath = '/v1/watch';

export const bfdPeersToJson = (peers: readonly BfdPeer[]): unknown => ({
  peers: peers.map(({ address, source, ...rest }) => ({
    ...rest,
    address: formatAddress(address),
    ...(source === undefined ? {} : { source: formatAddress(source) }),
  })),
});

/** Undefined: not what bfdPeersToJson() makes. */
export function bfdPeersFromJson(value: unknown): readonly BfdPeer[] | undefined {
  const list = fieldOf(value, 'peers');
  if (!Array.isArray(list)) return undefined;
  const peers = list.map(peerFrom);
  return peers.every((peer) => peer !== undefined) ? peers : undefined;
}

function peerFrom(value: unknown): BfdPeer | undefined {
  const key = fieldOf(value, 'key');
  const address = addressFrom(fieldOf(value, 'address'));
  const source = addressFrom(fieldOf(value, 'source'));
  const device = fieldOf(value, 'device');
  const multihop = fieldOf(value, 'multihop');
  const timing = fieldOf(value, 'timing');
  const minTxMs = fieldOf(timing, 'minTxMs');
  const minRxMs = fieldOf(timing, 'minRxMs');
  const multiplier = fieldOf(timing, 'multiplier');
  if (typeof key !== 'string' || address === undefined || typeof multihop !== 'boolean') return undefined;
  if (typeof minTxMs !== 'number' || typeof minRxMs !== 'number' || typeof multiplier !== 'number') return undefined;
  return {
    key,
    address,
    multihop,
    timing: { minTxMs, minRxMs, multiplier },
    ...(source === undefined ? {} : { source }),
    ...(typeof device === 'string' ? { device } : {}),
  };
}

const states: readonly BfdState[] = ['AdminDown', 'Down', 'Init', 'Up'];

/** Undefined: not a state change. */
export function stateChangeFromJson(value: unknown): BfdStateChange | undefined {
  const key = fieldOf(value, 'key');
  const state = states.find((one) => one === fieldOf(value, 'state'));
  const reason = fieldOf(value, 'reason');
  if (typeof key !== 'string' || !state || typeof reason !== 'string') return undefined;
  const byAdministrator = fieldOf(value, 'byAdministrator') === true;
  const remoteIndependent = fieldOf(value, 'remoteIndependent') === true;
  return { key, state, byAdministrator, remoteIndependent, reason };
}

const addressFrom = (value: unknown): Address | undefined =>
  typeof value === 'string' ? parseAddress(value) : undefined;

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map(Object.entries(value)).get(name);
}
