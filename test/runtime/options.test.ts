// Options: precedence of flag, environment, file and default; errors that name where a bad value came from.

import assert from 'node:assert/strict';
import { choice, flag, helpText, integer, parseOptions, text } from '../../runtime/options.ts';

const table = {
  port: integer({ flag: 'port', environment: 'PORT', default: 9099, min: 0, max: 65535, value: 'port', help: 'Port.' }),
  name: text({ flag: 'name', environment: 'NAME', default: 'x', value: 'name', help: 'Name.' }),
  level: choice({ flag: 'level', default: 'info', choices: ['info', 'warn'], value: 'level', help: 'Level.' }),
  keep: flag({ flag: 'keep', environment: 'KEEP', default: false, help: 'Keep.' }),
} as const;

const parse = (argv: string[], environment: Record<string, string> = {}, file = '{}') =>
  parseOptions(table, { argv, environment, readFile: () => file });

describe('options', () => {
  it('takes the flag before the environment before the file before the default', () => {
    const result = parse(
      ['--port', '1', '--config=f'],
      { PORT: '2', NAME: 'env' },
      '{"port": 3, "name": "file", "level": "warn"}',
    );
    assert.deepEqual(result, {
      kind: 'values',
      values: { port: 1, name: 'env', level: 'warn', keep: false },
      rest: [],
    });
  });

  it('reads switches, equals signs and words', () => {
    const result = parse(['felix', '--keep', '--name=a=b']);
    assert.deepEqual(result, {
      kind: 'values',
      values: { port: 9099, name: 'a=b', level: 'info', keep: true },
      rest: ['felix'],
    });
  });

  for (const [argv, environment, file, message] of [
    [['--port', '70000'], {}, '{}', '--port: "70000" is not a whole number from 0 to 65535'],
    [[], { PORT: 'ten' }, '{}', 'PORT: "ten" is not a whole number from 0 to 65535'],
    [['--level', 'loud'], {}, '{}', '--level: "loud" is none of info, warn'],
    [['--colour'], {}, '{}', '--colour is not an option here; --help lists them'],
    [['--name'], {}, '{}', '--name needs a value'],
    [['--config', 'f.json'], {}, '{"prot": 1}', 'f.json: no option is named "prot"'],
    [
      ['--config', 'f.json'],
      {},
      '{"keep": "maybe"}',
      '"keep" in the configuration file: "maybe" is neither true nor false',
    ],
  ] as const) {
    it(`says: ${message}`, () => {
      assert.deepEqual(parse([...argv], environment, file), { kind: 'problem', message });
    });
  }

  it('aligns its help', () => {
    assert.equal(
      helpText('Usage: x', table),
      `Usage: x

Options:
  --port <port>    Port. (default 9099, $PORT)
  --name <name>    Name. (default x, $NAME)
  --level <level>  Level. (default info)
  --keep           Keep. ($KEEP)
  --config <file>  JSON file with the same options, written in camelCase.
  --help           This text.
`,
    );
  });
});
