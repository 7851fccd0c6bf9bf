// What people feed in: several documents, lists, JSON in every form, byte order marks – and what is wrong with the rest.

import assert from 'node:assert/strict';
import { Cli } from './harness.ts';

const pool = (name: string, cidr: string) =>
  `{"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "${name}"}, "spec": {"cidr": "${cidr}"}}`;
const yaml = (name: string, cidr: string) =>
  `apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: ${name}\nspec:\n  cidr: ${cidr}\n`;
const a = ['a', '10.1.0.0/16'] as const;
const b = ['b', '10.2.0.0/16'] as const;

describe('manifests', () => {
  const good: Readonly<Record<string, string>> = {
    'YAML documents, some of them empty': `---\n${yaml(...a)}---\n# nothing\n---\n---\n${yaml(...b)}...\n`,
    'Windows line ends': `${yaml(...a)}---\n${yaml(...b)}`.replaceAll('\n', '\r\n'),
    'a byte order mark before YAML': `\uFEFF${yaml(...a)}---\n${yaml(...b)}`,
    'a byte order mark before JSON': `\uFEFF[${pool(...a)}, ${pool(...b)}]`,
    'JSON values one after the other, as jq writes them': `${pool(...a)}\n${pool(...b)}\n`,
    'JSON documents as YAML separates them': `${pool(...a)}\n---\n${pool(...b)}\n`,
    'YAML in braces': `{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: a}, spec: {cidr: 10.1.0.0/16}}\n---\n${pool(...b)}`,
    'a list of Kubernetes': `{"apiVersion": "v1", "kind": "List", "items": [${pool(...a)}, ${pool(...b)}]}`,
    'a list of the kind, whose items do not say what they are': `
apiVersion: projectcalico.org/v3
kind: IPPoolList
metadata: {resourceVersion: "7"}
items:
- {metadata: {name: a}, spec: {cidr: 10.1.0.0/16}}
- {metadata: {name: b}, spec: {cidr: 10.2.0.0/16}}
`,
    'the same said twice, as in a sample of Calico’s': `${yaml(...a)}  cidr: 10.1.0.0/16\n---\n${yaml(...b)}`,
    'lists in a list, as get of several kinds gives them': `[{"kind": "IPPoolList", "apiVersion": "projectcalico.org/v3", "items": [${pool(...a)}]}, ${pool(...b)}]`,
    'anchors and merges': `
kind: List
apiVersion: v1
items:
- &pool {apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: a}, spec: {cidr: 10.1.0.0/16}}
- {<<: *pool, metadata: {name: b}, spec: {cidr: 10.2.0.0/16}}
`,
  };
  for (const [what, text] of Object.entries(good)) {
    it(`takes ${what}`, async () => {
      const cli = await Cli.start();
      const applied = await cli.run('apply -f -', text);
      assert.equal(applied.err, '');
      assert.equal(applied.out, "Successfully applied 2 'IPPool' resource(s)\n");
      assert.match((await cli.run('get ippools')).out, /^a +10\.1\.0\.0\/16 .*\nb +10\.2\.0\.0\/16 /m);
    });
  }

  const bomb = [
    'a: &a [x, x, x, x, x, x, x, x]',
    ...['b', 'c', 'd', 'e', 'f'].map((name, i) => {
      const before = 'abcde'[i];
      return `${name}: &${name} [*${before}, *${before}, *${before}, *${before}, *${before}, *${before}, *${before}, *${before}]`;
    }),
  ].join('\n');
  const bad: Readonly<Record<string, readonly [string, RegExp]>> = {
    'a tab': [
      'kind: IPPool\nmetadata:\n\tname: a\n',
      /standard input: Tabs are not allowed as indentation at line 3, column 1/,
    ],
    'a name twice in YAML': [
      'kind: IPPool\nkind: Tier\n',
      /standard input: kind is given twice, with different values, at line 2, column 1/,
    ],
    'a name twice in JSON': [
      '{"kind": "IPPool",\n "metadata": {"name": "a", "name": "b"}}',
      /standard input: the name "name" occurs twice in an object, at line 2, column 28/,
    ],
    'a comma too many': ['{"kind": "IPPool",\n  "spec": {,}}', /standard input: .*position 30 \(line 2,? column 12\)/],
    'half a JSON value': ['{"kind": "IPPool"', /standard input: /],
    'aliases of aliases': [bomb, /standard input: Excessive alias count/],
    'an alias of nothing': ['kind: *pool\n', /standard input: .*[Uu]nresolved alias.*pool/],
    words: ['hello\n', /standard input: not a resource\n {2}: "hello" is not a resource; give kind, apiVersion/],
    'a number for the whole': ['- 1\n', /standard input, item 1: not a resource/],
    nothing: ['', /No resources specified in file -/],
    'only a comment': ['# later\n', /No resources specified in file -/],
    'an empty list': [
      'kind: IPPoolList\napiVersion: projectcalico.org/v3\nitems: []\n',
      /No resources specified in file -/,
    ],
    'a resource of Kubernetes': [
      'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}}\n',
      /apiVersion: "networking.k8s.io\/v1" is not served; write projectcalico.org\/v3/,
    ],
  };
  for (const [what, [text, message]] of Object.entries(bad)) {
    it(`says what is wrong with ${what}`, async () => {
      const cli = await Cli.start();
      const { code, out, err } = await cli.run('apply -f -', text);
      assert.match(err, message);
      assert.equal(out, '');
      assert.equal(code, 1);
    });
  }
});
