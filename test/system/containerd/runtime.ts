// A containerd of our own: its own folders and socket, our plugin as its only network, inside a node's network namespace.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { runOrThrow } from '../../../linux/process.ts';
import { buildPauseImage } from './image.ts';

const pauseImage = 'registry.local/pause:1';
const cgroup = `twill-test-${process.pid}`;

export interface Sandbox {
  readonly id: string;
  readonly address: string;
  /** Path of its network namespace. */
  readonly netns: string;
}

type Call = (request: unknown, done: (error: ServiceError | null, reply: unknown) => void) => void;

export class ContainerRuntime {
  readonly #daemon: ChildProcess;
  readonly #client: { readonly close: () => void } & Readonly<Record<string, Call>>;

  private constructor(daemon: ChildProcess, socket: string) {
    this.#daemon = daemon;
    const definition = loadSync(fileURLToPath(new URL('./cri.proto', import.meta.url)), { keepCase: true });
    // biome-ignore lint/suspicious/noExplicitAny: what is generated from a .proto at run time has no types
    const { RuntimeService } = (loadPackageDefinition(definition) as any).runtime.v1;
    const options = { 'grpc.default_authority': 'localhost' };
    this.#client = new RuntimeService(`unix://${socket}`, credentials.createInsecure(), options);
  }

  /** `plugin` is the twill-cni program, `agentSocket` that of the node's agent. */
  static async start(folder: string, netns: string, plugin: string, agentSocket: string): Promise<ContainerRuntime> {
    const socket = join(folder, 'containerd.sock');
    const bin = join(folder, 'bin');
    for (const name of ['bin', 'conf', 'image']) mkdirSync(join(folder, name));
    copyFileSync(plugin, join(bin, 'twill-cni'));
    symlinkSync('/usr/lib/cni/loopback', join(bin, 'loopback'));
    const network = { cniVersion: '1.0.0', name: 'twill', plugins: [{ type: 'twill-cni', agentSocket }] };
    writeFileSync(join(folder, 'conf/10-twill.conflist'), JSON.stringify(network));
    writeFileSync(join(folder, 'config.toml'), configuration(folder, socket));
    // nsenter and not `ip netns exec`: that one hides the cgroups.
    const daemon = spawn(
      'nsenter',
      [`--net=${netns}`, 'containerd', '-c', join(folder, 'config.toml'), '--log-level', 'error'],
      { stdio: ['ignore', 'ignore', process.env['TWILL_TEST_LOG'] ? 'inherit' : 'ignore'] },
    );
    const runtime = new ContainerRuntime(daemon, socket);
    try {
      await runtime.#untilReady();
      const image = buildPauseImage(join(folder, 'image'), pauseImage);
      await runOrThrow('ctr', ['-a', socket, '-n', 'k8s.io', 'images', 'import', image]);
      return runtime;
    } catch (error) {
      await runtime.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#client.close();
    if (this.#daemon.exitCode === null) {
      this.#daemon.kill('SIGTERM');
      await once(this.#daemon, 'exit');
    }
    removeCgroups();
  }

  async runPod(namespace: string, name: string): Promise<Sandbox> {
    const config = {
      metadata: { name, namespace, uid: `${namespace}-${name}`, attempt: 0 },
      hostname: name,
      linux: { cgroup_parent: `/${cgroup}` },
    };
    const { pod_sandbox_id: id } = await this.#call<{ pod_sandbox_id: string }>('RunPodSandbox', { config });
    const reply = await this.#call<{ status: { network: { ip: string } }; info: Record<string, string> }>(
      'PodSandboxStatus',
      { pod_sandbox_id: id, verbose: true },
    );
    const { pid }: { pid: number } = JSON.parse(reply.info['info'] ?? '{}');
    return { id, address: reply.status.network.ip, netns: `/proc/${pid}/ns/net` };
  }

  async removePod({ id }: Sandbox): Promise<void> {
    await this.#call('StopPodSandbox', { pod_sandbox_id: id });
    await this.#call('RemovePodSandbox', { pod_sandbox_id: id });
  }

  async #untilReady(): Promise<void> {
    const deadline = performance.now() + 15_000;
    for (;;) {
      let problem: string;
      try {
        const { status } = await this.#call<{
          status: { conditions: { type: string; status: boolean; message: string }[] };
        }>('Status', {});
        const bad = status.conditions.filter((condition) => !condition.status);
        if (bad.length === 0) return;
        problem = JSON.stringify(bad);
      } catch (error) {
        problem = String(error);
      }
      if (performance.now() > deadline) throw new Error(`containerd does not get ready: ${problem}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #call<Reply>(method: string, request: unknown): Promise<Reply> {
    return new Promise((resolve, reject) => {
      // The reply is what the .proto says.
      this.#client[method]?.(request, (error, reply) => (error ? reject(error) : resolve(reply as Reply)));
    });
  }
}

/** runc leaves the empty parent: one in cgroup v2, one for each controller in v1. */
function removeCgroups(): void {
  const root = '/sys/fs/cgroup';
  for (const parent of [root, ...readdirSync(root).map((name) => join(root, name))]) {
    const folder = join(parent, cgroup);
    if (existsSync(folder)) rmdirSync(folder);
  }
}

const configuration = (folder: string, socket: string): string => `
version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt",
]
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${folder}/bin"
    conf_dir = "${folder}/conf"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`;
