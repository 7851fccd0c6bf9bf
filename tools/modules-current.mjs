#!/usr/bin/env node
// Exits with 0 when node_modules holds what package-lock.json asks for, by npm's own record of what it installed.

import { readFileSync } from 'node:fs';

const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
const installed = packagesOf('node_modules/.package-lock.json');
const differs = Object.entries(packagesOf('package-lock.json')).some(
  ([path, wanted]) => path !== '' && !wanted.optional && installed[path]?.version !== wanted.version,
);
process.exit(differs ? 1 : 0);
