// Errors as the CNI specification numbers them: what the runtime reads, and what people read in its log.

export const cniErrorCodes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  undecodable: 6,
  invalidConfiguration: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  /** 100 and above are ours. */
  interfaceExists: 100,
  noAddress: 101,
  checkFailed: 102,
  internal: 199,
} as const;

export type CniErrorName = keyof typeof cniErrorCodes;

export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: CniErrorName;
  readonly retryable: boolean;
  /** More for people: the cause, the remedy. */
  readonly details: string;

  constructor(code: CniErrorName, message: string, details = '') {
    super(message);
    this.code = code;
    this.details = details;
    this.retryable = code === 'tryAgainLater';
  }
}

/** The error object for standard output. */
export const formatError = (error: CniError, cniVersion: string): string =>
  JSON.stringify({
    cniVersion,
    code: cniErrorCodes[error.code],
    msg: error.message,
    ...(error.details && { details: error.details }),
  });
