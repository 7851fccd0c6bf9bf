// BFD control packets as bytes: RFC 5880 §4.1.
//
//     0: version(3 bits)=1 diagnostic(5)   1: state(2) P F C A D M   2: detect multiplier   3: length
//     4: my discriminator   8: your discriminator
//     12: desired min TX   16: required min RX   20: required min echo RX   (microseconds)

export type BfdState = 'AdminDown' | 'Down' | 'Init' | 'Up';

const states = ['AdminDown', 'Down', 'Init', 'Up'] as const;

/** RFC 5880 §4.1 and RFC 8562. */
export const diagnostics = [
  'no diagnostic',
  'control detection time expired',
  'echo function failed',
  'neighbor signaled session down',
  'forwarding plane reset',
  'path down',
  'concatenated path down',
  'administratively down',
  'reverse concatenated path down',
] as const;

export const Diagnostic = {
  none: 0,
  detectionTimeExpired: 1,
  neighborSignaledDown: 3,
  administrativelyDown: 7,
} as const;

export interface BfdPacket {
  readonly diagnostic: number;
  readonly state: BfdState;
  readonly poll: boolean;
  readonly final: boolean;
  /** BFD keeps running while the control plane restarts. */
  readonly controlPlaneIndependent: boolean;
  readonly authenticated: boolean;
  readonly demand: boolean;
  readonly multiplier: number;
  readonly myDiscriminator: number;
  readonly yourDiscriminator: number;
  readonly desiredMinTxUs: number;
  readonly requiredMinRxUs: number;
  readonly requiredMinEchoRxUs: number;
}

const LENGTH = 24;

export function encodeBfd(packet: BfdPacket): Uint8Array {
  const bytes = new Uint8Array(LENGTH);
  const view = new DataView(bytes.buffer);
  bytes[0] = (1 << 5) | packet.diagnostic;
  bytes[1] =
    (states.indexOf(packet.state) << 6) |
    (packet.poll ? 0x20 : 0) |
    (packet.final ? 0x10 : 0) |
    (packet.controlPlaneIndependent ? 0x08 : 0) |
    (packet.authenticated ? 0x04 : 0) |
    (packet.demand ? 0x02 : 0);
  bytes[2] = packet.multiplier;
  bytes[3] = LENGTH;
  view.setUint32(4, packet.myDiscriminator);
  view.setUint32(8, packet.yourDiscriminator);
  view.setUint32(12, packet.desiredMinTxUs);
  view.setUint32(16, packet.requiredMinRxUs);
  view.setUint32(20, packet.requiredMinEchoRxUs);
  return bytes;
}

export type BfdDecodeResult =
  | { readonly kind: 'packet'; readonly packet: BfdPacket }
  | { readonly kind: 'discarded'; readonly reason: string };

/** The checks of RFC 5880 §6.8.6 that need no session. A packet that fails one is dropped without an answer. */
export function decodeBfd(bytes: Uint8Array): BfdDecodeResult {
  const discard = (reason: string): BfdDecodeResult => ({ kind: 'discarded', reason });
  if (bytes.length < LENGTH) return discard('shorter than a control packet');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [first, second] = [view.getUint8(0), view.getUint8(1)];
  if (first >>> 5 !== 1) return discard('another version');
  const length = view.getUint8(3);
  const authenticated = (second & 0x04) !== 0;
  if (length < (authenticated ? LENGTH + 2 : LENGTH) || length > bytes.length) return discard('a wrong length');
  if (view.getUint8(2) === 0) return discard('multiplier 0');
  // The M bit is reserved for the future.
  if ((second & 0x01) !== 0) return discard('multipoint');
  const packet: BfdPacket = {
    diagnostic: first & 0x1f,
    state: states[second >>> 6] ?? 'AdminDown',
    poll: (second & 0x20) !== 0,
    final: (second & 0x10) !== 0,
    controlPlaneIndependent: (second & 0x08) !== 0,
    authenticated,
    demand: (second & 0x02) !== 0,
    multiplier: view.getUint8(2),
    myDiscriminator: view.getUint32(4),
    yourDiscriminator: view.getUint32(8),
    desiredMinTxUs: view.getUint32(12),
    requiredMinRxUs: view.getUint32(16),
    requiredMinEchoRxUs: view.getUint32(20),
  };
  if (packet.myDiscriminator === 0) return discard('my discriminator 0');
  if (packet.yourDiscriminator === 0 && packet.state !== 'Down' && packet.state !== 'AdminDown') {
    return discard('your discriminator 0 in a session that is under way');
  }
  return { kind: 'packet', packet };
}
