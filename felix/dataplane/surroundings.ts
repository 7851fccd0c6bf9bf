// What is around the rules: this node's interfaces with their addresses, and which way answers go.

import type { Rtnetlink } from '../../linux/netlink/rtnetlink.ts';
import type { Address } from '../../net/address.ts';
import type { Surroundings } from './host-flows.ts';

/** What the kernel says of its interfaces now. */
export function surroundingsOf(netlink: Pick<Rtnetlink, 'links' | 'addresses' | 'interfaceTowards'>): Surroundings {
  const names = new Map(netlink.links().map((link) => [link.index, link.name]));
  const interfaces = new Map<string, Address[]>([...names.values()].map((name) => [name, []]));
  const own = new Set<Address>();
  for (const { interfaceIndex, address } of netlink.addresses()) {
    interfaces.get(names.get(interfaceIndex) ?? '')?.push(address);
    own.add(address);
  }
  return {
    isOwnAddress: (address) => own.has(address),
    interfaces,
    interfaceTowards: (address) => names.get(netlink.interfaceTowards(address) ?? -1),
  };
}
