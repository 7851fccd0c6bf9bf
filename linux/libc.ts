// The C library, by FFI: only what Node itself cannot do. Calls are synchronous and act on the calling thread, which is
// what a network namespace needs (netns.ts).
//
// Each function throws LinuxError; EINTR is tried again here, so callers never see it.

import koffi from 'koffi';
import { errnoName, LinuxError } from './errors.ts';

const libc = koffi.load('libc.so.6');

const native = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *address, unsigned int length)'),
  getsockname: libc.func('int getsockname(int fd, void *address, void *length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  // ssize_t is `long` on every Linux that Node runs on; koffi does not know the name.
  send: libc.func('long send(int fd, const void *bytes, size_t length, int flags)'),
  sendto: libc.func(
    'long sendto(int fd, const void *bytes, size_t length, int flags, const void *address, unsigned int addressLength)',
  ),
  recv: libc.func('long recv(int fd, void *bytes, size_t length, int flags)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int option, const void *value, unsigned int length)'),
  close: libc.func('int close(int fd)'),
  flock: libc.func('int flock(int fd, int operation)'),
  setns: libc.func('int setns(int fd, int type)'),
  unshare: libc.func('int unshare(int flags)'),
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, ulong flags, const void *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  ifNameToIndex: libc.func('unsigned int if_nametoindex(const char *name)'),
  eventfd: libc.func('int eventfd(unsigned int initial, int flags)'),
  setScheduler: libc.func('int sched_setscheduler(int pid, int policy, const void *parameters)'),
} as const;

function call(operation: string, run: () => unknown): number {
  for (;;) {
    const result = Number(run());
    if (result >= 0) return result;
    const code = errnoName(koffi.errno());
    if (code !== 'EINTR') throw new LinuxError(code, operation);
  }
}

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_TRUNC = 0x20;
export const MSG_PEEK = 0x02;
export const CLONE_NEWNET = 0x40000000;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

/** Opens a socket, always close-on-exec; the caller closes the descriptor. */
export const socket = (domain: number, type: number, protocol: number): number =>
  call('socket', () => native.socket(domain, type | SOCK_CLOEXEC, protocol));

export const bind = (fd: number, address: Uint8Array): void => {
  call('bind', () => native.bind(fd, address, address.length));
};

/** The socket's own address, as its `sockaddr` bytes. */
export function getsockname(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = new Uint32Array([address.length]);
  call('getsockname', () => native.getsockname(fd, address, length));
  return address.subarray(0, length[0]);
}

/** A lock that goes with the open file. */
export const flock = (fd: number, operation: number): void => {
  call('flock', () => native.flock(fd, operation));
};

export const listen = (fd: number, backlog: number): void => {
  call('listen', () => native.listen(fd, backlog));
};

export const send = (fd: number, bytes: Uint8Array): number =>
  call('send', () => native.send(fd, bytes, bytes.length, 0));

/** What the socket takes at once; 0 when nothing fits, or when the connection is broken: its owner hears that by itself. */
export function trySend(fd: number, bytes: Uint8Array): number {
  return Math.max(0, Number(native.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL)));
}

export const sendTo = (fd: number, bytes: Uint8Array, address: Uint8Array): number =>
  call('sendto', () => native.sendto(fd, bytes, bytes.length, 0, address, address.length));

/**
 * As send(), in one of koffi's threads: for netlink requests during which the kernel sleeps. The thread is in the namespace
 * of the process; the socket is in its own.
 */
export const sendInThread = (fd: number, bytes: Uint8Array): Promise<number> =>
  new Promise((resolve, reject) => {
    native.send.async(fd, bytes, bytes.length, 0, (error: unknown, sent: unknown) => {
      if (error) reject(new LinuxError('EIO', 'send', String(error)));
      // Nothing but a full buffer makes a send to the kernel fail, and the errno of another thread is not ours to read.
      else if (Number(sent) < 0) reject(new LinuxError('ENOBUFS', 'send'));
      else resolve(Number(sent));
    });
  });

/** As recv(), in one of koffi's threads: for dumps during which the kernel walks a table that may be large and empty. */
export const recvInThread = (fd: number, into: Uint8Array): Promise<number> =>
  new Promise((resolve, reject) => {
    native.recv.async(fd, into, into.length, 0, (error: unknown, received: unknown) => {
      if (error) reject(new LinuxError('EIO', 'recv', String(error)));
      else if (Number(received) < 0) reject(new LinuxError('ENOBUFS', 'recv'));
      else resolve(Number(received));
    });
  });

/** Bytes received. With MSG_TRUNC in the flags, the datagram's whole length, which may be more than fitted. */
export const recv = (fd: number, into: Uint8Array, flags = 0): number =>
  call('recv', () => native.recv(fd, into, into.length, flags));

export function setsockopt(fd: number, level: number, option: number, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? new Uint8Array(Int32Array.of(value).buffer) : value;
  call(`setsockopt(${level}, ${option})`, () => native.setsockopt(fd, level, option, bytes, bytes.length));
}

export const close = (fd: number): void => {
  // Linux has freed the descriptor even when close() says EINTR: never again with the same number.
  native.close(fd);
};

/** Moves the calling thread into the network namespace; see netns.ts before you use it. */
export const setns = (fd: number, type: number): void => {
  call('setns', () => native.setns(fd, type));
};

export const unshare = (flags: number): void => {
  call('unshare', () => native.unshare(flags));
};

export const mount = (source: string, target: string, type: string, flags: number): void => {
  call(`mount ${target}`, () => native.mount(source, target, type, flags, null));
};

export const unmount = (target: string, flags: number): void => {
  call(`umount ${target}`, () => native.umount2(target, flags));
};

/** @param thread - 0: the one that calls. */
export const setScheduler = (thread: number, policy: number, priority: number): void => {
  call('sched_setscheduler', () => native.setScheduler(thread, policy, Int32Array.of(priority)));
};

/** Index of an interface in the calling thread's network namespace; undefined when there is none of that name. */
export const interfaceIndex = (name: string): number | undefined => Number(native.ifNameToIndex(name)) || undefined;

/** A descriptor that poll() finds readable after 8 bytes have been written to it. */
export const eventfd = (): number => call('eventfd', () => native.eventfd(0, SOCK_CLOEXEC));
