// Files about policy: resources, objects of Kubernetes, and PolicyTests.

import { dirname, join } from 'node:path';
import { checkResource, formatFault, type Resource } from '../../datastore/model/index.ts';
import { isObject } from '../../datastore/model/schema/check.ts';
import { type PolicyTest, readPolicyTest } from '../../felix/explain/policy-test.ts';
import { convertManifest } from '../../kube/manifest.ts';
import { checkManifests } from '../checked.ts';
import { type Manifest, readManifests } from '../manifests.ts';
import { CommandError, type World } from '../world.ts';

export interface PolicyFiles {
  readonly resources: readonly Resource[];
  readonly tests: readonly PolicyTest[];
}

/** Reads files, and those that a PolicyTest in them names. */
export async function readPolicyFiles(
  filenames: readonly string[],
  recursive: boolean,
  world: World,
): Promise<PolicyFiles> {
  const manifests: Manifest[] = [];
  const tests: PolicyTest[] = [];
  for (const filename of filenames) {
    const found = await readManifests({ filenames: [filename], recursive, skipEmpty: true }, world);
    for (const manifest of found) {
      if (!isTest(manifest)) {
        manifests.push(manifest);
        continue;
      }
      const test = readTest(manifest);
      tests.push(test);
      const more = (test.files ?? []).map((file) => join(filename === '-' ? '.' : dirname(filename), file));
      const further = await readManifests({ filenames: more, recursive: true, skipEmpty: true }, world);
      manifests.push(...further.filter((one) => !isTest(one)));
    }
  }
  return { resources: readResources(manifests), tests };
}

const isTest = ({ value }: Manifest): boolean => isObject(value) && value['kind'] === 'PolicyTest';

function readTest({ value, where }: Manifest): PolicyTest {
  const result = readPolicyTest(value);
  if (result.kind === 'test') return result.test;
  throw new CommandError(
    [`${where}: PolicyTest`, ...result.faults.map((fault) => `  ${formatFault(fault)}`)].join('\n'),
  );
}

/** Resources, and objects of Kubernetes as the resources that stand for them. */
function readResources(manifests: readonly Manifest[]): readonly Resource[] {
  const own: Manifest[] = [];
  const converted: Resource[] = [];
  for (const manifest of manifests) {
    const result = convertManifest(manifest.value);
    if (!result) own.push(manifest);
    else if (result.kind === 'invalid') {
      throw new CommandError([manifest.where, ...result.faults.map((fault) => `  ${formatFault(fault)}`)].join('\n'));
    } else for (const draft of result.resources) converted.push(completed(draft, manifest.where));
  }
  return [...checkManifests(own, undefined).map(({ resource }) => resource), ...converted];
}

function completed(draft: unknown, where: string): Resource {
  const result = checkResource(draft);
  if (result.kind === 'valid') return result.resource;
  throw new CommandError([where, ...result.faults.map((fault) => `  ${formatFault(fault)}`)].join('\n'));
}
