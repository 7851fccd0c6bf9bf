// The routers: configuration from the topology, and what they say about their routes.
//
// BIRD on the top-of-rack routers, FRR (zebra and bgpd) on the spine. Each has its own directory with configuration,
// sockets and pid files, so that none meets a daemon of the machine.

import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { labDirectory } from './journal.ts';
import { logTail, type Running, type Service, start } from './processes.ts';
import { must, waitFor } from './shell.ts';
import { type Router, routers } from './topology.ts';

const directoryOf = (router: Router): string => join(labDirectory, router.name);
const birdSocket = (router: Router): string => join(directoryOf(router), 'bird.ctl');

export async function startRouters(): Promise<void> {
  await Promise.all(routers.map((router) => (router.kind === 'bird' ? startBird(router) : startFrr(router))));
}

async function startBird(router: Router): Promise<void> {
  const directory = directoryOf(router);
  const config = join(directory, 'bird.conf');
  mkdirSync(directory, { recursive: true });
  writeFileSync(config, birdConfig(router));
  const service: Service = {
    name: router.name,
    inside: router.name,
    command: ['bird', '-f', '-c', config, '-s', birdSocket(router), '-P', join(directory, 'bird.pid')],
  };
  await answering(service, start(service), async () => (await birdc(router, 'show status')).includes('up and running'));
}

async function startFrr(router: Router): Promise<void> {
  const directory = directoryOf(router);
  mkdirSync(directory, { recursive: true });
  const frr = userIds('frr');
  chownSync(directory, frr.uid, frr.gid);
  // Both refuse the other's lines, so each has its own file.
  const configs = { zebra: '', bgpd: frrConfig(router) };
  for (const [daemon, config] of Object.entries(configs)) {
    const file = join(directory, `${daemon}.conf`);
    writeFileSync(file, config);
    chownSync(file, frr.uid, frr.gid);
    const service: Service = {
      name: `${router.name}-${daemon}`,
      inside: router.name,
      command: [
        `/usr/lib/frr/${daemon}`,
        ...['--config_file', file, '--pid_file', join(directory, `${daemon}.pid`), '--vty_port', '0'],
        ...['--vty_socket', directory, '--socket', join(directory, 'zserv.api'), '--log', 'stdout'],
      ],
    };
    await answering(service, start(service), async () => {
      await must(['vtysh', '--vty_socket', directory, '-d', daemon, '-c', 'show version'], { inside: router.name });
      return true;
    });
  }
}

async function answering(service: Service, running: Running, ask: () => Promise<boolean>): Promise<void> {
  let ended: string | undefined;
  void running.ended.then((how) => {
    ended = how;
  });
  const up = await waitFor(async () => ended !== undefined || (await ask()), { timeoutMs: 10_000 });
  if (!up || ended !== undefined) {
    throw new Error(
      `${service.name} ${ended === undefined ? 'does not answer' : `ended (${ended})`}: ${logTail(service)}`,
    );
  }
}

export function birdConfig(router: Router): string {
  const neighbors = router.neighbors.map(
    (neighbor) => `protocol bgp '${neighbor.name}' from fabric {
  neighbor ${neighbor.address} as ${neighbor.asn};
}`,
  );
  return `# ${router.name}: made from topology.ts
router id ${router.routerId};
log stderr all;

protocol device { scan time 1; }
protocol direct { ipv4; }
protocol kernel {
  merge paths on;
  ipv4 { export where source = RTS_BGP; };
}

template bgp fabric {
  local as ${router.asn};
  # Keeps the routes of a peer that restarts, RFC 4724.
  graceful restart on;
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 2;
  ipv4 {
    import all;
    export all;
  };
}

${neighbors.join('\n')}
`;
}

export function frrConfig(router: Router): string {
  const neighbors = router.neighbors.flatMap((neighbor) => [
    ` neighbor ${neighbor.address} remote-as ${neighbor.asn}`,
    ` neighbor ${neighbor.address} description ${neighbor.name}`,
    ` neighbor ${neighbor.address} timers connect 1`,
    ` neighbor ${neighbor.address} advertisement-interval 0`,
  ]);
  return `! ${router.name}: made from topology.ts
router bgp ${router.asn}
 bgp router-id ${router.routerId}
 no bgp ebgp-requires-policy
${neighbors.join('\n')}
 address-family ipv4 unicast
  redistribute connected
 exit-address-family
`;
}

export const birdc = (router: Router, command: string): Promise<string> =>
  must(['birdc', '-s', birdSocket(router), ...command.split(' ')], { inside: router.name, timeoutMs: 5000 });

export const vtysh = (router: Router, command: string): Promise<string> =>
  must(['vtysh', '--vty_socket', directoryOf(router), '-c', command], { inside: router.name, timeoutMs: 5000 });

/** How to ask this router by hand. */
export const routerShell = (router: Router): string =>
  router.kind === 'bird' ? `birdc -s ${birdSocket(router)}` : `vtysh --vty_socket ${directoryOf(router)}`;

export interface LearnedRoute {
  readonly prefix: string;
  /** AS numbers, the neighbor's first. */
  readonly asPath: string;
}

/** The best routes that the router has learned by BGP. */
export async function learnedRoutes(router: Router): Promise<readonly LearnedRoute[]> {
  return router.kind === 'bird'
    ? parseBirdRoutes(await birdc(router, 'show route primary all where source = RTS_BGP'))
    : parseFrrRoutes(await vtysh(router, 'show bgp ipv4 unicast json'));
}

/** Lines as `10.50.0.0/26  unicast [node-a1 12:00:00.000] * (100) [AS64701i]`, then attributes as `BGP.as_path: 64701`. */
export function parseBirdRoutes(text: string): LearnedRoute[] {
  const routes: LearnedRoute[] = [];
  let prefix: string | undefined;
  for (const line of text.split('\n')) {
    prefix = line.match(/^(\d+\.\d+\.\d+\.\d+\/\d+)\s/)?.[1] ?? prefix;
    const asPath = line.match(/^\s*BGP\.as_path:\s*(.*)$/)?.[1];
    if (prefix !== undefined && asPath !== undefined) routes.push({ prefix, asPath: asPath.trim() });
  }
  return routes;
}

interface FrrTable {
  readonly routes: Readonly<Record<string, readonly { readonly bestpath?: boolean; readonly path: string }[]>>;
}

export function parseFrrRoutes(json: string): LearnedRoute[] {
  const { routes } = JSON.parse(json) as FrrTable;
  return Object.entries(routes).flatMap(([prefix, paths]) =>
    paths.filter((path) => path.bestpath && path.path !== '').map((path) => ({ prefix, asPath: path.path })),
  );
}

/** Names of the neighbors with an established session. */
export async function establishedNeighbors(router: Router): Promise<readonly string[]> {
  if (router.kind === 'bird') {
    const text = await birdc(router, 'show protocols');
    return router.neighbors
      .map((neighbor) => neighbor.name)
      .filter((name) => new RegExp(`^${name}\\s+BGP\\s.*Established`, 'm').test(text));
  }
  const summary = JSON.parse(await vtysh(router, 'show bgp ipv4 unicast summary json')) as {
    readonly peers?: Readonly<Record<string, { readonly state: string }>>;
  };
  return router.neighbors
    .filter((neighbor) => summary.peers?.[neighbor.address]?.state === 'Established')
    .map((neighbor) => neighbor.name);
}

function userIds(user: string): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith(`${user}:`));
  const fields = line?.split(':') ?? [];
  if (fields.length < 4) throw new Error(`the user ${user} does not exist: is the package ${user} installed?`);
  return { uid: Number(fields[2]), gid: Number(fields[3]) };
}
