// The generation of a network namespace's nftables: the kernel counts the transactions that it commits, whoever runs them.

import { AttributeCursor, viewOf } from './message.ts';
import { nftMessageType, writeNfgenmsg } from './nftables-batch.ts';
import type { NetlinkRequest, NetlinkSocket } from './socket.ts';

const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;

const getGeneration: NetlinkRequest = {
  type: nftMessageType(NFT_MSG_GETGEN),
  flags: 0,
  write: (writer) => writeNfgenmsg(writer, 0),
  describe: () => 'generation of nftables',
};

export function readGeneration(socket: Pick<NetlinkSocket, 'query'>): number {
  const cursor = new AttributeCursor(socket.query(getGeneration), 4);
  while (cursor.next()) if (cursor.type === NFTA_GEN_ID) return viewOf(cursor.value()).getUint32(0);
  throw new Error('the kernel does not tell the generation of nftables');
}
