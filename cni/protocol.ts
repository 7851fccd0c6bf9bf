// What twill-cni and the agent say to each other on the unix socket: one request a connection.
//
//     client:  CNI_COMMAND=ADD\0CNI_CONTAINERID=…\0…\0\0<standard input>    then it closes its sending side
//     agent:   <exit status in decimal>\n<standard output>                    then it closes the connection
//
// So simple because one of the two clients is written in C.

export interface CniRequest {
  /** The CNI_* variables. */
  readonly environment: ReadonlyMap<string, string>;
  readonly stdin: string;
}

export interface CniReply {
  readonly exitStatus: number;
  readonly stdout: string;
}

/** Where the agent listens when neither the network configuration nor TWILL_RUN_DIR says so. */
export const defaultSocket = '/run/twill/cni.sock';

/** Network configurations of a few MiB are within the specification's reason, more is an accident. */
export const requestLimitBytes = 16 << 20;

export function encodeRequest({ environment, stdin }: CniRequest): Buffer {
  const variables = Array.from(environment, ([name, value]) => `${name}=${value}\0`).join('');
  return Buffer.from(`${variables}\0${stdin}`);
}

/** Undefined when it is no request: the list of variables does not end. */
export function parseRequest(bytes: Buffer): CniRequest | undefined {
  const environment = new Map<string, string>();
  let offset = 0;
  for (;;) {
    const end = bytes.indexOf(0, offset);
    if (end < 0) return undefined;
    if (end === offset) break;
    const variable = bytes.toString('utf8', offset, end);
    const equals = variable.indexOf('=');
    if (equals > 0) environment.set(variable.slice(0, equals), variable.slice(equals + 1));
    offset = end + 1;
  }
  return { environment, stdin: bytes.toString('utf8', offset + 1) };
}

export const encodeReply = (reply: CniReply): string => `${reply.exitStatus}\n${reply.stdout}`;

/** Undefined when it is no reply, or the connection broke before one came. */
export function parseReply(text: string): CniReply | undefined {
  const match = /^(\d{1,3})\n/.exec(text);
  return match ? { exitStatus: Number(match[1]), stdout: text.slice(match[0].length) } : undefined;
}
