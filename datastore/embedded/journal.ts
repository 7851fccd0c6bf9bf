// The durable log: group commit. What is appended while one batch is on its way to the disk forms the next batch, so the
// slower the disk, the more writers share one write.
//
//     append(item) ─► current frame ─► write with O_DSYNC ─► onDurable(sequence of its last item)
//
// O_DSYNC makes a write return when the data are on disk: write and fdatasync in one call, which is one round through the
// thread pool less. Small batches are written over zeros that are on disk already: when a write makes the file longer, the file
// system has to put its own records of the file on disk too before it returns, which takes as long again, or several times
// as long. So when the zeros are used up, the batch takes some more along behind it.
//
// A failed write is final: the kernel may have dropped the pages, so nothing written later could be trusted.
// onFailure must end the process; the next start finds what was acknowledged.

import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, writeSync, writev } from 'node:fs';
import { logPath } from './files.ts';
import { FORMAT, FrameWriter, type Item } from './record.ts';

export interface JournalEvents {
  readonly onDurable: (sequence: number) => void;
  readonly onFailure: (error: Error) => void;
}

export interface Rotation {
  /** Called at the moment that divides the logs: what is applied by now is in the old one, what follows in the new one. */
  readonly capture: () => void;
  /** The old log is whole on disk and the new one, of this number, has begun. */
  readonly begun: (number: number) => void;
}

const ZEROS = Buffer.alloc(512 * 1024);
/** Of larger batches the growth of the file is a small part, and writing everything twice would not be. */
const SMALL_BATCH_BYTES = 16 * 1024;

export class Journal {
  readonly #directory: string;
  readonly #clusterId: string;
  readonly #events: JournalEvents;
  #fd: number;
  #number: number;
  #position: number;
  /** The length of the file: what is behind the position is zeros. */
  #fileBytes = 0;
  /** Bytes in logs since the last snapshot, this one included. */
  #bytesSinceSnapshot: number;
  #filling = new FrameWriter();
  #spare = new FrameWriter();
  #appended = 0;
  #durable = 0;
  #writing = false;
  #failed = false;
  #rotation: Rotation | undefined;

  constructor(
    directory: string,
    clusterId: string,
    log: { readonly number: number; readonly bytes: number },
    events: JournalEvents,
  ) {
    this.#directory = directory;
    this.#clusterId = clusterId;
    this.#events = events;
    this.#number = Math.max(1, log.number);
    this.#position = log.bytes;
    this.#bytesSinceSnapshot = log.bytes;
    this.#fd = this.#openLog();
  }

  /** Sequence number of the last appended item, and of the last one that is on disk. */
  get appended(): number {
    return this.#appended;
  }

  get durable(): number {
    return this.#durable;
  }

  get bytesSinceSnapshot(): number {
    return this.#bytesSinceSnapshot;
  }

  append(item: Item): number {
    this.#filling.add(item);
    this.#appended++;
    // The items of one transaction are appended in one turn and must not be torn apart: write in the next.
    if (!this.#writing && !this.#failed) {
      this.#writing = true;
      queueMicrotask(() => this.#write());
    }
    return this.#appended;
  }

  /** Ends the present log with the next batch. */
  rotate(rotation: Rotation): void {
    this.#rotation = rotation;
    if (this.#writing) return;
    this.#writing = true;
    queueMicrotask(() => this.#write());
  }

  snapshotTaken(number: number): void {
    if (number === this.#number) this.#bytesSinceSnapshot = this.#position;
  }

  /** Only when durable === appended. */
  close(): void {
    this.#closeLog();
  }

  #write(): void {
    const rotation = this.#rotation;
    this.#rotation = undefined;
    // Everything applied so far is in the batch that is taken now, or in earlier ones.
    rotation?.capture();
    const writer = this.#filling;
    if (writer.empty) {
      this.#batchDone(this.#durable, rotation);
      return;
    }
    this.#filling = this.#spare;
    this.#spare = writer;
    const sequence = this.#appended;
    this.#writeAll(writer.take(), () => this.#batchDone(sequence, rotation));
  }

  #writeAll(bytes: Buffer, done: () => void): void {
    const end = this.#position + bytes.length;
    const makesRoom = end > this.#fileBytes && bytes.length <= SMALL_BATCH_BYTES;
    writev(this.#fd, makesRoom ? [bytes, ZEROS] : [bytes], this.#position, (error, written) => {
      if (error) {
        this.#fail(error);
        return;
      }
      this.#fileBytes = Math.max(this.#fileBytes, this.#position + written);
      // Less room than wanted is no harm.
      const taken = Math.min(written, bytes.length);
      this.#position += taken;
      this.#bytesSinceSnapshot += taken;
      if (taken < bytes.length) this.#writeAll(bytes.subarray(taken), done);
      else done();
    });
  }

  #batchDone(sequence: number, rotation: Rotation | undefined): void {
    if (rotation) this.#switchLog(rotation);
    if (this.#failed) return;
    if (sequence > this.#durable) {
      this.#durable = sequence;
      this.#events.onDurable(sequence);
    }
    if (this.#filling.empty && !this.#rotation) this.#writing = false;
    else this.#write();
  }

  #switchLog(rotation: Rotation): void {
    try {
      this.#closeLog();
      this.#number++;
      this.#position = 0;
      this.#fd = this.#openLog();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    rotation.begun(this.#number);
  }

  /** Opens the log of the present number, and gives it a header when it is new. */
  #openLog(): number {
    const { O_CREAT, O_DSYNC, O_RDWR, O_TRUNC } = constants;
    const flags = O_RDWR | O_DSYNC | (this.#position === 0 ? O_CREAT | O_TRUNC : 0);
    const fd = openSync(logPath(this.#directory, this.#number), flags, 0o600);
    if (this.#position === 0) {
      const writer = new FrameWriter();
      writer.add({ kind: 'header', format: FORMAT, clusterId: this.#clusterId });
      const header = writer.take();
      writeSync(fd, header, 0, header.length, 0);
      fsyncSync(fd);
      syncDirectory(this.#directory);
      this.#position = header.length;
    }
    this.#fileBytes = fstatSync(fd).size;
    return fd;
  }

  /** Gives back the room behind the end; a crash that brings it back does no harm. */
  #closeLog(): void {
    if (this.#fileBytes > this.#position) ftruncateSync(this.#fd, this.#position);
    closeSync(this.#fd);
  }

  #fail(error: Error): void {
    this.#failed = true;
    this.#events.onFailure(error);
  }
}

/** A new or renamed file is only there after a crash when its directory was synced. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
