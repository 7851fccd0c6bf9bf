// Worker threads that start from the sources and from dist/bin alike.
//
// Name the worker's file as `new URL('./worker.ts', import.meta.url)`: under tsx it is the source itself, and tools/build.mjs
// makes a bundle of it and rewrites the URL.

import { Worker, type WorkerOptions } from 'node:worker_threads';

export function startWorker(file: URL, options: WorkerOptions = {}): Worker {
  if (!file.pathname.endsWith('.ts')) return new Worker(file, options);
  // On Node 20 the loader that tsx registers does not reach into threads: each has to register its own.
  const tsx = import.meta.resolve('tsx/esm/api');
  const boot = `import(${JSON.stringify(tsx)}).then((tsx) => { tsx.register(); return import(${JSON.stringify(file.href)}); });`;
  return new Worker(boot, { ...options, eval: true });
}
