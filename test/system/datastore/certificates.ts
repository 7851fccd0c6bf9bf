// A certificate authority for one test, with openssl.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export class Authority {
  readonly #directory: string;
  readonly ca: KeyPair;

  constructor(directory: string, name = 'authority') {
    this.#directory = directory;
    this.ca = this.#paths(name);
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      ...['-subj', `/CN=${name}`, '-keyout', this.ca.key, '-out', this.ca.cert],
    );
  }

  /** A certificate for localhost and 127.0.0.1, good for servers and clients. */
  issue(name: string): KeyPair {
    const pair = this.#paths(name);
    const request = join(this.#directory, `${name}.csr`);
    const extensions = join(this.#directory, `${name}.ext`);
    writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
    openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      ...['-subj', `/CN=${name}`, '-keyout', pair.key, '-out', request],
    );
    openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-days',
      '2',
      '-CAcreateserial',
      ...['-CA', this.ca.cert, '-CAkey', this.ca.key, '-extfile', extensions, '-out', pair.cert],
    );
    return pair;
  }

  #paths(name: string): KeyPair {
    return { cert: join(this.#directory, `${name}.crt`), key: join(this.#directory, `${name}.key`) };
  }
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
