// Who may use the store when it listens on TCP: TLS with or without client certificates, and one user with a password,
// asked for and answered as etcd does it (Auth.Authenticate gives a token, which every call then carries).
//
// On a unix socket the file's permissions decide, and none of this is needed.

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import {
  type handleUnaryCall,
  ResponderBuilder,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { Refusal, toStatus } from './convert.ts';
import { type HeaderOf, refuse } from './services.ts';

export interface AccessSettings {
  readonly listen: string;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** Clients must show a certificate that one of these authorities has signed. */
  readonly trustedCaFile: string | undefined;
  /** A file with one line "user:password" that only its owner can read. */
  readonly passwordFile: string | undefined;
  readonly allowInsecure: boolean;
}

export interface Access {
  readonly credentials: ServerCredentials;
  /** By TLS. */
  readonly secure: boolean;
  readonly user: User | undefined;
}

export interface User {
  readonly name: string;
  readonly password: string;
}

/** Throws an Error for the operator when the settings contradict each other or would leave the store open to anybody. */
export function readAccess(settings: AccessSettings): Access {
  const { certFile, keyFile, trustedCaFile, passwordFile } = settings;
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new Error('--cert-file and --key-file belong together');
  if (trustedCaFile !== undefined && certFile === undefined) {
    throw new Error('--trusted-ca-file needs --cert-file and --key-file');
  }
  const user = passwordFile === undefined ? undefined : readUser(passwordFile);
  if (isOpen(settings)) {
    throw new Error(
      `${settings.listen} can be reached from other machines: give --cert-file and --key-file, and --trusted-ca-file or ` +
        '--password-file; or --allow-insecure where the network is trusted',
    );
  }
  if (certFile === undefined || keyFile === undefined)
    return { credentials: ServerCredentials.createInsecure(), secure: false, user };
  const pair = { cert_chain: readFileSync(certFile), private_key: readFileSync(keyFile) };
  const authorities = trustedCaFile === undefined ? null : readFileSync(trustedCaFile);
  return { credentials: ServerCredentials.createSsl(authorities, [pair], authorities !== null), secure: true, user };
}

function isOpen({ listen, certFile, trustedCaFile, passwordFile, allowInsecure }: AccessSettings): boolean {
  const isLocal = /^unix:/.test(listen) || /^(localhost|127\.[0-9.]+|\[::1\]):\d+$/.test(listen);
  const isGuarded = certFile !== undefined && (trustedCaFile !== undefined || passwordFile !== undefined);
  return !isLocal && !isGuarded && !allowInsecure;
}

function readUser(path: string): User {
  if (statSync(path).mode & 0o077) throw new Error(`${path} can be read by others than its owner: chmod 600 it`);
  const line = readFileSync(path, 'utf8').split('\n')[0] ?? '';
  const colon = line.indexOf(':');
  if (colon < 1 || colon === line.length - 1) throw new Error(`${path}: one line "user:password" is needed`);
  return { name: line.slice(0, colon), password: line.slice(colon + 1) };
}

const TOKEN_IDLE_MS = 300_000;
const MAX_TOKENS = 10_000;

/** Tokens that were given out and used within the last five minutes, least recently used first. */
export class Tokens {
  readonly #user: User;
  readonly #now: () => number;
  readonly #usedAt = new Map<string, number>();

  constructor(user: User, now: () => number) {
    this.#user = user;
    this.#now = now;
  }

  /** A new token, or undefined for a wrong name or password. */
  authenticate(name: string, password: string): string | undefined {
    // Both are always compared, and in constant time.
    const nameIsRight = equal(name, this.#user.name);
    const passwordIsRight = equal(password, this.#user.password);
    if (!nameIsRight || !passwordIsRight) return undefined;
    const token = randomBytes(24).toString('base64url');
    this.#touch(token);
    return token;
  }

  isValid(token: string): boolean {
    const usedAt = this.#usedAt.get(token);
    if (usedAt === undefined) return false;
    if (this.#now() - usedAt > TOKEN_IDLE_MS) {
      this.#usedAt.delete(token);
      return false;
    }
    this.#touch(token);
    return true;
  }

  #touch(token: string): void {
    this.#usedAt.delete(token);
    this.#usedAt.set(token, this.#now());
    const [oldest] = this.#usedAt.keys();
    if (this.#usedAt.size > MAX_TOKENS && oldest !== undefined) this.#usedAt.delete(oldest);
  }
}

function equal(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

export function authService(
  tokens: Tokens | undefined,
  header: () => ReturnType<HeaderOf>,
): UntypedServiceImplementation {
  const authenticate: handleUnaryCall<{ readonly name: string; readonly password: string }, object> = (
    call,
    callback,
  ) => {
    const token = tokens?.authenticate(call.request.name, call.request.password);
    if (token !== undefined) callback(null, { header: header(), token });
    else if (tokens) {
      const reason = 'etcdserver: authentication failed, invalid user ID or password';
      callback(toStatus(new Refusal(status.INVALID_ARGUMENT, reason)));
    } else callback(toStatus(new Refusal(status.FAILED_PRECONDITION, 'etcdserver: authentication is not enabled')));
  };
  const refused = Object.fromEntries(MANAGEMENT.map((name) => [name, noUsers]));
  return { ...refused, Authenticate: authenticate };
}

const noUsers = refuse('users and roles are not kept; --password-file names the one user that there is');
const MANAGEMENT = [
  ...['AuthEnable', 'AuthDisable', 'UserAdd', 'UserGet', 'UserList', 'UserDelete', 'UserChangePassword'],
  ...['UserGrantRole', 'UserRevokeRole', 'RoleAdd', 'RoleGet', 'RoleList', 'RoleDelete'],
  ...['RoleGrantPermission', 'RoleRevokePermission'],
] as const;

const AUTHENTICATE = '/etcdserverpb.Auth/Authenticate';

/** Lets through what carries a good token, and the request for one. */
export function requireToken(tokens: Tokens): ServerInterceptor {
  return (method, call) => {
    if (method.path === AUTHENTICATE) return new ServerInterceptingCall(call);
    let refused = false;
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const [token] = metadata.get('token');
        refused = token === undefined || !tokens.isValid(String(token));
        if (!refused) next(metadata);
        else if (token === undefined) {
          call.sendStatus(toStatus(new Refusal(status.INVALID_ARGUMENT, 'etcdserver: user name is empty')));
        } else call.sendStatus(toStatus(new Refusal(status.UNAUTHENTICATED, 'etcdserver: invalid auth token')));
      })
      .withOnReceiveMessage((message, next) => {
        if (!refused) next(message);
      })
      .withOnReceiveHalfClose((next) => {
        if (!refused) next();
      })
      .build();
    return new ServerInterceptingCall(call, new ResponderBuilder().withStart((next) => next(listener)).build());
  };
}
