// The Huffman code of HPACK, reading only (RFC 7541 §5.2, appendix B): nobody has to write it.
//
// The code is canonical: shorter codes come first, and among equally long ones those of smaller bytes. So the lengths are enough.

/** The bits of each byte's code and, last, of the end of a string; one base-36 digit each. */
const lengths =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad677777777777777777777' +
  '77878djde6f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmo' +
  'lmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';

const END_OF_STRING = 256;
const NOTHING = -1;

/** Pairs: where bit 0 and where bit 1 leads. A leaf is -2 - symbol. */
let tree: Int16Array | undefined;

/** Throws an Error when the bytes are no such string. */
export function readHuffman(bytes: Uint8Array): string {
  tree ??= buildTree();
  const out: number[] = [];
  let node = 0;
  let bitsSince = 0;
  let onlyOnes = true;
  for (const byte of bytes) {
    for (let mask = 0x80; mask > 0; mask >>= 1) {
      const bit = (byte & mask) === 0 ? 0 : 1;
      const next = tree[node * 2 + bit] ?? NOTHING;
      if (next >= 0) {
        node = next;
        bitsSince += 1;
        onlyOnes &&= bit === 1;
        continue;
      }
      const symbol = -2 - next;
      if (next === NOTHING || symbol === END_OF_STRING) throw new Error('a header is not in Huffman code');
      out.push(symbol);
      node = 0;
      bitsSince = 0;
      onlyOnes = true;
    }
  }
  // What fills the last byte is the beginning of the end's code, which is all ones.
  if (bitsSince > 7 || !onlyOnes) throw new Error('a header in Huffman code does not end as it has to');
  return Buffer.from(out).toString('latin1');
}

function buildTree(): Int16Array {
  const symbols = Array.from(lengths, (digit, symbol) => ({ symbol, bits: Number.parseInt(digit, 36) }));
  symbols.sort((a, b) => a.bits - b.bits || a.symbol - b.symbol);
  const nodes = new Int16Array(symbols.length * 2).fill(NOTHING);
  let used = 1;
  let code = 0;
  let codeBits = 0;
  for (const { symbol, bits } of symbols) {
    code *= 2 ** (bits - codeBits);
    codeBits = bits;
    let node = 0;
    for (let rest = bits - 1; rest > 0; rest--) {
      const at = node * 2 + ((code >>> rest) & 1);
      if (nodes[at] === NOTHING) nodes[at] = used++;
      node = nodes[at] ?? 0;
    }
    nodes[node * 2 + (code & 1)] = -2 - symbol;
    code += 1;
  }
  return nodes;
}
