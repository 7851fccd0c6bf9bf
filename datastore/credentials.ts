// Certificates for the connection to the store, read from the files that the settings name.

import { readFile } from 'node:fs/promises';
import { KvError } from './kv.ts';
import type { StoreSettings } from './settings.ts';

export interface Credentials {
  readonly rootCertificate: Buffer;
  readonly privateKey?: Buffer;
  readonly certChain?: Buffer;
}

export async function readCredentials(settings: StoreSettings): Promise<Credentials | undefined> {
  const { etcdCaCertFile, etcdCertFile, etcdKeyFile } = settings;
  if ((etcdCertFile === undefined) !== (etcdKeyFile === undefined)) {
    throw new Error('the datastore needs both a certificate and its key: set ETCD_CERT_FILE and ETCD_KEY_FILE');
  }
  if (etcdCaCertFile === undefined) {
    if (etcdCertFile === undefined) return undefined;
    throw new Error('a client certificate needs the authority that signed the datastore’s: set ETCD_CA_CERT_FILE');
  }
  const rootCertificate = await readFile(etcdCaCertFile);
  if (etcdCertFile === undefined || etcdKeyFile === undefined) return { rootCertificate };
  return { rootCertificate, certChain: await readFile(etcdCertFile), privateKey: await readFile(etcdKeyFile) };
}

export const closedError = (): KvError => new KvError('closed', 'the store was closed');
