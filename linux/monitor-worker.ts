// The monitor's thread, as source text: a worker made from text needs no file beside the bundle and no TypeScript loader.
//
// It waits for the sockets, takes up to 64 datagrams at once and posts them as one chunk. When the main thread is
// too far behind it stops fetching, so that memory stays bounded; then the kernel's buffer fills, and the loss is reported.

/** CommonJS; workerData: {koffi, fds, stopFd, pendingBytes, maxPendingBytes}. */
export const workerSource = `
'use strict';
const { parentPort, workerData } = require('node:worker_threads');
const koffi = require(workerData.koffi);
const libc = koffi.load('libc.so.6');
const poll = libc.func('int poll(void *fds, unsigned long count, int timeoutMs)');
const recv = libc.func('long recv(int fd, void *bytes, size_t length, int flags)');

const { fds, stopFd, pendingBytes, maxPendingBytes } = workerData;
const MSG_DONTWAIT = 0x40, POLLIN = 1, EINTR = 4, ENOBUFS = 105;
const datagramsPerChunk = 64, largestDatagram = 65536;

// struct pollfd: fd(4) events(2) revents(2).
const table = new Int32Array((fds.length + 1) * 2);
const shorts = new Int16Array(table.buffer);
[...fds, stopFd].forEach((fd, i) => { table[i * 2] = fd; shorts[i * 4 + 2] = POLLIN; });
const buffer = Buffer.alloc(largestDatagram * 4);

function drain(source) {
  let end = 0, lost = false;
  for (let count = 0; count < datagramsPerChunk && end + largestDatagram <= buffer.length; count++) {
    const length = Number(recv(fds[source], buffer.subarray(end), largestDatagram, MSG_DONTWAIT));
    if (length > 0) { end += (length + 3) & ~3; continue; }
    const errno = length < 0 ? koffi.errno() : 0;
    if (errno === ENOBUFS) lost = true;
    else if (errno !== EINTR) break;
  }
  if (end === 0 && !lost) return;
  const bytes = new Uint8Array(end);
  bytes.set(buffer.subarray(0, end));
  Atomics.add(pendingBytes, 0, end);
  parentPort.postMessage({ source, bytes, lost }, [bytes.buffer]);
}

for (;;) {
  const pending = Atomics.load(pendingBytes, 0);
  const full = pending >= maxPendingBytes;
  // While full, only the stop signal is of interest.
  if (full) Atomics.wait(pendingBytes, 0, pending, 50);
  poll(table, fds.length + 1, full ? 0 : -1);
  if (shorts[fds.length * 4 + 3]) break;
  if (!full) fds.forEach((_, i) => { if (shorts[i * 4 + 3]) drain(i); });
}
parentPort.close();
`;
