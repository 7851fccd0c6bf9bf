// One UPDATE in bytes against a RIB in which the peer has a route for 192.0.2.0/24 already, and one for another prefix.

import { Lab, type TestPeer } from './harness.ts';

/** What became of the session and of 192.0.2.0/24. `withdrawn` stands for treat-as-withdraw. */
export type Outcome = 'route' | 'withdrawn' | `reset ${number}/${number}`;

const P = '192.0.2.0/24';
const OTHER = '198.51.100.0/24';

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'));

export class Incident {
  readonly #lab = new Lab();
  readonly #from: TestPeer;
  readonly #to: TestPeer;
  lastSent: Uint8Array = new Uint8Array(0);

  constructor() {
    const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
    this.#from = this.#lab.peer({ asn: 64601, families });
    this.#to = this.#lab.peer({ asn: 64602, families });
    const write = this.#to.write.bind(this.#to);
    this.#to.write = (bytes) => {
      this.lastSent = bytes;
      write(bytes);
    };
    this.#from.announce(P, { communities: [1] });
    this.#from.announce(OTHER);
    this.#lab.rib.flush();
  }

  receive(withdrawn: string, attributes: string, nlri: string): Outcome {
    const [first, second, third] = [withdrawn, attributes, nlri].map(bytesOf);
    if (!first || !second || !third) throw new Error('three parts are needed');
    const length = ({ length }: Uint8Array): number[] => [length >> 8, length & 255];
    const body = Uint8Array.from([...length(first), ...first, ...length(second), ...second, ...third]);
    const refused = this.#from.sendBytes(body);
    this.#lab.rib.flush();
    if (refused) return `reset ${refused.code}/${refused.subcode}`;
    return this.#to.table.has(P) ? 'route' : 'withdrawn';
  }

  get othersIntact(): boolean {
    return this.#to.table.has(OTHER);
  }
}
