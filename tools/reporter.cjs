// Mocha's "spec" report, and the counts in the file that tools/test.mjs names.

const { writeFileSync } = require('node:fs');
const { reporters, Runner } = require('mocha');

class CountingSpec extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures } = this.stats;
      if (process.env.TWILL_TEST_COUNTS) {
        writeFileSync(process.env.TWILL_TEST_COUNTS, JSON.stringify({ passed: passes, failed: failures }));
      }
      // A test that failed half-way may have left something open; one that passed may not, and then we wait for ever.
      if (failures > 0) setTimeout(() => process.exit(1), 2000).unref();
    });
  }
}

module.exports = CountingSpec;
