// Parameters of overlays: VXLAN, IP-in-IP, WireGuard.

import { boolean, duration, integer } from '../../schema/scalars.ts';
import { interfaceName } from '../common.ts';
import { parameter } from './parameter.ts';

export const overlayParameters = {
  // Overlay: VXLAN overlay
  vxlanEnabled: parameter('VXLANEnabled', boolean, '', 'Whether the VXLAN device is made; by the pools when empty.'),
  vxlanMTU: parameter('VXLANMTU', integer(), '0', 'MTU of the VXLAN device; 0 finds it.'),
  vxlanMTUV6: parameter('VXLANMTUV6', integer(), '0', 'MTU of the IPv6 VXLAN device; 0 finds it.'),
  vxlanPort: parameter('VXLANPort', integer(0, 65535), '4789', 'UDP port of VXLAN.'),
  vxlanVNI: parameter('VXLANVNI', integer(), '4096', 'VXLAN network identifier.'),

  // Overlay: IP-in-IP
  ipipEnabled: parameter('IpInIpEnabled', boolean, '', 'Whether the IP-in-IP device is made; by the pools when empty.'),
  ipipMTU: parameter('IpInIpMtu', integer(), '0', 'MTU of the IP-in-IP device; 0 finds it.'),

  // Overlay: Wireguard
  wireguardEnabled: parameter('WireguardEnabled', boolean, 'false', 'Whether traffic between nodes is encrypted.'),
  wireguardEnabledV6: parameter(
    'WireguardEnabledV6',
    boolean,
    'false',
    'Whether IPv6 traffic between nodes is encrypted.',
  ),
  wireguardHostEncryptionEnabled: parameter(
    'WireguardHostEncryptionEnabled',
    boolean,
    'false',
    'Whether the nodes’ own traffic is encrypted too.',
  ),
  wireguardInterfaceName: parameter(
    'WireguardInterfaceName',
    interfaceName,
    'wireguard.cali',
    'Name of the WireGuard device.',
  ),
  wireguardInterfaceNameV6: parameter(
    'WireguardInterfaceNameV6',
    interfaceName,
    'wg-v6.cali',
    'Name of the IPv6 WireGuard device.',
  ),
  wireguardListeningPort: parameter('WireguardListeningPort', integer(1, 65535), '51820', 'UDP port of WireGuard.'),
  wireguardListeningPortV6: parameter(
    'WireguardListeningPortV6',
    integer(1, 65535),
    '51821',
    'UDP port of IPv6 WireGuard.',
  ),
  wireguardMTU: parameter('WireguardMTU', integer(), '0', 'MTU of the WireGuard device; 0 finds it.'),
  wireguardMTUV6: parameter('WireguardMTUV6', integer(), '0', 'MTU of the IPv6 WireGuard device; 0 finds it.'),
  wireguardKeepAlive: parameter(
    'WireguardPersistentKeepAlive',
    duration(),
    '0',
    'How often WireGuard shows that it is alive; 0 never.',
  ),
  wireguardRoutingRulePriority: parameter(
    'WireguardRoutingRulePriority',
    integer(1, 32765),
    '99',
    'Priority of WireGuard’s routing rule.',
  ),
  wireguardThreadingEnabled: parameter(
    'WireguardThreadingEnabled',
    boolean,
    'false',
    'Whether WireGuard uses several processors per device.',
  ),
};
