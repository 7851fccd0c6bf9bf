// Real routers for interoperation tests: two namespaces joined by a link, ours on one side, a daemon on the other.
//
//     tw-bgp2-…-us  10.77.0.1/24 fd77::1/64  e0 ═══ e0  10.77.0.2/24 fd77::2/64  tw-bgp2-…-them

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createNetns, deleteNetns, netnsPath } from '../../../linux/netns.ts';

export const ourAddress = '10.77.0.1';
export const theirAddress = '10.77.0.2';

export class Bench {
  readonly us: string;
  readonly them: string;
  readonly directory: string;
  readonly #children: ChildProcess[] = [];

  constructor(name: string) {
    this.us = `tw-bgp2-${name}-${process.pid}-us`;
    this.them = `tw-bgp2-${name}-${process.pid}-them`;
    this.directory = `/tmp/twill-bgp2/${name}-${process.pid}`;
    mkdirSync(this.directory, { recursive: true });
    createNetns(this.us);
    createNetns(this.them);
    this.ip(this.us, 'link', 'add', 'e0', 'type', 'veth', 'peer', 'name', 'e0', 'netns', this.them);
    for (const [netns, host] of [
      [this.us, 1],
      [this.them, 2],
    ] as const) {
      this.ip(netns, 'link', 'set', 'lo', 'up');
      this.ip(netns, 'link', 'set', 'e0', 'up');
      this.ip(netns, 'addr', 'add', `10.77.0.${host}/24`, 'dev', 'e0');
      this.ip(netns, 'addr', 'add', `fd77::${host}/64`, 'dev', 'e0', 'nodad');
    }
  }

  get netns(): string {
    return netnsPath(this.us);
  }

  ip(netns: string, ...words: string[]): string {
    return execFileSync('ip', ['-n', netns, ...words], { encoding: 'utf8' });
  }

  /** Runs a program on the router's side and returns what it printed. */
  run(...command: string[]): string {
    return execFileSync('nsenter', [`--net=${netnsPath(this.them)}`, '--', ...command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Starts a daemon on the router's side; its output goes to a file in the bench's directory. */
  start(name: string, ...command: readonly string[]): ChildProcess {
    return this.startIn(netnsPath(this.them), name, ...command);
  }

  /** The same in another namespace. */
  startIn(netns: string, name: string, ...command: readonly string[]): ChildProcess {
    // The daemon writes by itself: what it says at its end may come when the directory is gone.
    const log = openSync(join(this.directory, `${name}.log`), 'w');
    const child = spawn('nsenter', [`--net=${netns}`, '--', ...command], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#children.push(child);
    return child;
  }

  file(name: string, text: string, owner?: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, text, { mode: 0o640 });
    if (owner) {
      const { uid, gid } = userIds(owner);
      chownSync(path, uid, gid);
      chownSync(this.directory, uid, gid);
    }
    return path;
  }

  logOf(name: string): string {
    const path = join(this.directory, `${name}.log`);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** @param first - it gets the processor before others, as if it had one of its own: {@link withOwnProcessor}. */
  async startBird(config: string, first = false): Promise<ChildProcess> {
    const path = this.file('bird.conf', `log stderr all;\nprotocol device { scan time 1; }\n${config}`);
    const child = this.start(
      'bird',
      ...(first ? withOwnProcessor : []),
      'bird',
      '-f',
      '-c',
      path,
      '-s',
      join(this.directory, 'bird.ctl'),
      '-P',
      join(this.directory, 'bird.pid'),
    );
    await until(
      () => hasEnded(child) || /up and running/.test(quietly(() => this.birdc('show', 'status'))),
      () => this.logOf('bird'),
    );
    assert(!hasEnded(child), this.logOf('bird'));
    return child;
  }

  birdc(...words: string[]): string {
    return this.run('birdc', '-s', join(this.directory, 'bird.ctl'), ...words);
  }

  /** bgpd alone, or with the other daemons named, zebra first. */
  async startFrr(config: string, daemons: readonly string[] = ['bgpd']): Promise<void> {
    for (const daemon of daemons) {
      const path = this.file(`${daemon}.conf`, daemon === 'bgpd' ? config : '', 'frr');
      this.start(
        daemon,
        ...(daemon === 'bfdd' ? withOwnProcessor : []),
        `/usr/lib/frr/${daemon}`,
        ...['--config_file', path, '--pid_file', join(this.directory, `${daemon}.pid`), '--vty_port', '0'],
        ...['--vty_socket', this.directory, '--socket', join(this.directory, 'zserv.api'), '--log', 'stdout'],
        ...(daemon === 'bfdd' && hasOption('/usr/lib/frr/bfdd', '--bfdctl')
          ? ['--bfdctl', join(this.directory, 'bfdd.sock')]
          : []),
      );
      await until(
        () => quietly(() => this.vtysh('show version', daemon)) !== '',
        () => this.logOf(daemon),
      );
    }
  }

  vtysh(command: string, daemon = 'bgpd'): string {
    return this.run('vtysh', '--vty_socket', this.directory, '-d', daemon, '-c', command);
  }

  /** Tells each change of our IPv4 routes as `ip monitor` does. */
  monitorRoutes(onLine: (line: string) => void): { readonly ready: boolean; stop(): Promise<void> } {
    const child = spawn('ip', ['-n', this.us, '-4', '-o', 'monitor', 'route'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    let ready = false;
    const probe = '198.18.255.255';
    child.stdout?.on('data', (bytes: Buffer) => {
      const lines = bytes
        .toString()
        .split('\n')
        .filter((line) => line.trim() !== '');
      ready ||= lines.some((line) => line.includes(probe));
      for (const line of lines) if (!line.includes(probe)) onLine(line);
    });
    const timer = setInterval(() => {
      if (ready) clearInterval(timer);
      else quietly(() => this.ip(this.us, 'route', 'replace', 'blackhole', probe));
    }, 20);
    return {
      get ready() {
        return ready;
      },
      stop: async () => {
        clearInterval(timer);
        quietly(() => this.ip(this.us, 'route', 'del', probe));
        await this.stop(child);
      },
    };
  }

  async stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    // nsenter has become the daemon by exec, so this is its process.
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map((child) => this.stop(child, 'SIGKILL')));
    deleteNetns(this.us);
    deleteNetns(this.them);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A peer whose BFD waits for the processor takes its own delay for our silence. */
const withOwnProcessor = ['chrt', '--rr', '1'] as const;

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

export async function until(
  condition: () => boolean,
  about: () => string = () => '',
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    assert(Date.now() < deadline, `not within ${timeoutMs} ms: ${condition}\n${about()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What a program says, nothing when it fails: it may not be up yet. */
export function quietly(run: () => string): string {
  try {
    return run();
  } catch {
    return '';
  }
}

/** FRR 10 has no --bfdctl any more, and FRR 8 would put its socket where that of the system is. */
const hasOption = (program: string, option: string): boolean =>
  execFileSync(program, ['--help'], { encoding: 'utf8' }).includes(option);

function userIds(user: string): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${user}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  assert(uid && gid, `the user ${user} does not exist: is its package installed?`);
  return { uid: Number(uid), gid: Number(gid) };
}
