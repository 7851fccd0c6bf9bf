// A prefix read in pages of one revision, the next one on its way while the present one is worked on.

import type { KvEntry, KvStore, ListResult, Revision } from './kv.ts';

// For each request etcd counts the whole rest of the range (50 ms at 250,000 keys), so pages are large: 5,000 endpoints are
// 3 to 5 MB, and 50 requests read a quarter of a million.
const pageSize = 5000;

export interface PageOptions {
  readonly revision?: Revision | undefined;
  readonly keysOnly?: boolean;
  /** Entries in a page; fewer than usual for large values. */
  readonly pageSize?: number;
}

export interface Page {
  readonly entries: readonly KvEntry[];
  /** The same for every page. */
  readonly revision: Revision;
}

export async function* pagesOf(store: KvStore, prefix: string, options: PageOptions = {}): AsyncGenerator<Page> {
  let { revision } = options;
  const read = (after: string | undefined): Promise<ListResult> =>
    store.list(prefix, {
      limit: options.pageSize ?? pageSize,
      ...(options.keysOnly && { keysOnly: true }),
      ...(after !== undefined && { after }),
      ...(revision !== undefined && { revision }),
    });
  let coming: Promise<ListResult> | undefined = read(undefined);
  while (coming) {
    const page: ListResult = await coming;
    revision ??= page.revision;
    const last = page.entries.at(-1)?.key;
    coming = page.more && last !== undefined ? read(last) : undefined;
    // Its failure shows when it is awaited; a reader that stops before that does not care.
    coming?.catch(() => undefined);
    yield { entries: page.entries, revision };
  }
}
