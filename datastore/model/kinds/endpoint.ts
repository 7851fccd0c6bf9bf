// WorkloadEndpoint, HostEndpoint, Profile, NetworkSet, GlobalNetworkSet: what policy applies to and matches.

import { isDeepStrictEqual } from 'node:util';
import { familyOf, parseAddress } from '../../../net/address.ts';
import { parseInterfaceAddress } from '../../../net/prefix.ts';
import { forEachSound } from '../schema/guard.ts';
import { describe, integer, text } from '../schema/scalars.ts';
import { labelKey, labelValue } from '../schema/scalars-names.ts';
import {
  address,
  dscp,
  macAddress,
  network,
  type Protocol,
  parseProtocol,
  portNumber,
  protocol,
  protocolNumbers,
} from '../schema/scalars-net.ts';
import { list, map, object, optional, type Report, required } from '../schema/types.ts';
import { parseWorkloadEndpointName, workloadEndpointName } from '../workload-names.ts';
import { type CheckedResource, interfaceName, kind, nodeName } from './common.ts';
import { rules } from './rule.ts';

const anyText = text();
const portName = text({
  name: 'port name',
  pattern: /^(?=.*[a-zA-Z])[a-zA-Z0-9_.-]{1,128}$/,
  remedy: 'use letters, digits and "-", with at least one letter',
});
const withPorts: readonly number[] = [protocolNumbers.TCP, protocolNumbers.UDP, protocolNumbers.SCTP];

function checkPortProtocol(value: { readonly protocol: Protocol }, report: Report): void {
  const number = parseProtocol(value.protocol);
  if (number === undefined || !withPorts.includes(number)) {
    report('protocol', `${describe(value.protocol)} has no ports`, 'give TCP, UDP or SCTP');
  }
}

const rate = integer(1000, 1_000_000_000_000_000);
const burst = integer(1000, 34_359_738_360);
const minBurst = integer(1000, 100_000_000);
const packets = integer(1, 1_000_000_000_000);

const qosControls = object({
  ingressBandwidth: optional(rate, 'Bits per second to the workload.'),
  egressBandwidth: optional(rate, 'Bits per second from the workload.'),
  ingressBurst: optional(burst, 'Bits that may exceed ingressBandwidth at once.'),
  egressBurst: optional(burst, 'Bits that may exceed egressBandwidth at once.'),
  ingressPeakrate: optional(rate, 'Bits per second during an ingress burst.'),
  egressPeakrate: optional(rate, 'Bits per second during an egress burst.'),
  ingressMinburst: optional(minBurst, 'Smallest ingress burst in bits.'),
  egressMinburst: optional(minBurst, 'Smallest egress burst in bits.'),
  ingressPacketRate: optional(packets, 'Packets per second to the workload.'),
  egressPacketRate: optional(packets, 'Packets per second from the workload.'),
  ingressPacketBurst: optional(packets, 'Packets that may exceed ingressPacketRate at once.'),
  egressPacketBurst: optional(packets, 'Packets that may exceed egressPacketRate at once.'),
  ingressMaxConnections: optional(integer(1, 4294967295), 'Connections to the workload at one time.'),
  egressMaxConnections: optional(integer(1, 4294967295), 'Connections from the workload at one time.'),
  dscp: optional(dscp, 'DSCP mark of packets from the workload: 0 to 63, or a name as AF11 or EF.'),
});

export const workloadEndpoint = kind('WorkloadEndpoint', {
  plural: 'workloadendpoints',
  shortNames: ['wep', 'weps'],
  namespaced: true,
  doc: 'One network interface of a pod or another workload; written by the CNI plugin.',
  spec: object(
    {
      orchestrator: optional(anyText, 'k8s, cni, openstack …'),
      workload: optional(anyText, 'Name of the workload, outside Kubernetes.'),
      node: optional(nodeName, 'The node that it runs on.'),
      containerID: optional(
        text({
          name: 'container id',
          pattern: /^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$/,
          remedy: 'begin and end with a letter or digit',
        }),
        'The container that owns the interface.',
      ),
      pod: optional(anyText, 'Name of the pod.'),
      endpoint: optional(anyText, 'Name of the interface inside the workload.'),
      serviceAccountName: optional(anyText, 'Service account of the pod.'),
      ipNetworks: optional(list(network), 'Addresses of the interface, as /32 or /128.'),
      ipNATs: optional(
        list(
          object({
            internalIP: required(address(), 'An address of ipNetworks.'),
            externalIP: required(address(), 'The address that stands for it outside.'),
          }),
        ),
        'Floating addresses.',
      ),
      ipv4Gateway: optional(address(4), 'Gateway of the workload.'),
      ipv6Gateway: optional(address(6), 'IPv6 gateway of the workload.'),
      profiles: optional(list(anyText), 'Profiles, in order: what applies when no policy does.'),
      interfaceName: optional(interfaceName, 'The interface’s host side.'),
      mac: optional(macAddress, 'MAC address of the workload’s side.'),
      ports: optional(
        list(
          object(
            {
              name: optional(anyText, 'Name, for use in policy.'),
              protocol: required(protocol, 'TCP, UDP or SCTP.'),
              port: required(portNumber, 'Port.'),
              hostPort: optional(integer(0, 65535), 'Port of the node that leads here.'),
              hostIP: optional(anyText, 'Address of the node that leads here.'),
            },
            checkPortProtocol,
            (value, report) => {
              if (!value.name && !value.hostPort) report('name', 'is missing', 'give name, or hostPort');
            },
          ),
        ),
        'Ports with a name.',
      ),
      allowSpoofedSourcePrefixes: optional(list(network), 'Further sources that the workload may send from.'),
      qosControls: optional(qosControls, 'Limits.'),
    },
    checkOwnAddresses,
    checkNatInternal,
    checkNatFamilies,
  ),
  rules: [checkWorkloadName],
});

interface WorkloadSpec {
  readonly ipNetworks?: readonly string[];
  readonly ipNATs?: readonly { readonly internalIP: string; readonly externalIP: string }[];
}

function checkOwnAddresses(spec: WorkloadSpec, report: Report): void {
  forEachSound(spec.ipNetworks, (text, i) => {
    const parsed = parseInterfaceAddress(text);
    if (!parsed) return;
    const width = familyOf(parsed.address) === 4 ? 32 : 128;
    if (parsed.length !== width) report(`ipNetworks[${i}]`, `${text} is more than one address`, `give /${width}`);
  });
}

function checkNatInternal(spec: WorkloadSpec, report: Report): void {
  const own = new Set(spec.ipNetworks?.map((text) => parseInterfaceAddress(text)?.address ?? parseAddress(text)));
  forEachSound(spec.ipNATs, ({ internalIP }, i) => {
    const internal = parseAddress(internalIP);
    if (internal === undefined || own.has(internal)) return;
    report(`ipNATs[${i}].internalIP`, `${internalIP} is not one of ipNetworks`, 'give an address of ipNetworks');
  });
}

function checkNatFamilies(spec: WorkloadSpec, report: Report): void {
  forEachSound(spec.ipNATs, ({ internalIP, externalIP }, i) => {
    const internal = parseAddress(internalIP);
    const external = parseAddress(externalIP);
    if (internal === undefined || external === undefined || familyOf(internal) === familyOf(external)) return;
    report(`ipNATs[${i}].externalIP`, 'is of another IP version than internalIP', 'give both in the same version');
  });
}

function checkWorkloadName(resource: CheckedResource, report: Report): void {
  const expected = workloadEndpointName(resource.spec);
  if (expected === undefined || expected === resource.metadata.name) return;
  const parsed = parseWorkloadEndpointName(resource.metadata.name);
  const found = parsed ? ` (it reads as node ${parsed.node})` : '';
  report('metadata.name', `${resource.metadata.name} does not follow from the spec${found}`, `call it ${expected}`);
}

export const hostEndpoint = kind('HostEndpoint', {
  plural: 'hostendpoints',
  shortNames: ['hep', 'heps'],
  doc: 'An interface of a node, to apply policy to the node itself.',
  spec: object(
    {
      node: required(nodeName, 'The node.'),
      interfaceName: optional(
        text({
          name: 'interface name',
          pattern: /^(\*|[a-zA-Z0-9_.-]{1,15})$/,
          remedy: 'give an interface’s name, or "*" for all',
        }),
        'The interface; "*" for all of them.',
      ),
      expectedIPs: optional(list(address()), 'Addresses of the interface; they find it when interfaceName is absent.'),
      profiles: optional(list(anyText), 'Profiles, in order: what applies when no policy does.'),
      ports: optional(
        list(
          object(
            {
              name: required(portName, 'Name, for use in policy.'),
              protocol: required(protocol, 'TCP, UDP or SCTP.'),
              port: required(portNumber, 'Port.'),
            },
            checkPortProtocol,
          ),
        ),
        'Ports with a name.',
      ),
    },
    (spec, report) => {
      if (!spec.interfaceName && !spec.expectedIPs?.length) {
        report('interfaceName', 'is missing, as is expectedIPs', 'give one of the two');
      }
    },
  ),
});

/** Exists without being stored, and allows everything: Calico's own host endpoints carry it. */
export const builtInProfile = {
  name: 'projectcalico-default-allow',
  rules: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
} as const;

export const profile = kind('Profile', {
  plural: 'profiles',
  shortNames: ['pro'],
  doc: 'Rules and labels for endpoints that name it; applies after all policy.',
  spec: object({
    ingress: optional(rules, 'Rules for packets to the endpoint.'),
    egress: optional(rules, 'Rules for packets from the endpoint.'),
    labelsToApply: optional(map(labelKey, labelValue), 'Labels that the endpoints get.'),
  }),
  rules: [
    ({ metadata, spec }, report) => {
      if (metadata.name === builtInProfile.name && !isDeepStrictEqual(spec, builtInProfile.rules))
        report('metadata.name', 'is built in', 'choose another name');
    },
  ],
  protectedNames: [builtInProfile.name],
});

const nets = optional(list(network), 'The networks and addresses.');

function refuseNamespaceLabel(resource: CheckedResource, report: Report): void {
  if (resource.metadata.labels?.['projectcalico.org/namespace'] !== undefined) {
    report('metadata.labels[projectcalico.org/namespace]', 'is set by the system', 'remove the label');
  }
}

export const networkSet = kind('NetworkSet', {
  plural: 'networksets',
  shortNames: ['netset', 'netsets'],
  namespaced: true,
  doc: 'Networks with labels, for the selectors of policies in its namespace.',
  spec: object({ nets }),
  rules: [refuseNamespaceLabel],
});

export const globalNetworkSet = kind('GlobalNetworkSet', {
  plural: 'globalnetworksets',
  shortNames: ['gnetset', 'gnetsets'],
  doc: 'Networks with labels, for the selectors of every policy.',
  spec: object({ nets }),
  rules: [refuseNamespaceLabel],
});
