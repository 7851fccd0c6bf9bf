// The option that every program has: how much it logs.

import { logLevels } from './log.ts';
import { choice } from './options.ts';

export const logLevelOption = choice({
  flag: 'log-level',
  environment: 'TWILL_LOG_LEVEL',
  default: 'info',
  choices: logLevels,
  value: 'level',
  help: `One of ${logLevels.join(', ')}.`,
});
