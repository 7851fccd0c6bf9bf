// One UPDATE in bytes against a RIB in which the peer has a route for 192.0.2.0/24 already, and one for another prefix.

import { Lab, OWN_AS, type PeerOptions, type TestPeer } from './harness.ts';

/**
 * What became of the session and of 192.0.2.0/24. `withdrawn` stands for treat-as-withdraw, `discard` for a route that is
 * there without one of its attributes, `route` for one with which nothing was wrong.
 */
export type Outcome = 'route' | 'discard' | 'withdrawn' | `reset ${number}/${number}`;

const P = '192.0.2.0/24';
const OTHER = '198.51.100.0/24';

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'));

export class Incident {
  readonly #lab = new Lab();
  readonly from: TestPeer;
  readonly #to: TestPeer;
  lastSent: Uint8Array = new Uint8Array(0);
  /** Data of the NOTIFICATION that ended the session. */
  data: Uint8Array = new Uint8Array(0);

  constructor(kind: 'external' | 'internal' = 'external', options: PeerOptions = {}) {
    const families = ['ipv4-unicast', 'ipv6-unicast'] as const;
    this.from = this.#lab.peer({ asn: kind === 'external' ? 64601 : OWN_AS, families, client: true, ...options });
    this.#to = this.#lab.peer({ asn: kind === 'external' ? 64602 : OWN_AS, families });
    const write = this.#to.write.bind(this.#to);
    this.#to.write = (bytes) => {
      this.lastSent = bytes;
      write(bytes);
    };
    this.from.announce(P, { communities: [1] });
    this.from.announce(OTHER);
    this.#lab.rib.flush();
  }

  /** Parts of an UPDATE in hex; their lengths are added. */
  receive(withdrawn: string, attributes: string, nlri: string): Outcome {
    const [first, second, third] = [withdrawn, attributes, nlri].map(bytesOf);
    if (!first || !second || !third) throw new Error('three parts are needed');
    const length = ({ length }: Uint8Array): number[] => [length >> 8, length & 255];
    const body = Uint8Array.from([...length(first), ...first, ...length(second), ...second, ...third]);
    const refused = this.from.sendBytes(body);
    this.#lab.rib.flush();
    if (refused) {
      this.data = refused.data;
      return `reset ${refused.code}/${refused.subcode}`;
    }
    if (!this.#to.table.has(P)) return 'withdrawn';
    return this.from.adjRibIn.counters.attributesDiscarded > 0 ? 'discard' : 'route';
  }

  get othersIntact(): boolean {
    return this.#to.table.has(OTHER);
  }
}
