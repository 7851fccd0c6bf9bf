// Shows that a Felix parameter that is set and does nothing is named, and that defaults and effective ones are not.

import { strict as assert } from 'node:assert';
import { FelixConfig } from '../../../felix/config.ts';
import { parametersWithoutEffect } from '../../../felix/dataplane/parameters.ts';

describe('Felix parameters', () => {
  const withEnvironment = (environment: Readonly<Record<string, string>>): string[] =>
    parametersWithoutEffect(new FelixConfig('node1', { environment }).resolve().parameters);

  it('says nothing about defaults, nor about what has an effect', () => {
    assert.deepEqual(withEnvironment({}), []);
    assert.deepEqual(withEnvironment({ FELIX_INTERFACEPREFIX: 'tap', FELIX_LOGPREFIX: 'x' }), []);
  });

  it('names what is set in vain', () => {
    assert.deepEqual(withEnvironment({ FELIX_BPFENABLED: 'true', FELIX_VXLANPORT: '4790' }), [
      'BPFEnabled',
      'VXLANPort',
    ]);
  });
});
