// The addresses that local workloads peer with (BGPConfiguration localWorkloadPeeringIPV4 and IPV6). They are this node's and
// nobody else's, and the same on every node, so no interface has them: a route of the table "local" makes the kernel take
// packets to them, from whatever pod they come.
//
//     local 169.254.0.179 dev lo table local proto 83
//
// By the protocol number they are found again after a restart, and removed when they are no longer wanted. To call from one, IPv6
// wants an address as well: on lo, deprecated, so that nothing else is sent from it.

import { addAddress, deleteAddress, type InterfaceAddress } from '../linux/netlink/address.ts';
import { addRoute, deleteRoute, type Route, tableLocal } from '../linux/netlink/route.ts';
import { Rtnetlink } from '../linux/netlink/rtnetlink.ts';
import type { NetnsRef } from '../linux/netns.ts';
import { type Address, familyOf, formatAddress } from '../net/address.ts';
import { formatPrefix } from '../net/prefix.ts';
import type { Logger } from '../runtime/log.ts';

export const localAddressProtocol = 83;

const loopbackIndex = 1;

export class LocalAddresses {
  readonly #rtnetlink: Rtnetlink;
  readonly #log: Logger;
  #configured: string | undefined;

  constructor(log: Logger, options: { readonly netns?: NetnsRef } = {}) {
    this.#log = log;
    this.#rtnetlink = new Rtnetlink(options);
  }

  /** Makes these addresses this node's, and no others that we made so before. */
  configure(addresses: readonly Address[]): void {
    const wanted = new Map(addresses.map((address) => [formatPrefix(hostRoute(address).prefix), hostRoute(address)]));
    const key = [...wanted.keys()].sort().join();
    if (key === this.#configured) return;
    this.#configured = key;
    for (const route of this.#present()) {
      if (!wanted.delete(formatPrefix(route.prefix))) this.#remove(route);
    }
    const failures = this.#rtnetlink.execute(
      [...wanted.values()].flatMap((route) => [addRoute(route), ...onLoopback(route).map((one) => addAddress(one))]),
    );
    for (const { error } of failures) {
      this.#log.error({ addresses: addresses.map(formatAddress), error: error.message }, 'address for workload peers');
    }
  }

  close(): void {
    this.#rtnetlink.close();
  }

  /** What marks it as ours goes last. */
  #remove(route: Route): void {
    this.#rtnetlink.execute([...onLoopback(route).map((one) => deleteAddress(one)), deleteRoute(route)]);
  }

  #present(): Route[] {
    return ([4, 6] as const).flatMap((family) =>
      this.#rtnetlink.routes({ family, table: tableLocal, protocol: localAddressProtocol }),
    );
  }
}

function onLoopback({ prefix: { address, length } }: Route): InterfaceAddress[] {
  const common = { interfaceIndex: loopbackIndex, address, length };
  return familyOf(address) === 4 ? [] : [{ ...common, noDuplicateDetection: true, deprecated: true }];
}

const hostRoute = (address: Address): Route => ({
  prefix: { address, length: familyOf(address) === 4 ? 32 : 128 },
  type: 'local',
  table: tableLocal,
  protocol: localAddressProtocol,
  nextHops: [{ interfaceIndex: loopbackIndex }],
});
