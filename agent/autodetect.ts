// Which address a node takes when nobody says: the first global one of an interface that is not a pod's, a container
// bridge's or a tunnel's (Calico's "first-found").

import type { networkInterfaces } from 'node:os';

type Interfaces = ReturnType<typeof networkInterfaces>;

const excluded = /^(lo|docker|cbr|dummy|virbr|lxcbr|veth|cali|tunl|flannel|kube-ipvs|cni|vxlan|wireguard|nodelocaldns)/;

/** As "address/length"; undefined when there is none of the family. */
export function firstFound(interfaces: Interfaces, family: 4 | 6): string | undefined {
  for (const name of Object.keys(interfaces).sort()) {
    if (excluded.test(name)) continue;
    const found = interfaces[name]?.find(
      (one) =>
        one.family === `IPv${family}` && !one.internal && one.cidr !== null && !/^(fe80:|169\.254\.)/.test(one.address),
    );
    if (found?.cidr) return found.cidr;
  }
  return undefined;
}
