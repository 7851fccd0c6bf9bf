// Parameters of overlays: VXLAN, IP-in-IP, WireGuard.

import { boolean, duration, integer } from '../../schema/scalars.ts';
import { anyText, parameter } from './parameter.ts';

export const overlayParameters = {
  // Overlay: VXLAN overlay
  vxlanEnabled: parameter('VXLANEnabled', boolean, '', ''),
  vxlanMTU: parameter('VXLANMTU', integer(), '0', ''),
  vxlanMTUV6: parameter('VXLANMTUV6', integer(), '0', ''),
  vxlanPort: parameter('VXLANPort', integer(0, 65535), '4789', ''),
  vxlanVNI: parameter('VXLANVNI', integer(), '4096', ''),

  // Overlay: IP-in-IP
  ipipEnabled: parameter('IpInIpEnabled', boolean, '', ''),
  ipipMTU: parameter('IpInIpMtu', integer(), '0', ''),

  // Overlay: Wireguard
  wireguardEnabled: parameter('WireguardEnabled', boolean, 'false', ''),
  wireguardEnabledV6: parameter('WireguardEnabledV6', boolean, 'false', ''),
  wireguardHostEncryptionEnabled: parameter('WireguardHostEncryptionEnabled', boolean, 'false', ''),
  wireguardInterfaceName: parameter('WireguardInterfaceName', anyText, 'wireguard.cali', ''),
  wireguardInterfaceNameV6: parameter('WireguardInterfaceNameV6', anyText, 'wg-v6.cali', ''),
  wireguardListeningPort: parameter('WireguardListeningPort', integer(0, 65535), '51820', ''),
  wireguardListeningPortV6: parameter('WireguardListeningPortV6', integer(0, 65535), '51821', ''),
  wireguardMTU: parameter('WireguardMTU', integer(), '0', ''),
  wireguardMTUV6: parameter('WireguardMTUV6', integer(), '0', ''),
  wireguardKeepAlive: parameter('WireguardPersistentKeepAlive', duration(), '0', ''),
  wireguardRoutingRulePriority: parameter('WireguardRoutingRulePriority', integer(), '99', ''),
  wireguardThreadingEnabled: parameter('WireguardThreadingEnabled', boolean, 'false', ''),
};
