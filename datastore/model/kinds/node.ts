// Node, CalicoNodeStatus: the machines.

import { parseAddress } from '../../../net/address.ts';
import { parseInterfaceAddress } from '../../../net/prefix.ts';
import { checkedText, choice, describe, integer, text } from '../schema/scalars.ts';
import { address, asNumber, cidr, interfaceAddress, macAddress } from '../schema/scalars-net.ts';
import { list, object, optional, Refused, required } from '../schema/types.ts';
import { kind, nodeName } from './common.ts';

const addressOrSubnet = checkedText('address', (value) =>
  parseAddress(value) !== undefined || parseInterfaceAddress(value)
    ? undefined
    : new Refused(`${describe(value)} is not an address`, 'give an IP address, with or without its subnet'),
);

export const node = kind('Node', {
  plural: 'nodes',
  shortNames: ['no'],
  doc: 'A machine with its addresses; each agent keeps that of its own machine.',
  name: nodeName,
  spec: object({
    bgp: optional(
      object(
        {
          asNumber: optional(asNumber, 'AS of this node; that of BGPConfiguration when absent.'),
          ipv4Address: optional(interfaceAddress(4), 'Address for BGP, with the length of its subnet.'),
          ipv6Address: optional(interfaceAddress(6), 'IPv6 address for BGP, with the length of its subnet.'),
          ipv4IPIPTunnelAddr: optional(address(4), 'Address of the IP-in-IP tunnel device.'),
          routeReflectorClusterID: optional(
            address(4),
            'Makes the node a route reflector: its cluster id, in the form of an IPv4 address.',
          ),
        },
        (bgp, report) => {
          if (Object.keys(bgp).length === 0) report('', 'is empty', 'give at least ipv4Address, or leave bgp out');
        },
      ),
      'How the node takes part in BGP; absent: it does not.',
    ),
    ipv4VXLANTunnelAddr: optional(address(4), 'Address of the VXLAN tunnel device.'),
    vxlanTunnelMACAddr: optional(macAddress, 'MAC address of the VXLAN tunnel device.'),
    ipv6VXLANTunnelAddr: optional(address(6), 'Address of the IPv6 VXLAN tunnel device.'),
    vxlanTunnelMACAddrV6: optional(macAddress, 'MAC address of the IPv6 VXLAN tunnel device.'),
    orchRefs: optional(
      list(
        object({
          nodeName: optional(text(), 'The node’s name there.'),
          orchestrator: required(text(), 'k8s, openstack …'),
        }),
      ),
      'What orchestrators call this node.',
    ),
    wireguard: optional(
      object({
        interfaceIPv4Address: optional(address(4), 'Address of the WireGuard device.'),
        interfaceIPv6Address: optional(address(6), 'IPv6 address of the WireGuard device.'),
      }),
      'WireGuard addresses.',
    ),
    addresses: optional(
      list(
        object({
          address: required(addressOrSubnet, 'The address.'),
          type: optional(choice('CalicoNodeIP', 'InternalIP', 'ExternalIP'), 'Where it comes from.'),
        }),
      ),
      'All known addresses of the node.',
    ),
    interfaces: optional(
      list(
        object({
          name: optional(text(), 'Name of the interface.'),
          addresses: optional(list(addressOrSubnet), 'Its addresses.'),
        }),
      ),
      'Interfaces of the node.',
    ),
  }),
  status: object({
    wireguardPublicKey: optional(text(), 'WireGuard key, in base64.'),
    wireguardPublicKeyV6: optional(text(), 'WireGuard key of the IPv6 device, in base64.'),
    podCIDRs: optional(list(cidr()), 'Ranges that Kubernetes gave to the node.'),
  }),
});

const daemonStatus = object({
  state: optional(text(), 'Ready, NotReady or Unknown.'),
  version: optional(text(), 'Version of the speaker.'),
  routerID: optional(text(), 'BGP identifier.'),
  lastBootTime: optional(text(), 'When it started.'),
  lastReconfigurationTime: optional(text(), 'When its configuration last changed.'),
});

const peerStatus = object({
  peerIP: optional(text(), 'The peer.'),
  type: optional(text(), 'NodeMesh, NodePeer or GlobalPeer.'),
  state: optional(text(), 'State of the session.'),
  since: optional(text(), 'Since when.'),
});

const routeStatus = object({
  type: optional(text(), 'FIB or RIB.'),
  destination: optional(text(), 'Prefix.'),
  gateway: optional(text(), 'Next hop.'),
  interface: optional(text(), 'Interface.'),
  learnedFrom: optional(
    object({ sourceType: optional(text(), 'Kind of source.'), peerIP: optional(text(), 'The peer.') }),
    'Where the route comes from.',
  ),
});

export const calicoNodeStatus = kind('CalicoNodeStatus', {
  plural: 'caliconodestatuses',
  shortNames: ['nodestatus', 'caliconodestatus'],
  doc: 'Asks a node to report its status here, every so often.',
  spec: object({
    node: optional(nodeName, 'The node.'),
    classes: optional(list(choice('Agent', 'BGP', 'Routes')), 'What to report.'),
    updatePeriodSeconds: optional(integer(0), 'How often; 10 when absent, 0 never.'),
  }),
  status: object({
    lastUpdated: optional(text(), 'When the report was made.'),
    agent: optional(
      object({
        birdV4: optional(daemonStatus, 'The IPv4 speaker.'),
        birdV6: optional(daemonStatus, 'The IPv6 speaker.'),
      }),
      'The processes.',
    ),
    bgp: optional(
      object({
        numberEstablishedV4: optional(integer(0), 'IPv4 sessions that are up.'),
        numberNotEstablishedV4: optional(integer(0), 'IPv4 sessions that are down.'),
        numberEstablishedV6: optional(integer(0), 'IPv6 sessions that are up.'),
        numberNotEstablishedV6: optional(integer(0), 'IPv6 sessions that are down.'),
        peersV4: optional(list(peerStatus), 'IPv4 sessions.'),
        peersV6: optional(list(peerStatus), 'IPv6 sessions.'),
      }),
      'BGP sessions.',
    ),
    routes: optional(
      object({
        routesV4: optional(list(routeStatus), 'IPv4 routes.'),
        routesV6: optional(list(routeStatus), 'IPv6 routes.'),
      }),
      'Routes.',
    ),
  }),
});
