// Certificates for the connection to the store: text in the settings, or read from the files that they name.

import { readFile } from 'node:fs/promises';
import { KvError } from './kv.ts';
import type { StoreSettings } from './settings.ts';

export interface Credentials {
  readonly rootCertificate: Buffer;
  readonly privateKey?: Buffer;
  readonly certChain?: Buffer;
}

export async function readCredentials(settings: StoreSettings): Promise<Credentials | undefined> {
  const authority = await readPem('authority', settings.etcdCaCert, settings.etcdCaCertFile);
  const certChain = await readPem('certificate', settings.etcdCert, settings.etcdCertFile);
  const privateKey = await readPem('key', settings.etcdKey, settings.etcdKeyFile);
  if ((certChain === undefined) !== (privateKey === undefined)) {
    throw new Error('the datastore needs both a certificate and its key: set ETCD_CERT_FILE and ETCD_KEY_FILE');
  }
  if (authority === undefined) {
    if (certChain === undefined) return undefined;
    throw new Error('a client certificate needs the authority that signed the datastore’s: set ETCD_CA_CERT_FILE');
  }
  return { rootCertificate: authority, ...(certChain && privateKey && { certChain, privateKey }) };
}

async function readPem(what: string, text: string | undefined, file: string | undefined): Promise<Buffer | undefined> {
  if (text === undefined) return file === undefined ? undefined : readFile(file);
  if (file !== undefined) throw new Error(`the datastore’s ${what} is given both as text and as a file: give one`);
  if (!text.includes('-----BEGIN ')) throw new Error(`the text of the datastore’s ${what} is not PEM`);
  return Buffer.from(text);
}

export const closedError = (): KvError => new KvError('closed', 'the store was closed');
