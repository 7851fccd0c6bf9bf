// Killed at random moments, also while it takes a snapshot or begins a log, the engine has every acknowledged step.

import { crashAgainAndAgain } from './crash.ts';

describe('twill-datastore killed at random', function () {
  this.timeout(60_000);

  it('loses nothing in 25 rounds', async () => {
    await crashAgainAndAgain(25, 20261121);
  });
});
