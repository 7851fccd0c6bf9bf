// Kernel switches of the host and of the host side of workloads' links.
//
// The plugin sets a link's switches when it makes the link; they are set here again because interfaces may have been made
// by somebody else, and because switches can be changed.

import type { SysctlName } from '../../linux/sysctl.ts';

/** Routing between workloads and the rest. */
export const hostSwitches: Readonly<Record<SysctlName, number>> = {
  'net/ipv4/ip_forward': 1,
  'net/ipv6/conf/all/forwarding': 1,
};

/** Answers ARP for the gateway 169.254.1.1 at once, takes no router's word, and leaves source checks to the rules. */
export const workloadSwitches = (interfaceName: string): Readonly<Record<SysctlName, number>> => ({
  [`net/ipv4/conf/${interfaceName}/forwarding`]: 1,
  [`net/ipv4/conf/${interfaceName}/proxy_arp`]: 1,
  [`net/ipv4/conf/${interfaceName}/rp_filter`]: 0,
  [`net/ipv4/neigh/${interfaceName}/proxy_delay`]: 0,
  [`net/ipv6/conf/${interfaceName}/forwarding`]: 1,
  [`net/ipv6/conf/${interfaceName}/accept_ra`]: 0,
});
