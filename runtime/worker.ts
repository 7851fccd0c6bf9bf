// Worker threads that start from the sources and from dist/bin alike.
//
// Name the worker's file by `new URL(…, import.meta.url)`, relative to the caller: under tsx it is the source itself, and tools/build.mjs
// makes a bundle of it and rewrites the URL.

import { createRequire } from 'node:module';
import { Worker, type WorkerOptions } from 'node:worker_threads';

export function startWorker(file: URL, options: WorkerOptions = {}): Worker {
  if (!file.pathname.endsWith('.ts')) return new Worker(file, options);
  // On Node 20 the loader that tsx registers does not reach into threads: each has to register its own.
  const tsx = new URL('dist/esm/api/index.mjs', `file://${createRequire(import.meta.url).resolve('tsx/package.json')}`);
  const boot = `import('${tsx.href}').then((tsx) => { tsx.register(); return import('${file.href}'); });`;
  return new Worker(boot, { ...options, eval: true });
}
