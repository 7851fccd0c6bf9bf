// HPACK, the compression of HTTP/2's headers (RFC 7541). Reading knows all of it; writing uses none of it, which every peer
// understands and which needs no state.

import { readHuffman } from './huffman.ts';

export type Header = readonly [name: string, value: string];

/** Appendix A. What has a value is worth an index by itself, of the others only the name is used. */
const staticTable: readonly Header[] = (
  ':authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|' +
  ':status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|' +
  'accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|' +
  'content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|' +
  'cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|' +
  'last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|' +
  'server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate'
)
  .split('|')
  .map((entry) => {
    const [name = '', value = ''] = entry.split('=');
    return [name, value] as const;
  });

/** §4.1: what an entry counts for beside its text. */
const ENTRY_OVERHEAD = 32;

/** Reads the header blocks of one direction of one connection, in order. */
export class HeaderDecoder {
  readonly #mostBytes: number;
  #maxBytes: number;
  #bytes = 0;
  /** The newest first. */
  readonly #dynamic: Header[] = [];
  #block: Uint8Array = new Uint8Array();
  #at = 0;

  /** `tableBytes`: what we have announced as SETTINGS_HEADER_TABLE_SIZE, 4096 when nothing. */
  constructor(tableBytes = 4096) {
    this.#mostBytes = tableBytes;
    this.#maxBytes = tableBytes;
  }

  /** Throws an Error when the block is not HPACK; the connection is lost then (RFC 9113 §4.3). */
  decode(block: Uint8Array): Header[] {
    this.#block = block;
    this.#at = 0;
    const headers: Header[] = [];
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if (first & 0x80) headers.push(this.#entry(this.#integer(7)));
      else if ((first & 0xe0) === 0x20) this.#resize(this.#integer(5));
      else headers.push(this.#literal(first & 0x40 ? 'kept' : 'not kept'));
    }
    return headers;
  }

  /** §6.2. */
  #literal(kept: 'kept' | 'not kept'): Header {
    const index = this.#integer(kept === 'kept' ? 6 : 4);
    const name = index === 0 ? this.#text() : this.#entry(index)[0];
    const header = [name, this.#text()] as const;
    if (kept === 'kept') {
      this.#dynamic.unshift(header);
      this.#bytes += sizeOf(header);
      this.#evict();
    }
    return header;
  }

  #entry(index: number): Header {
    const header = staticTable[index - 1] ?? this.#dynamic[index - 1 - staticTable.length];
    if (header === undefined) throw new Error(`there is no header with index ${index}`);
    return header;
  }

  #resize(bytes: number): void {
    if (bytes > this.#mostBytes) throw new Error('the table of headers was made larger than announced');
    this.#maxBytes = bytes;
    this.#evict();
  }

  #evict(): void {
    while (this.#bytes > this.#maxBytes) {
      const oldest = this.#dynamic.pop();
      if (oldest === undefined) return;
      this.#bytes -= sizeOf(oldest);
    }
  }

  /** §5.1, with the first `prefixBits` of it in the present byte. */
  #integer(prefixBits: number): number {
    const full = 2 ** prefixBits - 1;
    let value = this.#byte() & full;
    if (value < full) return value;
    for (let scale = 1; scale <= 2 ** 21; scale *= 0x80) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new Error('a number among the headers is too large');
  }

  #text(): string {
    const huffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const bytes = this.#block.subarray(this.#at, this.#at + length);
    if (bytes.length < length) throw new Error('a block of headers ends too early');
    this.#at += length;
    return huffman ? readHuffman(bytes) : Buffer.from(bytes).toString('latin1');
  }

  #byte(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) throw new Error('a block of headers ends too early');
    return byte;
  }
}

const sizeOf = ([name, value]: Header): number => name.length + value.length + ENTRY_OVERHEAD;

/** §6.2.2: each header literally, to be kept by nobody. */
export const encodeHeaders = (headers: readonly Header[]): Buffer =>
  Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), encodeText(name), encodeText(value)]));

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  let rest = bytes.length;
  if (rest < 0x7f) length.push(rest);
  else {
    length.push(0x7f);
    for (rest -= 0x7f; rest >= 0x80; rest = Math.floor(rest / 0x80)) length.push((rest % 0x80) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
