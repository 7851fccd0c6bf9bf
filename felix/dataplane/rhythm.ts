// When an apply happens: never two at a time, at once when there is news, after a pause or a retry's delay otherwise.
//
//   request ──► turn of the event loop ──► run() ──► rest ──► again, if something was requested meanwhile
//                                            └─ failed: after 50 ms, doubled each time up to 5 s, or with the next news

const firstRetryMs = 50;
const longestRetryMs = 5000;
/** Rest after an apply: as long as it took, up to this. Under a flood of updates half the time stays for receiving them. */
const longestPauseMs = 200;

export interface RhythmOptions {
  /** Does it; resolves with the milliseconds that it took. */
  readonly run: () => Promise<number>;
  /** Nothing happens before. */
  readonly mayRun: () => boolean;
}

export class Rhythm {
  private readonly options: RhythmOptions;
  private running: Promise<void> | undefined;
  private wanted = false;
  private timer: NodeJS.Timeout | undefined;
  private retryMs = 0;
  private closed = false;

  constructor(options: RhythmOptions) {
    this.options = options;
  }

  get isWanted(): boolean {
    return this.wanted;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** How long the next retry waits; 0: the last attempt succeeded. */
  get retryDelayMs(): number {
    return this.retryMs;
  }

  request(delayMs = 0): void {
    this.wanted = true;
    if (!this.options.mayRun() || this.closed || this.running) return;
    // A retry's delay gives way to news.
    clearTimeout(this.timer);
    this.timer = undefined;
    if (delayMs > 0) this.timer = setTimeout(() => this.begin(), delayMs);
    // A timer would cost a millisecond.
    else setImmediate(() => this.begin());
  }

  succeeded(): void {
    this.retryMs = 0;
  }

  /** Again, when there was time for whatever was wrong to end. */
  retryLater(): void {
    this.retryMs = Math.min(Math.max(this.retryMs * 2, firstRetryMs), longestRetryMs);
    this.wanted = true;
  }

  retryAtOnce(): void {
    this.retryMs = 0;
    this.wanted = true;
  }

  /** Resolves when nothing that was requested is waiting, or the last attempt failed. */
  async settled(): Promise<void> {
    while ((this.wanted || this.running) && this.retryMs === 0 && this.options.mayRun() && !this.closed) {
      await (this.running ?? new Promise((resolve) => setImmediate(resolve)));
    }
  }

  /** No more; what runs ends first. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.running;
  }

  private begin(): void {
    if (!this.wanted || this.running || this.closed) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.wanted = false;
    let tookMs = 0;
    this.running = this.options
      .run()
      .then((ms) => {
        tookMs = ms;
      })
      .finally(() => {
        this.running = undefined;
        if (this.wanted) this.request(this.retryMs || Math.min(tookMs, longestPauseMs));
      });
  }
}
