// BGPFilter: which routes go out to and come in from a peer.

import { choice, integer, text } from '../schema/scalars.ts';
import { asNumber, cidrOrAddress, community } from '../schema/scalars-net.ts';
import { list, object, optional, required } from '../schema/types.ts';
import { kind } from './common.ts';

const priority = integer(1, 2147483646);

const operation = object(
  {
    addCommunity: optional(object({ value: required(community, 'The community.') }), 'Add a community.'),
    prependASPath: optional(
      object({
        prefix: required(list(asNumber, { minItems: 1, maxItems: 10 }), 'The AS numbers, the first one outermost.'),
      }),
      'Put AS numbers in front of the path.',
    ),
    setPriority: optional(
      object({ value: required(priority, 'Kernel metric.') }),
      'Set the kernel metric of the route.',
    ),
  },
  (value, report) => {
    // What a newer version adds beside them is not ours to count.
    const given = [value.addCommunity, value.prependASPath, value.setPriority].filter(Boolean).length;
    if (given !== 1)
      report('', `has ${given} operations`, 'give one of addCommunity, prependASPath, setPriority per entry');
  },
);

const rule = (family: 4 | 6) =>
  object(
    {
      cidr: optional(cidrOrAddress(family), 'The prefix that matchOperator compares with.'),
      prefixLength: optional(
        object(
          {
            min: optional(integer(0, family === 4 ? 32 : 128), 'Shortest length.'),
            max: optional(integer(0, family === 4 ? 32 : 128), 'Longest length.'),
          },
          (lengths, report) => {
            if ((lengths.min ?? 0) > (lengths.max ?? 128)) report('min', 'is greater than max', 'exchange them');
          },
        ),
        'Lengths that match, with matchOperator In or NotIn.',
      ),
      matchOperator: optional(choice('Equal', 'NotEqual', 'In', 'NotIn'), 'How the route’s prefix compares with cidr.'),
      source: optional(choice('RemotePeers'), 'RemotePeers: only routes learned from peers.'),
      interface: optional(
        text({
          name: 'interface pattern',
          pattern: /^[a-zA-Z0-9_.*-]{1,15}$/,
          remedy: 'use at most 15 letters, digits, "_", ".", "-" and "*"',
        }),
        'Only routes by this interface; "*" matches any text.',
      ),
      peerType: optional(choice('eBGP', 'iBGP'), 'Only for peers of this type.'),
      communities: optional(
        object({ values: required(list(community, { minItems: 1, maxItems: 1 }), 'The community.') }),
        'Only routes with this community.',
      ),
      asPathPrefix: optional(list(asNumber, { minItems: 1 }), 'Only routes whose AS path begins like this.'),
      priority: optional(priority, 'Only routes of this kernel metric.'),
      action: required(choice('Accept', 'Reject'), 'What happens to a route that matches everything given.'),
      operations: optional(list(operation, { minItems: 1, maxItems: 10 }), 'Changes to an accepted route, in order.'),
    },
    ({ cidr, matchOperator }, report) => {
      if (cidr && !matchOperator) report('matchOperator', 'is missing, with cidr', 'give Equal, NotEqual, In or NotIn');
    },
    ({ cidr, matchOperator }, report) => {
      if (matchOperator && !cidr) report('cidr', 'is missing, with matchOperator', 'give the prefix to compare with');
    },
    ({ cidr, prefixLength }, report) => {
      if (prefixLength && !cidr) report('cidr', 'is missing, with prefixLength', 'give the prefix to compare with');
    },
    ({ operations, action }, report) => {
      if (operations && action === 'Reject') report('operations', 'need action Accept', 'remove them, or accept');
    },
  );

const rulesV4 = list(rule(4));
const rulesV6 = list(rule(6));

export const bgpFilter = kind('BGPFilter', {
  plural: 'bgpfilters',
  shortNames: ['bgpf', 'bf'],
  doc: 'Rules for the routes of the BGP peers that name the filter; the first rule that matches decides.',
  spec: object({
    exportV4: optional(rulesV4, 'IPv4 routes that we send.'),
    importV4: optional(rulesV4, 'IPv4 routes that we receive.'),
    exportV6: optional(rulesV6, 'IPv6 routes that we send.'),
    importV6: optional(rulesV6, 'IPv6 routes that we receive.'),
  }),
});
