// The modes of local-as in routers' words, for both kinds of configuration. RFC 7705.

import type { LocalAsSettings } from './settings.ts';

export type LocalAsMode = Omit<LocalAsSettings, 'asn'>;

/** Calico's. */
export const defaultLocalAsMode: LocalAsMode = { noPrepend: true, replaceAs: true, dualAs: false };

const modeWords = ['no-prepend', 'replace-as', 'dual-as'];

/** Some of the words, or "plain" for none of them; undefined when the text is neither. */
export function parseLocalAsMode(text: string): LocalAsMode | undefined {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  const has = (word: string): boolean => words.includes(word);
  const isMode = words.length > 0 && words.every((word) => modeWords.includes(word));
  if (!isMode && words.join() !== 'plain') return undefined;
  return { noPrepend: has('no-prepend'), replaceAs: has('replace-as'), dualAs: has('dual-as') };
}
