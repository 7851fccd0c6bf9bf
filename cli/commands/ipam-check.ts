// ipam check and release: what is assigned but not used, used but not assigned, or contradicts itself; and giving back.

import { writeFileSync } from 'node:fs';
import { isObject } from '../../datastore/model/schema/check.ts';
import type { Resources } from '../../datastore/resources.ts';
import { prefixOfBlock } from '../../ipam/block.ts';
import { type IpamProblem, ipamProblems } from '../../ipam/usage.ts';
import { formatAddress, parseAddress } from '../../net/address.ts';
import { addressAt } from '../../net/prefix.ts';
import { version } from '../../runtime/version.ts';
import { type IpamState, readIpamState, releaseAddress } from '../ipam-data.ts';
import { CommandError, type World } from '../world.ts';
import { type GlobalOptions, withResources } from './context.ts';

export interface IpamCheckOptions extends GlobalOptions {
  readonly showAllIps?: boolean;
  readonly showProblemIps?: boolean;
  readonly output?: string;
}

/** calicoctl's report file, as far as `ipam release --from-report` uses it. */
interface Report {
  readonly version: string;
  readonly clusterGUID: string;
  readonly clusterInfoRevision: string;
  readonly allocations: Readonly<Record<string, readonly ReportedAddress[]>>;
  readonly leakedHandles: readonly { readonly id: string; readonly revision: string }[];
}

interface ReportedAddress {
  readonly ip: string;
  readonly handle: string | undefined;
  readonly sequenceNumber: string | undefined;
  readonly node: string | undefined;
  readonly inUse: boolean;
}

export async function runIpamCheck(options: IpamCheckOptions, world: World): Promise<void> {
  await withResources(options, world, async (resources) => {
    world.out('Checking IPAM for inconsistencies...\n\n');
    const state = await readIpamState(resources);
    const problems = ipamProblems(state);
    const addresses = reportedAddresses(state);
    world.out(summary(state, addresses, problems));
    if (options.showAllIps) {
      world.out('Assigned addresses:\n');
      for (const { ip, handle, node, inUse } of addresses) {
        world.out(`  ${ip}  ${inUse ? 'in use' : 'not in use'}  node ${node ?? '?'}  handle ${handle ?? 'none'}\n`);
      }
    }
    if (options.showAllIps || options.showProblemIps) {
      for (const problem of problems) world.out(`  ${problem.subject} ${problem.message}\n`);
    }
    world.out(`Check complete; found ${problems.length} problems.\n`);
    if (options.output !== undefined) {
      writeFileSync(
        options.output,
        `${JSON.stringify(await reportOf(resources, state, addresses, problems), undefined, 2)}\n`,
      );
      world.out(
        `The report is in ${options.output}; twillctl ipam release --from-report gives back what it lists as not in use.\n`,
      );
    }
  });
}

function summary(state: IpamState, addresses: readonly ReportedAddress[], problems: readonly IpamProblem[]): string {
  const counts = new Map<string, number>();
  for (const problem of problems) counts.set(problem.kind, (counts.get(problem.kind) ?? 0) + 1);
  const lines = [
    `Read ${state.blocks.length} blocks, ${state.affinities.length} affinities, ${state.handles.length} handles, ` +
      `${state.nodes.size} nodes and ${state.endpoints.size} addresses of endpoints, all as of revision ${state.revision}.`,
    `Addresses assigned: ${addresses.length}, of which in use: ${addresses.filter(({ inUse }) => inUse).length}.`,
    ...[...counts].map(([kind, count]) => `  ${kind.replaceAll('-', ' ')}: ${count}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** Tunnel and load-balancer addresses have no endpoint and count as in use while their node exists. */
function reportedAddresses(state: IpamState): readonly ReportedAddress[] {
  return state.blocks.flatMap((block) => {
    const prefix = prefixOfBlock(block);
    return block.allocations.flatMap((index, ordinal): ReportedAddress[] => {
      const attributes = index === null ? undefined : block.attributes[index];
      if (!attributes || attributes.releasedAt !== undefined) return [];
      const address = addressAt(prefix, ordinal);
      const { node, pod } = attributes.secondary ?? {};
      const inUse = pod === undefined ? node === undefined || state.nodes.has(node) : state.endpoints.has(address);
      return [
        {
          ip: formatAddress(address),
          handle: attributes.handle_id ?? undefined,
          sequenceNumber: block.sequenceNumberForAllocation[String(ordinal)]?.toString(),
          node,
          inUse,
        },
      ];
    });
  });
}

async function reportOf(
  resources: Resources,
  state: IpamState,
  addresses: readonly ReportedAddress[],
  problems: readonly IpamProblem[],
): Promise<Report> {
  const information = await resources.find('ClusterInformation', 'default');
  const wrong = new Set(problems.filter(({ kind }) => kind === 'handle-miscounts').map(({ subject }) => subject));
  return {
    version,
    clusterGUID: information?.spec.clusterGUID ?? '',
    clusterInfoRevision: information?.metadata.resourceVersion ?? '',
    allocations: Object.fromEntries(addresses.map((address) => [address.ip, [address]])),
    leakedHandles: state.storedHandles
      .filter(({ id }) => wrong.has(id))
      .map(({ id, revision }) => ({ id, revision: String(revision) })),
  };
}

export interface IpamReleaseOptions extends GlobalOptions {
  readonly ip?: string;
  readonly fromReport?: readonly string[];
  readonly force?: boolean;
}

export async function runIpamRelease(options: IpamReleaseOptions, world: World): Promise<void> {
  await withResources(options, world, async (resources) => {
    if (options.fromReport) await releaseFromReports(options.fromReport, options.force === true, resources, world);
    else if (options.ip !== undefined) await releaseOne(options.ip, resources, world);
    else throw new CommandError('give --ip ADDRESS or --from-report FILE');
  });
}

async function releaseOne(text: string, resources: Resources, world: World): Promise<void> {
  const address = parseAddress(text);
  if (address === undefined) throw new CommandError(`invalid IP address: ${text}`);
  if (!(await releaseAddress(resources, address, { nowMs: Date.now() }))) {
    throw new CommandError(`IP address ${text} is not assigned`);
  }
  world.out(`Successfully released IP address ${text}\n`);
}

async function releaseFromReports(
  files: readonly string[],
  force: boolean,
  resources: Resources,
  world: World,
): Promise<void> {
  const information = await resources.find('ClusterInformation', 'default');
  const reports = files.map((file) => readReport(file, world));
  for (const [i, report] of reports.entries()) {
    if (report.clusterGUID !== information?.spec.clusterGUID) {
      throw new CommandError(
        `cluster does not match the provided report (${files[i]}): mismatched cluster GUID. Refusing to release`,
      );
    }
  }
  if (information?.spec.datastoreReady !== false) {
    if (!force) throw new CommandError('data store is not locked. Either lock the data store, or re-run with --force');
    world.out('WARNING: Data store is not locked. Ignoring due to --force option\n');
  }
  const leaked = leakedInAll(reports);
  if (leaked.length === 0) {
    world.out("Report didn't contain any leaked IPs to clean up.\n");
    return;
  }
  world.out(`Releasing ${leaked.length} old IPs...\n`);
  let released = 0;
  for (const { ip, sequenceNumber } of leaked) {
    const address = parseAddress(ip);
    if (address === undefined) continue;
    const expected = sequenceNumber === undefined ? {} : { sequenceNumber: BigInt(sequenceNumber) };
    if (await releaseAddress(resources, address, { nowMs: Date.now(), ...expected })) released++;
  }
  world.out(`Released ${released} IPs successfully\n`);
  if (released < leaked.length) {
    world.out(`${leaked.length - released} addresses marked as leaked in the report had already been cleaned up.\n`);
  }
  world.out('You may now unlock the data store.\n');
}

/** Only what every report calls leaked: an address in the middle of an assignment is leaked in one at most. */
function leakedInAll(reports: readonly Report[]): readonly ReportedAddress[] {
  const leakedIn = (report: Report) =>
    new Map(
      Object.values(report.allocations).flatMap((found) =>
        found.filter(({ inUse }) => !inUse).map((address) => [address.ip, address]),
      ),
    );
  const [first, ...others] = reports.map(leakedIn);
  return [...(first?.values() ?? [])].filter(({ ip, sequenceNumber }) =>
    others.every((other) => other.get(ip)?.sequenceNumber === sequenceNumber && other.has(ip)),
  );
}

function readReport(file: string, world: World): Report {
  const text = world.readFile(file);
  if (text === undefined) throw new CommandError(`open ${file}: no such file or directory`);
  const value = parseJson(text);
  if (!isObject(value) || !isObject(value['allocations']))
    throw new CommandError(`${file} is not a report of ipam check`);
  const allocations = Object.entries(value['allocations']).map(
    ([ip, found]) =>
      [ip, (Array.isArray(found) ? found : []).filter(isObject).map((entry) => reported(ip, entry))] as const,
  );
  return {
    version: String(value['version']),
    clusterGUID: String(value['clusterGUID']),
    clusterInfoRevision: String(value['clusterInfoRevision']),
    allocations: Object.fromEntries(allocations),
    leakedHandles: [],
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const reported = (ip: string, entry: Readonly<Record<string, unknown>>): ReportedAddress => ({
  ip,
  handle: typeof entry['handle'] === 'string' ? entry['handle'] : undefined,
  sequenceNumber: entry['sequenceNumber'] === undefined ? undefined : String(entry['sequenceNumber']),
  node: undefined,
  // Anything but a clear "not in use" is in use.
  inUse: entry['inUse'] !== false,
});
