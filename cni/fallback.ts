// twill-cni where there is no C compiler: the same as client.c, in a bundle without any dependency, so that it starts as
// fast as Node can.

import { createConnection } from 'node:net';
import { version as programVersion } from '../runtime/version.ts';
import { CniError, formatError } from './errors.ts';
import { asObject, asText } from './json.ts';
import { type CniReply, defaultSocket, encodeRequest, parseReply, requestLimitBytes } from './protocol.ts';
import { formatVersions, latestVersion } from './result.ts';

/** The same as in client.c; a test compares them. */
const usage = `twill-cni: the CNI plugin of Twill. Container runtimes execute it, people seldom do.

Usage: CNI_COMMAND=ADD|DEL|CHECK|GC|STATUS|VERSION CNI_...=... twill-cni < network-configuration.json

It passes the request to twill-node on this node and prints the answer. The socket is the configuration's
"agentSocket", or else cni.sock in TWILL_RUN_DIR, or else /run/twill/cni.sock.
The CNI_* variables are those of the CNI specification 1.1: https://www.cni.dev/docs/spec/

  --help     this text
  --version  the version of the program
`;

/** Longer than the agent ever takes, shorter than runtimes wait for a sandbox. */
const timeoutMs = 120_000;

async function main(): Promise<CniReply> {
  const [option] = process.argv.slice(2);
  if (option === '--help') return { exitStatus: 0, stdout: usage };
  if (option === '--version') return { exitStatus: 0, stdout: `twill-cni ${programVersion}\n` };
  const environment = new Map<string, string>();
  for (const [name, value] of Object.entries(process.env)) {
    if (name.startsWith('CNI_') && value !== undefined) environment.set(name, value);
  }
  const command = environment.get('CNI_COMMAND');
  let stdin = '';
  try {
    stdin = await readStandardInput();
  } catch (error) {
    return failure(undefined, new CniError('ioFailure', 'standard input can not be read', messageOf(error)));
  }
  const configuration = parse(stdin);
  const version = asText(configuration['cniVersion']);
  if (command === 'VERSION') return { exitStatus: 0, stdout: formatVersions(version) };
  const unavailable = command === 'STATUS' ? 'notAvailable' : 'tryAgainLater';
  const directory = process.env['TWILL_RUN_DIR'];
  const path = asText(configuration['agentSocket']) || (directory ? `${directory}/cni.sock` : defaultSocket);
  try {
    const text = await exchange(path, encodeRequest({ environment, stdin }));
    const reply = parseReply(text);
    if (reply) return reply;
    return text === ''
      ? failure(
          version,
          new CniError(unavailable, 'twill-node closed the connection without an answer', 'did it restart?'),
        )
      : failure(version, new CniError('ioFailure', "what answers on the agent's socket is not twill-node", path));
  } catch (error) {
    const message = `twill-node does not answer on ${path}: ${messageOf(error)}`;
    return failure(version, new CniError(unavailable, message, 'is it running on this node? its log says why not'));
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > requestLimitBytes) throw new Error('File too large');
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

/** Whatever is wrong with the input, the agent says it better. */
function parse(stdin: string): Readonly<Record<string, unknown>> {
  try {
    return asObject(JSON.parse(stdin)) ?? {};
  } catch {
    return {};
  }
}

function exchange(path: string, request: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = createConnection({ path, allowHalfOpen: true }, () => socket.end(request));
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no answer in time')));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks).toString()));
    socket.on('error', reject);
  });
}

const failure = (version: string | undefined, error: CniError): CniReply => ({
  exitStatus: 1,
  stdout: formatError(error, version ?? latestVersion),
});

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const reply = await main();
process.stdout.write(reply.stdout);
process.exitCode = reply.exitStatus;
