// Bytes as hexadecimal text with spaces, for tests that show a message beside its bytes.

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Spaces and line breaks are for the reader. */
export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

export const plain = (text: string): string => text.replaceAll(/\s/g, '');
