// Secrets outside of Kubernetes: files, one folder for each Secret, as Kubernetes mounts them: <folder>/<name>/<key>.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export class SecretFiles {
  readonly #folder: string;
  /** What was read, by path; undefined: there was nothing. */
  readonly #known = new Map<string, string | undefined>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  read = (name: string, key: string): string | undefined => {
    if (![name, key].every((part) => /^[\w.-]+$/.test(part) && !/^\.+$/.test(part))) return undefined;
    const path = join(this.#folder, name, key);
    const text = readSecret(path);
    this.#known.set(path, text);
    return text;
  };

  /** True when a secret that was asked for has become another one. */
  haveChanged(): boolean {
    return [...this.#known].some(([path, text]) => readSecret(path) !== text);
  }
}

function readSecret(path: string): string | undefined {
  try {
    // What an editor adds to the end is not part of a password.
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch {
    return undefined;
  }
}
