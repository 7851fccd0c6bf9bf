// Writes a bbolt file in one go, from its first page to its last.
//
//     measure: entries ─► leaves ─► branches ─► page numbers        write: meta meta free-list, each tree, the root bucket
//
// A file that is built in one go needs no free pages and no splitting: entries come in order, leaves are filled, and the
// branches above share their children evenly. But the meta pages come first and point at the end, so all is measured
// before anything is written; the entries are asked for twice, and nothing is kept but the first key of each leaf.

import {
  BUCKET_BYTES,
  ELEMENT_BYTES,
  type Entry,
  encodeMetaPage,
  FLAGS,
  IS_BUCKET,
  MAX_ELEMENTS,
  PAGE_BYTES,
  PAGE_HEADER_BYTES,
  writePageHeader,
} from './format.ts';

export interface Bucket {
  readonly name: string;
  /** By ascending key, each key once, and the same each time. */
  readonly entries: () => Iterable<Entry>;
}

/** What one page, with those that overflow from it, will hold. */
interface Node {
  readonly page: number;
  readonly pages: number;
  readonly count: number;
  readonly bytes: number;
  readonly firstKey: Buffer;
}

interface Tree {
  readonly leaves: readonly Node[];
  /** From the leaves up. */
  readonly branches: readonly (readonly Branch[])[];
  readonly rootPage: number;
  readonly nextPage: number;
}

interface Branch extends Node {
  readonly children: readonly Node[];
}

const FREE_LIST_PAGE = 2;
/** Entries that are measured in one go. */
const STEP = 2000;
const EMPTY = Buffer.alloc(0);

/**
 * The file in pieces. A piece may be empty: measuring takes as long as writing, and whoever asks for the pieces has other
 * things to do in between.
 */
export function* boltFile(buckets: readonly Bucket[]): Generator<Buffer, void, undefined> {
  const trees: { readonly bucket: Bucket; readonly tree: Tree }[] = [];
  let page = FREE_LIST_PAGE + 1;
  for (const bucket of buckets) {
    const tree = yield* measure(bucket.entries(), page);
    trees.push({ bucket, tree });
    page = tree.nextPage;
  }
  const roots = trees
    .map(({ bucket, tree }): Entry => ({ key: Buffer.from(bucket.name, 'latin1'), value: bucketValue(tree.rootPage) }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  const root = yield* measure(roots, page);
  const meta = { rootPage: root.rootPage, freeListPage: FREE_LIST_PAGE, highWater: root.nextPage };
  yield encodeMetaPage(0, { ...meta, transaction: 0 });
  yield encodeMetaPage(1, { ...meta, transaction: 1 });
  const freeList = Buffer.alloc(PAGE_BYTES);
  writePageHeader(freeList, { id: FREE_LIST_PAGE, flags: FLAGS.freeList, count: 0, overflow: 0 });
  yield freeList;
  for (const { bucket, tree } of trees) yield* pagesOf(tree, bucket.entries(), 0);
  yield* pagesOf(root, roots, IS_BUCKET);
}

function bucketValue(rootPage: number): Buffer {
  const value = Buffer.alloc(BUCKET_BYTES);
  value.writeBigUInt64LE(BigInt(rootPage), 0);
  return value;
}

const pagesFor = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES);
const sizeOf = ({ key, value }: Entry): number => ELEMENT_BYTES + key.length + value.length;

/** Where the tree of these entries will be, when its first page has this number. */
function* measure(entries: Iterable<Entry>, firstPage: number): Generator<Buffer, Tree, undefined> {
  const leaves: Node[] = [];
  let page = firstPage;
  let [count, bytes, firstKey, seen] = [0, PAGE_HEADER_BYTES, EMPTY, 0];
  const close = (): void => {
    const pages = pagesFor(bytes);
    leaves.push({ page, pages, count, bytes, firstKey });
    page += pages;
    [count, bytes] = [0, PAGE_HEADER_BYTES];
  };
  for (const entry of entries) {
    const size = sizeOf(entry);
    if (count > 0 && (bytes + size > PAGE_BYTES || count === MAX_ELEMENTS)) close();
    // The key may lie in a buffer that is used again.
    if (count === 0) firstKey = Buffer.from(entry.key);
    count++;
    bytes += size;
    if (++seen % STEP === 0) yield EMPTY;
  }
  if (count > 0 || leaves.length === 0) close();
  return treeAbove(leaves, page);
}

function treeAbove(leaves: readonly Node[], firstPage: number): Tree {
  const branches: Branch[][] = [];
  let page = firstPage;
  let level: readonly Node[] = leaves;
  while (level.length > 1) {
    const above: Branch[] = [];
    for (const children of shared(level)) {
      const bytes = children.reduce((sum, { firstKey }) => sum + ELEMENT_BYTES + firstKey.length, PAGE_HEADER_BYTES);
      const pages = pagesFor(bytes);
      const firstKey = children[0]?.firstKey ?? EMPTY;
      above.push({ page, pages, count: children.length, bytes, firstKey, children });
      page += pages;
    }
    branches.push(above);
    level = above;
  }
  return { leaves, branches, rootPage: level[0]?.page ?? firstPage, nextPage: page };
}

/** The nodes in groups that fit a branch page each, all of about the same size: bbolt wants at least two in a group. */
function* shared(nodes: readonly Node[]): Generator<readonly Node[], void, undefined> {
  const longestKey = nodes.reduce((length, { firstKey }) => Math.max(length, firstKey.length), 0);
  const most = Math.max(2, Math.floor((PAGE_BYTES - PAGE_HEADER_BYTES) / (ELEMENT_BYTES + longestKey)));
  const groups = Math.ceil(nodes.length / most);
  for (let i = 0; i < groups; i++) {
    yield nodes.slice(Math.floor((nodes.length * i) / groups), Math.floor((nodes.length * (i + 1)) / groups));
  }
}

/** The pages of a measured tree, in the order of their numbers. */
function* pagesOf(tree: Tree, entries: Iterable<Entry>, flags: number): Generator<Buffer, void, undefined> {
  const rest = entries[Symbol.iterator]();
  for (const leaf of tree.leaves) {
    const page = newPage(leaf, FLAGS.leaf);
    let at = PAGE_HEADER_BYTES + leaf.count * ELEMENT_BYTES;
    for (let i = 0; i < leaf.count; i++) {
      const next = rest.next();
      if (next.done) throw new Error('there are fewer entries than when they were measured');
      const { key, value } = next.value;
      const element = PAGE_HEADER_BYTES + i * ELEMENT_BYTES;
      page.writeUInt32LE(flags, element);
      page.writeUInt32LE(at - element, element + 4);
      page.writeUInt32LE(key.length, element + 8);
      page.writeUInt32LE(value.length, element + 12);
      at += key.copy(page, at);
      at += value.copy(page, at);
    }
    if (at !== leaf.bytes) throw new Error('the entries have changed since they were measured');
    yield page;
  }
  for (const branch of tree.branches.flat()) yield branchPage(branch);
}

function branchPage(branch: Branch): Buffer {
  const page = newPage(branch, FLAGS.branch);
  let at = PAGE_HEADER_BYTES + branch.count * ELEMENT_BYTES;
  for (const [i, child] of branch.children.entries()) {
    const element = PAGE_HEADER_BYTES + i * ELEMENT_BYTES;
    page.writeUInt32LE(at - element, element);
    page.writeUInt32LE(child.firstKey.length, element + 4);
    page.writeBigUInt64LE(BigInt(child.page), element + 8);
    at += child.firstKey.copy(page, at);
  }
  return page;
}

function newPage({ page: id, pages, count }: Node, flags: number): Buffer {
  const page = Buffer.alloc(pages * PAGE_BYTES);
  writePageHeader(page, { id, flags, count, overflow: pages - 1 });
  return page;
}
