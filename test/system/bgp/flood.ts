// A peer as a process of its own, for a namespace: announces many routes, says so, and stays until it is killed.
//
//     node --import tsx flood.ts HOST ADDRESS AS COUNT

import { announcements, RawPeer } from './raw-peer.ts';

const [host = '', address = '', asn = '', count = ''] = process.argv.slice(2);
const routerId = 0x0b000001;
const peer = new RawPeer({ host, port: 179, address, asn: Number(asn), routerId, holdTimeSec: 90 });
const timer = setInterval(() => {
  if (peer.closed !== undefined) {
    process.stdout.write(`${peer.closed}\n`);
    process.exit(1);
  }
  if (!peer.established) return;
  clearInterval(timer);
  const nextHop = address.split('.').map(Number);
  // As it does not fit into the kernel's buffer at once, the event loop sends the rest.
  peer.send(announcements(Number(count), Number(asn), 0, nextHop));
  process.stdout.write('sent\n');
}, 10);
