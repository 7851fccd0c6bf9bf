// What `--help` and the reference show of each command in use. Every command has a line here; a test looks that each of
// these command lines is one that twillctl understands.

import type { Command } from 'commander';

export interface Example {
  readonly does: string;
  readonly line: string;
}

/** What a line does, then the line, for each command by its full name. */
const examples: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  create: [
    ['Create what a file holds; what exists already is an error', 'twillctl create -f pools.yaml'],
    ['Create what is missing', 'twillctl create -f site/ --skip-exists'],
  ],
  apply: [
    ['Bring the datastore to what the files of a directory say', 'twillctl apply -R -f site/'],
    ['See what would happen, and store nothing', 'twillctl apply --dry-run -f site/'],
    ['And delete what has the label and is in no file any more', 'twillctl apply --prune -l app=site -f site/'],
    ['From standard input', 'twillctl apply -f - < site.yaml'],
  ],
  replace: [['Replace what exists; what does not is an error', 'twillctl replace -f policy.yaml']],
  delete: [
    ['Delete by name', 'twillctl delete gnp default-deny'],
    ['Two policies of a namespace, whether they exist or not', 'twillctl delete np web db -n shop --skip-not-exists'],
    ['Everything that a file names', 'twillctl delete -f site.yaml'],
  ],
  validate: [['Check files without a datastore, as before a commit', 'twillctl validate -R -f site/']],
  patch: [
    ['Change one field', `twillctl patch ippool pods -p '{"spec":{"natOutgoing":true}}'`],
    ['Remove a field', `twillctl patch node n1 --type merge -p '{"spec":{"bgp":{"asNumber":null}}}'`],
    [
      'Add to a list (JSON patch)',
      `twillctl patch globalnetworkset office --type json -p '[{"op":"add","path":"/spec/nets/-","value":"192.0.2.0/24"}]'`,
    ],
  ],
  edit: [['Change a policy in another editor than vi', 'EDITOR=nano twillctl edit gnp default-deny']],
  label: [
    ['Set a label', 'twillctl label nodes n1 rack=a'],
    ['Give it another value', 'twillctl label nodes n1 rack=b --overwrite'],
    ['Remove it', 'twillctl label nodes n1 rack --remove'],
  ],
  get: [
    ['A table of all pools, with more columns', 'twillctl get ippools -o wide'],
    ['Several kinds, in every namespace', 'twillctl get networkpolicies,networksets,tiers -A'],
    ['One resource as it can be applied to another cluster', 'twillctl get gnp default-deny -o yaml --export'],
    ['Endpoints that come, change and go', 'twillctl get wep -A -w'],
    ['Columns by choice', 'twillctl get nodes -o custom-columns=NAME,ASN,IPV4'],
    [
      'A line for each',
      `twillctl get ippools -o go-template='{{range .}}{{range .Items}}{{.ObjectMeta.Name}} {{.Spec.CIDR}}{{"\\n"}}{{end}}{{end}}'`,
    ],
  ],
  explain: [
    ['All kinds', 'twillctl explain'],
    ['The fields of a kind', 'twillctl explain ippool.spec'],
    ['One field: type, default, limits', 'twillctl explain bgppeer.spec.ttlSecurity'],
  ],
  diff: [['What apply would change', 'twillctl diff -R -f site/']],
  'ipam show': [
    ['How full the pools and their blocks are', 'twillctl ipam show --show-blocks'],
    ['Who has an address', 'twillctl ipam show --ip 10.80.0.7'],
  ],
  'ipam check': [
    ['What is wrong, address by address', 'twillctl ipam check --show-problem-ips'],
    ['A report for ipam release', 'twillctl ipam check -o report.json'],
  ],
  'ipam release': [
    ['Give an address back that nothing uses', 'twillctl ipam release --ip 10.80.0.7'],
    [
      'All that two reports, some time apart, call not in use',
      'twillctl ipam release --from-report first.json --from-report second.json --force',
    ],
  ],
  'ipam split': [['Four pools out of one; the datastore must be locked', 'twillctl ipam split 4 --name pods']],
  'ipam configure': [
    [
      'Nodes keep to their own blocks, at most 8',
      'twillctl ipam configure --strictaffinity true --max-blocks-per-host 8',
    ],
  ],
  'node status': [['The sessions of this node', 'twillctl node status']],
  'node list': [['All nodes, ready or not', 'twillctl node list']],
  'node checksystem': [['Before twill-node is started here', 'twillctl node checksystem']],
  'node diags': [['One file to look at, or to send', 'twillctl node diags --output-dir /tmp']],
  'node run': [
    [
      'With the address that leads to the gateway',
      'twillctl node run --ip autodetect --ip-autodetection-method can-reach=192.0.2.1',
    ],
    ['What would be started', 'twillctl node run --name n1 --as 64512 --dryrun'],
  ],
  'node drain-bgp': [['Before maintenance', 'twillctl node drain-bgp n1']],
  'node undrain-bgp': [['After it', 'twillctl node undrain-bgp n1']],
  'bgp peers': [['Sessions, and what keeps those down that are down', 'twillctl bgp peers']],
  'bgp routes': [
    ['The best routes', 'twillctl bgp routes'],
    ['What a peer sent', 'twillctl bgp routes --received 192.0.2.1'],
  ],
  'bgp why': [['Every path to a prefix, and why it lost', 'twillctl bgp why 10.80.1.0/26']],
  'bgp dump-mrt': [['For bgpdump and its kin', 'twillctl bgp dump-mrt /tmp/routes.mrt']],
  'datastore status': [['Is it reachable, locked, large?', 'twillctl datastore status']],
  'datastore backup': [['Everything, as of one revision', 'twillctl datastore backup twill.backup']],
  'datastore restore': [['Into an empty datastore', 'twillctl datastore restore twill.backup']],
  'datastore migrate lock': [['Agents leave the kernel as it is from now on', 'twillctl datastore migrate lock']],
  'datastore migrate unlock': [['And go on', 'twillctl datastore migrate unlock']],
  'datastore migrate export': [['Everything, to a file', 'twillctl datastore migrate export > twill.backup']],
  'datastore migrate import': [['And back', 'twillctl datastore migrate import -f twill.backup']],
  'datastore migrate copy': [
    ['From twill-datastore to etcd', 'twillctl datastore migrate copy --to http://192.0.2.10:2379'],
  ],
  'datastore migrate-policy-names': [
    ['What would be renamed', 'twillctl datastore migrate-policy-names --dry-run'],
    ['Give policies named <tier>.<name> their free names', 'twillctl datastore migrate-policy-names'],
  ],
  'policy why': [
    ['May this pod talk to that one?', 'twillctl policy why shop/frontend shop/database tcp/5432'],
    ['And with the policies of these files?', 'twillctl policy why shop/frontend 192.0.2.1 tcp/443 -f site/'],
  ],
  'policy test': [['What must pass and what must not, without a cluster', 'twillctl policy test -f policy-test.yaml']],
  'policy lint': [['What is probably not meant', 'twillctl policy lint -f site/']],
  'policy hits': [['Rules that never matched', 'twillctl policy hits --unused']],
  'policy trace': [['Watch the packets of a pod of this node', 'twillctl policy trace shop/frontend --seconds 30']],
  version: [
    ['This program and the cluster', 'twillctl version'],
    ['Wait for an upgrade', 'twillctl version --poll 10s'],
  ],
  'cluster diags': [['One file about everything', 'twillctl cluster diags --output-dir /tmp']],
  completion: [['For this shell', 'source <(twillctl completion bash)']],
};

/** "datastore migrate lock": without the program's own name. */
export function fullName(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at?.parent; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

export const examplesOf = (command: Command): readonly Example[] =>
  (examples[fullName(command)] ?? []).map(([does, line]) => ({ does, line }));
