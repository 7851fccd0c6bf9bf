// Which peers BFD is to watch, and how.

import type { BfdPeer } from '../bfd/engine.ts';
import type { PeerSettings } from '../settings.ts';

export const bfdPeers = (peers: readonly PeerSettings[]): BfdPeer[] =>
  peers.flatMap(({ name, address, sourceAddress, device, bfd }) => {
    if (!bfd) return [];
    const { multihop, ...timing } = bfd;
    return [
      {
        key: name,
        address,
        multihop,
        timing,
        ...(sourceAddress === undefined ? {} : { source: sourceAddress }),
        ...(device === undefined ? {} : { device }),
      },
    ];
  });
