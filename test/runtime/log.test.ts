// Shows that a logger and all that were made of it change their level while the process runs.

import assert from 'node:assert/strict';
import { createAdjustableLogger } from '../../runtime/log.ts';

describe('a logger with a level that changes', () => {
  it('takes its children with it, those of children and those to come', () => {
    const lines: string[] = [];
    const { log, setLevel } = createAdjustableLogger('test', 'info', { write: (line) => void lines.push(line) });
    const peer = log.child({ peer: 'a' });
    const part = peer.child({ part: 'b' });
    const silent = log.child({}, { level: 'silent' });
    const said = (): string[] => {
      for (const one of [log, peer, part, silent, log.child({ peer: 'c' })]) {
        one.debug('d');
        one.error('e');
      }
      return lines.splice(0).map((line) => JSON.parse(line).msg);
    };
    assert.deepEqual(said(), ['e', 'e', 'e', 'e']);
    setLevel('debug');
    assert.deepEqual(said(), ['d', 'e', 'd', 'e', 'd', 'e', 'd', 'e']);
    setLevel('fatal');
    assert.deepEqual(said(), []);
    setLevel('info');
    assert.deepEqual(said(), ['e', 'e', 'e', 'e']);
  });
});
