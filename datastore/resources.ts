// Typed access to resources over the key-value store: get, list, create, update, delete.
//
//   draft → checkResourceOf (defaults, faults) → admission (other resources) → one compare-and-swap transaction
//
// Every write is a compare on the key's mod revision, so a change that somebody else made is never overwritten unseen.
// When the outcome of a write is unknown, it is found out by reading back.

import { randomUUID } from 'node:crypto';
import { admit, admitDeletion } from './admission.ts';
import { authorKey } from './authors.ts';
import { builtIn, isAsBuiltIn, withBuiltIn } from './built-in.ts';
import {
  type Compare,
  type KvEntry,
  KvError,
  type KvStore,
  type Operation,
  type Revision,
  type Transaction,
} from './kv.ts';
import { affinitiesPrefix, blockAffinityFrom, ipamConfigurationInForce, mirrorsOf } from './mirrors.ts';
import { changedImmutableFields } from './model/immutable.ts';
import {
  type CheckResult,
  checkResourceOf,
  type DraftOf,
  declarationOf,
  decodeResource,
  encodeResource,
  type Fault,
  idOf,
  isOfKind,
  type Kind,
  keyOf,
  type Metadata,
  parseResourceKey,
  type Resource,
  type ResourceId,
  type ResourceOf,
  resourceKey,
  resourcePrefix,
} from './model/index.ts';
import { pagesOf } from './pages.ts';
import {
  AlreadyExistsError,
  ConflictError,
  ForbiddenError,
  InvalidError,
  idFor,
  NotFoundError,
} from './resource-errors.ts';

export * from './resource-errors.ts';

export interface InvalidEntry {
  readonly id: ResourceId;
  readonly faults: readonly Fault[];
  /** The stored JSON as it is. */
  readonly given: unknown;
}

export interface ResourceList<K extends Kind> {
  /** By namespace and name. */
  readonly resources: readonly ResourceOf<K>[];
  /** Stored, but not readable as this kind. */
  readonly invalid: readonly InvalidEntry[];
  /** Watch from the revision after this one. */
  readonly revision: Revision;
}

/** A write that has been checked, for use inside a larger transaction. */
export interface PreparedWrite<K extends Kind> {
  /** Without resourceVersion: that follows from the transaction. */
  readonly resource: ResourceOf<K>;
  readonly compare: Compare;
  readonly operation: Operation;
}

export interface ResourcesOptions {
  readonly now?: () => Date;
  readonly newUid?: () => string;
  /** Who writes, in words for people; kept beside the resource, for those who meet a conflict. */
  readonly author?: string;
}

const attempts = 5;

export class Resources {
  readonly store: KvStore;
  private readonly now: () => Date;
  private readonly newUid: () => string;
  private readonly author: string | undefined;

  constructor(store: KvStore, options: ResourcesOptions = {}) {
    this.store = store;
    this.now = options.now ?? (() => new Date());
    this.newUid = options.newUid ?? randomUUID;
    this.author = options.author;
  }

  /** Throws NotFoundError, or InvalidError when what is stored cannot be read as this kind. */
  async get<K extends Kind>(kind: K, name: string, namespace?: string): Promise<ResourceOf<K>> {
    const found = await this.find(kind, name, namespace);
    if (!found) throw new NotFoundError(idFor(kind, name, namespace));
    return found;
  }

  /** As get, but undefined when the resource does not exist. */
  async find<K extends Kind>(kind: K, name: string, namespace?: string): Promise<ResourceOf<K> | undefined> {
    if (kind === 'BlockAffinity') {
      return (await this.list(kind)).resources.find(({ metadata }) => metadata.name === name);
    }
    const ours = builtIn(kind, name);
    if (ours) return ours;
    const id = idFor(kind, name, namespace);
    const entry = await this.store.get(resourceKey(id));
    const found = entry && resourceIn(decodeResource(kind, entry), id);
    if (kind !== 'IPAMConfiguration' || name !== 'default') return found;
    const stored = asOf('IPAMConfiguration', found);
    return asOf(kind, await ipamConfigurationInForce(this.store, stored));
  }

  /** All resources of a kind (and namespace) at one revision. */
  async list<K extends Kind>(kind: K, namespace?: string): Promise<ResourceList<K>> {
    const resources: ResourceOf<K>[] = [];
    const invalid: InvalidEntry[] = [];
    let revision = 0;
    for await (const page of this.pages(kind, namespace)) {
      for (const resource of page.resources) resources.push(resource);
      for (const entry of page.invalid) invalid.push(entry);
      revision = page.revision;
    }
    return { resources, invalid, revision };
  }

  /** The same page by page, in bounded memory, all of one revision: `at`, or that of the first page. */
  async *pages<K extends Kind>(kind: K, namespace?: string, at?: Revision): AsyncGenerator<ResourceList<K>> {
    yield* withBuiltIn(kind, this.#storedPages(kind, namespace, at));
  }

  async *#storedPages<K extends Kind>(
    kind: K,
    namespace: string | undefined,
    at: Revision | undefined,
  ): AsyncGenerator<ResourceList<K>> {
    const prefix = kind === 'BlockAffinity' ? affinitiesPrefix : resourcePrefix(kind, namespace);
    for await (const { entries, revision } of pagesOf(this.store, prefix, { revision: at })) {
      if (kind !== 'BlockAffinity') yield { ...decodeAll(kind, entries), revision };
      else
        yield {
          resources: entries.flatMap((entry) => asOf(kind, blockAffinityFrom(entry)) ?? []),
          invalid: [],
          revision,
        };
    }
  }

  /** Throws AlreadyExistsError or InvalidError. */
  async create<K extends Kind>(draft: DraftOf<K>): Promise<ResourceOf<K>> {
    if (builtIn(draft.kind, draft.metadata.name)) throw new AlreadyExistsError(idFor(draft.kind, draft.metadata.name));
    const prepared = this.prepareCreate<K>(draft);
    await this.admit(prepared.resource, undefined);
    return this.write(prepared, undefined);
  }

  /** Checks a draft and gives it identity; the caller puts compare and operation into its own transaction. */
  prepareCreate<K extends Kind>(draft: DraftOf<K>): PreparedWrite<K> {
    const { resourceVersion: _, ...given } = draft.metadata;
    const metadata: Metadata = { ...given, uid: this.newUid(), creationTimestamp: timestamp(this.now()) };
    const resource = complete<K>(draft, metadata);
    return writing(resource, { key: keyOf(resource), target: 'version', is: 0 });
  }

  /** The deletion of a resource as it was read, for the caller's own transaction. */
  prepareDelete(resource: Resource): { readonly compare: Compare; readonly operation: Operation } {
    const key = keyOf(resource);
    const is = Number(resource.metadata.resourceVersion);
    return { compare: { key, target: 'modRevision', is }, operation: { kind: 'delete', key } };
  }

  /**
   * Replaces a resource. With `metadata.resourceVersion` only when that is still the current one, else whatever is
   * there. uid and creationTimestamp stay. Throws NotFoundError, ConflictError or InvalidError.
   */
  async update<K extends Kind>(draft: DraftOf<K>): Promise<ResourceOf<K>> {
    const { resourceVersion, uid } = draft.metadata;
    const id = idFor(draft.kind, draft.metadata.name, draft.metadata.namespace);
    const ours = builtIn<K>(draft.kind as K, draft.metadata.name);
    if (ours) {
      if (isAsBuiltIn(draft, ours)) return ours;
      throw new ForbiddenError(id, 'is built in and cannot be changed');
    }
    for (let attempt = 1; ; attempt++) {
      const entry = await this.store.get(resourceKey(id));
      if (!entry) throw resourceVersion === undefined ? new NotFoundError(id) : new ConflictError(id, undefined);
      const current = decodeResource<K>(draft.kind as K, entry);
      const stored = current.kind === 'valid' ? current.resource : undefined;
      if (resourceVersion !== undefined && resourceVersion !== String(entry.modRevision)) {
        throw new ConflictError(id, stored ?? entry.value);
      }
      if (uid !== undefined && stored?.metadata.uid !== undefined && uid !== stored.metadata.uid) {
        throw new ConflictError(id, stored);
      }
      try {
        return await this.write(await this.prepareUpdate(draft, entry, stored), entry);
      } catch (error) {
        // Without a wanted version, somebody else's change in between is no reason to give up.
        if (!(error instanceof ConflictError) || resourceVersion !== undefined || attempt === attempts) throw error;
      }
    }
  }

  /** Creates the resource, or replaces what is there. */
  async apply<K extends Kind>(draft: DraftOf<K>): Promise<ResourceOf<K>> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.update<K>(draft);
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
      }
      try {
        return await this.create<K>(draft);
      } catch (error) {
        if (!(error instanceof AlreadyExistsError) || attempt === attempts) throw error;
      }
    }
  }

  /** Throws NotFoundError, ForbiddenError, or ConflictError when `resourceVersion` is no longer the current one. */
  async delete<K extends Kind>(kind: K, name: string, namespace?: string, resourceVersion?: string): Promise<void> {
    const id = idFor(kind, name, namespace);
    if (declarationOf(kind).protectedNames.includes(name))
      throw new ForbiddenError(id, 'is built in and cannot be deleted');
    const refusal = await admitDeletion(id, this);
    if (refusal !== undefined) throw new ForbiddenError(id, refusal);
    const key = resourceKey(id);
    for (let attempt = 1; ; attempt++) {
      const entry = await this.store.get(key);
      // An earlier attempt of ours may be what deleted it.
      if (!entry && attempt > 1) return;
      if (!entry) throw new NotFoundError(id);
      if (resourceVersion !== undefined && String(entry.modRevision) !== resourceVersion)
        throw new ConflictError(id, entry.value);
      const transaction: Transaction = {
        compare: [{ key, target: 'modRevision', is: entry.modRevision }],
        then: [
          { kind: 'delete', key },
          ...(this.author === undefined ? [] : [{ kind: 'delete', key: authorKey(key) } as const]),
        ],
      };
      try {
        if ((await this.store.transact(transaction)).succeeded) return;
        if (attempt === attempts) throw new ConflictError(id, entry.value);
      } catch (error) {
        if (!isUnknownOutcome(error) || attempt === attempts) throw error;
      }
    }
  }

  private async prepareUpdate<K extends Kind>(
    draft: DraftOf<K>,
    entry: KvEntry,
    stored: ResourceOf<K> | undefined,
  ): Promise<PreparedWrite<K>> {
    const { resourceVersion: _, ...given } = draft.metadata;
    const metadata: Metadata = {
      ...given,
      uid: stored?.metadata.uid ?? given.uid ?? this.newUid(),
      creationTimestamp: stored?.metadata.creationTimestamp ?? given.creationTimestamp ?? timestamp(this.now()),
    };
    const resource = complete<K>(draft, metadata);
    const faults = stored ? changedImmutableFields(stored, resource) : [];
    if (faults.length > 0) throw new InvalidError(idOf(resource), faults);
    await this.admit(resource, stored);
    return writing(resource, { key: entry.key, target: 'modRevision', is: entry.modRevision });
  }

  private async admit<K extends Kind>(resource: ResourceOf<K>, previous: ResourceOf<K> | undefined): Promise<void> {
    const faults = await admit(resource, previous, this);
    if (faults.length > 0) throw new InvalidError(idOf(resource), faults);
  }

  private signature(key: string): readonly Operation[] {
    if (this.author === undefined) return [];
    const value = JSON.stringify({ by: this.author, at: timestamp(this.now()) });
    return [{ kind: 'put', key: authorKey(key), value }];
  }

  /** `before` is the entry that the write replaces. */
  private async write<K extends Kind>(prepared: PreparedWrite<K>, before: KvEntry | undefined): Promise<ResourceOf<K>> {
    const { resource, compare, operation } = prepared;
    const id = idOf(resource);
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await this.store.transact({
          compare: [compare],
          then: [operation, ...mirrorsOf(resource), ...this.signature(compare.key)],
          otherwise: [{ kind: 'get', key: compare.key }],
        });
        if (result.succeeded) return versioned(resource, result.revision);
        const now = result.entries[0];
        // A first attempt of unknown outcome did happen after all.
        if (attempt > 1 && operation.kind === 'put' && now?.value === operation.value)
          return versioned(resource, now.modRevision);
        if (!before && now) throw new AlreadyExistsError(id);
        throw new ConflictError(id, now?.value);
      } catch (error) {
        if (!isUnknownOutcome(error) || attempt === attempts) throw error;
      }
    }
  }
}

const isUnknownOutcome = (error: unknown): boolean => error instanceof KvError && error.code === 'unknown-outcome';

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
const timestamp = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`;

const versioned = <K extends Kind>(resource: ResourceOf<K>, revision: Revision): ResourceOf<K> => ({
  ...resource,
  metadata: { ...resource.metadata, resourceVersion: String(revision) },
});

const tierLabel = 'projectcalico.org/tier';

const annotatedKinds: ReadonlySet<Kind> = new Set([
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
]);

/** Written by the datastore's clients into policies; of no interest to people. */
export const nameAnnotation = 'projectcalico.org/metadata';

/** The checked resource with defaults and the labels that the system keeps; throws InvalidError. */
function complete<K extends Kind>(draft: DraftOf<K>, metadata: Metadata): ResourceOf<K> {
  const namespaced = declarationOf(draft.kind).namespaced;
  const namespace = namespaced ? { namespace: metadata.namespace ?? 'default' } : {};
  const complete = { ...withPolicyMetadata(draft, metadata), ...namespace };
  const checked = checkResourceOf<K>(draft.kind as K, { ...draft, metadata: complete });
  if (checked.kind === 'invalid')
    throw new InvalidError(idFor(draft.kind, metadata.name, metadata.namespace), checked.faults);
  return checked.resource;
}

/**
 * What Calico keeps in the metadata of policies: their tier as a label, by which it finds the policies of a tier and takes
 * those without it for the default tier's; their name once more in an annotation. The check after it puts all in order.
 */
function withPolicyMetadata<K extends Kind>({ kind, spec }: DraftOf<K>, metadata: Metadata): Metadata {
  const tier = spec !== undefined && 'tier' in spec ? spec.tier : undefined;
  const labels = typeof tier === 'string' && tier !== '' && tier !== 'default' && { [tierLabel]: tier };
  const annotations = annotatedKinds.has(kind) && { [nameAnnotation]: JSON.stringify({ name: metadata.name }) };
  return {
    ...metadata,
    ...(labels && { labels: { ...metadata.labels, ...labels } }),
    ...(annotations && { annotations: { ...metadata.annotations, ...annotations } }),
  };
}

const writing = <K extends Kind>(resource: ResourceOf<K>, compare: Compare): PreparedWrite<K> => ({
  resource,
  compare,
  operation: { kind: 'put', key: compare.key, value: encodeResource(resource) },
});

/** The same resource, when it is of this kind. */
const asOf = <K extends Kind>(kind: K, resource: Resource | undefined): ResourceOf<K> | undefined =>
  resource && isOfKind(kind, resource) ? resource : undefined;

function resourceIn<K extends Kind>(decoded: CheckResult<ResourceOf<K>>, id: ResourceId): ResourceOf<K> {
  if (decoded.kind === 'invalid') throw new InvalidError(id, decoded.faults);
  return decoded.resource;
}

function decodeAll<K extends Kind>(kind: K, entries: readonly KvEntry[]): Omit<ResourceList<K>, 'revision'> {
  const resources: ResourceOf<K>[] = [];
  const invalid: InvalidEntry[] = [];
  for (const entry of entries) {
    const id = parseResourceKey(entry.key);
    if (!id) continue;
    const decoded = decodeResource(kind, entry);
    if (decoded.kind === 'valid') resources.push(decoded.resource);
    else invalid.push({ id, faults: decoded.faults, given: decoded.given });
  }
  return { resources, invalid };
}
