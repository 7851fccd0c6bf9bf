// What to try in a lab that was left up: command lines that work as they are printed.

import { blockOf } from './checks/routes.ts';
import { type Lab, manifest, podOf } from './lab.ts';
import { datastoreEndpoint, executable, runDirectoryOf } from './nodes.ts';
import { routerShell } from './routers.ts';
import { inside } from './shell.ts';
import { routers, torA } from './topology.ts';

export function hints(lab: Lab): string {
  const at = (name: string, command: string): string => inside(name, [command]).join(' ');
  const web = podOf(lab, 'web');
  const lines: readonly (readonly [string, readonly string[]])[] = [
    [
      'The datastore',
      [
        `export ETCD_ENDPOINTS=${datastoreEndpoint}`,
        `alias twillctl=${executable('twillctl')}`,
        'twillctl get nodes -o wide',
        'twillctl ipam show --show-blocks',
        'twillctl policy why dev/crawler shop/web tcp/8080',
        `TWILL_RUN_DIR=${runDirectoryOf('node-a1')} twillctl node status`,
        `TWILL_RUN_DIR=${runDirectoryOf('node-a1')} twillctl bgp why ${blockOf(podOf(lab, 'db').address)}`,
        `twillctl apply -f ${manifest('40-open-web.yaml')}`,
      ],
    ],
    [
      'A pod',
      [
        at('pod-tester', 'bash'),
        at('pod-tester', `ping -c 3 ${podOf(lab, 'runner').address}`),
        at('pod-runner', `bash -c 'exec 3<>/dev/tcp/${web.address}/8080; cat <&3'`),
      ],
    ],
    ['A node', [at(torA.name, 'ip route'), at('node-a1', 'nft list table inet twill'), at('node-a1', 'ip route')]],
    ['A router', routers.map((router) => at(router.name, routerShell(router)))],
    ['The end', ['npm run lab:down']],
  ];
  return `\nThe lab is up. Try:\n${lines.map(([title, commands]) => `\n  ${title}\n${commands.map((command) => `    ${command}`).join('\n')}\n`).join('')}`;
}
