// What others may do to our table, as shell scripts. The table has the workload ns/a on calia, one policy and one IP set.

export const edits: Readonly<Record<string, string>> = {
  'deletes the table': 'nft delete table inet twill',
  'flushes the whole ruleset': 'nft flush ruleset; nft add table ip foreign',
  'flushes a base chain': 'nft flush chain inet twill forward-ingress',
  'flushes a policy': 'nft flush chain inet twill ingress/NetworkPolicy/ns/p',
  'inserts a rule that accepts everything': 'nft insert rule inet twill forward-ingress accept',
  'replaces a rule': `
    handle=$(nft -a list chain inet twill ingress | sed -n 's/.*drop comment "unknown.*handle //p')
    nft replace rule inet twill ingress handle $handle accept`,
  'deletes an element of the dispatch map': `nft 'delete element inet twill ingress-by-interface { "calia" }'`,
  'points the dispatch elsewhere': `
    nft 'delete element inet twill egress-by-interface { "calia" }'
    nft 'add element inet twill egress-by-interface { "calia" : accept }'`,
  'adds an element to a set': 'nft add element inet twill set/s_clients/hosts4 { 8.8.8.8 }',
  'flushes a set': 'nft flush set inet twill workload-sources4',
  'adds a chain and a set': `nft add chain inet twill mine; nft 'add set inet twill myset { type ipv4_addr; }'`,
  'adds a base chain': `nft 'add chain inet twill evil { type filter hook forward priority -400; policy drop; }'`,
  'changes a chain’s policy': `nft 'chain inet twill forward-egress { policy drop; }'`,
  'puts the table to sleep': `nft 'add table inet twill { flags dormant; }'`,
  'deletes a prefix': 'nft delete element inet twill set/s_clients/prefixes4 { 10.66.0.0/16 }',
};
