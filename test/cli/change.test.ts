// patch, label, validate, and Go templates.

import assert from 'node:assert/strict';
import { jsonPatch, mergePatch, strategicMergePatch } from '../../cli/patch.ts';
import { Cli } from './harness.ts';

const pool = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: main}
spec: {cidr: 10.0.0.0/16, natOutgoing: true}
`;

const filled = async (): Promise<Cli> => {
  const cli = await Cli.start();
  await cli.run('apply -f -', pool);
  return cli;
};
const spec = async (cli: Cli): Promise<Record<string, unknown>> =>
  JSON.parse((await cli.run('get pool main -o json')).out).spec;

describe('patches', () => {
  it('merge as RFC 7396 says', () => {
    assert.deepEqual(mergePatch({ a: 'b', c: { d: 1, e: 2 } }, { a: null, c: { d: null, f: [1] } }), {
      c: { e: 2, f: [1] },
    });
    assert.deepEqual(mergePatch(['a'], { b: 1 }), { b: 1 });
  });

  it('merge strategically as Kubernetes does where no list has a merge key', () => {
    const before = { a: { b: 1, c: 2 }, list: [{ name: 'x', v: 1 }], words: ['p', 'q', 'r'] };
    const cases: readonly (readonly [unknown, unknown])[] = [
      [{ a: { b: null, d: 3 } }, { ...before, a: { c: 2, d: 3 } }],
      [{ a: { $patch: 'replace', d: 3 } }, { ...before, a: { d: 3 } }],
      [{ a: { $patch: 'delete' } }, { ...before, a: {} }],
      [{ a: { $retainKeys: ['c', 'd'], d: 3 } }, { ...before, a: { c: 2, d: 3 } }],
      [{ list: [{ name: 'x', w: 2 }] }, { ...before, list: [{ name: 'x', w: 2 }] }],
      [{ '$deleteFromPrimitiveList/words': ['q', 'z'] }, { ...before, words: ['p', 'r'] }],
      [
        { '$setElementOrder/words': ['r'], words: ['r', 's'] },
        { ...before, words: ['r', 's'] },
      ],
    ];
    for (const [patch, value] of cases)
      assert.deepEqual(strategicMergePatch(before, patch), { kind: 'patched', value }, JSON.stringify(patch));
    for (const [patch, problem] of [
      [{ a: { $patch: 'remove' } }, /\$patch is "remove"; it can be merge, replace or delete/],
      [{ $retainKeys: 'a' }, /\$retainKeys is not a list/],
      [{ '$deleteFromPrimitiveList/words': 'q' }, /is not a list/],
    ] as const) {
      const result = strategicMergePatch(before, patch);
      assert.match(result.kind === 'refused' ? result.problem : result.kind, problem);
    }
  });

  it('operate as RFC 6902 says', () => {
    const before = { a: { b: [1, 2, 3] }, 'x/y': 1 };
    const operations = [
      { op: 'test', path: '/a/b/0', value: 1 },
      { op: 'remove', path: '/a/b/0' },
      { op: 'add', path: '/a/b/-', value: 4 },
      { op: 'add', path: '/a/b/1', value: 9 },
      { op: 'replace', path: '/x~1y', value: 2 },
      { op: 'copy', from: '/a/b', path: '/c' },
      { op: 'move', from: '/x~1y', path: '/d' },
    ];
    assert.deepEqual(jsonPatch(before, operations), {
      kind: 'patched',
      value: { a: { b: [2, 9, 3, 4] }, c: [2, 9, 3, 4], d: 2 },
    });
    assert.deepEqual(before, { a: { b: [1, 2, 3] }, 'x/y': 1 });
    for (const operation of [
      { op: 'remove', path: '/z' },
      { op: 'test', path: '/a/b/0', value: 7 },
      { op: 'add', path: '/a/b/9', value: 7 },
      { op: 'add', path: '/n/m', value: 7 },
      { op: 'put', path: '/a' },
    ]) {
      assert.equal(jsonPatch(before, [operation]).kind, 'refused', JSON.stringify(operation));
    }
  });
});

describe('twillctl patch', () => {
  it('changes fields by merge and by JSON patch', async () => {
    const cli = await filled();
    const merged = await cli.runWords([
      'patch',
      'ippool',
      'main',
      '-p',
      '{"spec":{"natOutgoing":null,"disabled":true}}',
    ]);
    assert.equal(merged.out, "Successfully patched 1 'IPPool' resource\n");
    assert.equal((await spec(cli))['disabled'], true);
    assert.equal((await spec(cli))['natOutgoing'], undefined);
    const operations = '[{"op":"replace","path":"/spec/disabled","value":false}]';
    assert.equal((await cli.runWords(['patch', 'ippool', 'main', '-t', 'json', '-p', operations])).code, 0);
    assert.equal((await spec(cli))['disabled'], undefined);
  });

  it('refuses what would not be valid, cannot change or is not there', async () => {
    const cli = await filled();
    const invalid = await cli.runWords(['patch', 'ippool', 'main', '-p', '{"spec":{"ipipMode":"Sometimes"}}']);
    assert.equal(invalid.code, 1);
    assert.match(invalid.err, /nothing was stored\n {2}spec.ipipMode: "Sometimes"/);
    const fixed = await cli.runWords(['patch', 'ippool', 'main', '-p', '{"spec":{"cidr":"10.1.0.0/16"}}']);
    assert.match(fixed.err, /Failed to patch 'IPPool' resource: .*spec.cidr: cannot change/);
    const missing = await cli.runWords(['patch', 'ippool', 'none', '-p', '{}']);
    assert.match(missing.err, /resource does not exist: IPPool\(none\)/);
  });
});

describe('twillctl label', () => {
  it('sets, updates and removes, in calicoctl’s words', async () => {
    const cli = await filled();
    assert.equal((await cli.run('label ippool main rack=a')).out, 'Successfully set label rack on ippool main\n');
    const refused = await cli.run('label ippool main rack=b');
    assert.match(refused.err, /key rack is already present. please use '--overwrite' to set a new value./);
    assert.equal(
      (await cli.run('label ippool main rack=b --overwrite')).out,
      'Successfully updated label rack on ippool main\n',
    );
    assert.equal(
      (await cli.run('label ippool main rack --remove')).out,
      'Successfully removed label rack from ippool main\n',
    );
    assert.match((await cli.run('label ippool main rack --remove')).err, /key rack does not exist/);
    assert.match((await cli.run('label ippool main rack')).err, /invalid label rack/);
    assert.match(
      (await cli.run('label ippool none a=b')).err,
      /failed to get ippool none, error resource does not exist/,
    );
  });
});

describe('twillctl validate', () => {
  it('needs no datastore', async () => {
    const cli = await Cli.start();
    assert.equal((await cli.run('validate -f -', pool)).out, "Successfully validated 1 'IPPool' resource(s)\n");
    assert.equal((await cli.run('validate -f -', pool.replace('/16', '/40'))).code, 1);
    assert.equal((await cli.store.list('/')).entries.length, 0);
  });
});

describe('go templates', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['{{range .}}{{.Metadata.Name}}{{end}}', 'main'],
    ['{{range .}}{{.ObjectMeta.Name}} {{.Name}} {{.Spec.CIDR}}{{end}}', 'main main 10.0.0.0/16'],
    ['{{range .}}{{if .Spec.NATOutgoing}}nat{{else}}none{{end}}{{end}}', 'nat'],
    ['{{range .}}{{if eq .Spec.IPIPMode "Always"}}a{{else if eq .Spec.IPIPMode "Never"}}b{{end}}{{end}}', 'b'],
    ['{{range .}}{{join .Spec.AllowedUses ","}}{{end}}', 'Workload,Tunnel'],
    ['{{range $i, $p := .}}{{$i}}={{$p.Name}}{{end}}', '0=main'],
    ['{{range .}}{{with .Spec}}{{.BlockSize}}{{end}}{{end}}', '26'],
    ['{{range .}}{{range .Spec.AllowedUses}}[{{.}}]{{else}}none{{end}}{{end}}', '[Workload][Tunnel]'],
    ['{{len .}} {{printf "%-6s|%03d" "ab" 7}} {{"x" | printf "%s%s" "y"}}', '1 ab    |007 yx'],
    ['{{/* a comment */}}{{- range . -}}  {{ .Name }}  {{- end -}}', 'main'],
    ['{{$x := 5}}{{if and (gt $x 3) (not (eq $x 6))}}{{$x}}{{end}}', '5'],
    ['{{range .}}{{.Spec.Missing}}{{end}}', '<no value>'],
    ['{{range .}}{{.Spec.Disabled}} {{.Spec.DisableBGPExport}} {{.Spec.NATOutgoing}}{{end}}', 'false false true'],
    [
      '{{range .}}[{{.Spec.NamespaceSelector}}] {{.ObjectMeta.Labels}} {{.ObjectMeta.Generation}}{{end}}',
      '[] map[] <nil>',
    ],
    ['{{range .}}{{range .Items}}{{.Spec.CIDR}}{{end}}{{end}}', '10.0.0.0/16'],
    ['{{.metadata.name}} {{.Spec.cidr}} {{(index . 0).ObjectMeta.Name}}', 'main 10.0.0.0/16 main'],
    ['{{range .}}{{.TypeMeta.Kind}} {{.Kind}} {{.GetName}}{{end}}', 'IPPool IPPool main'],
    ['{{range .}}{{index .Spec.AllowedUses 1}}{{(index . "metadata").name}}{{end}}', 'Tunnelmain'],
  ];
  for (const [template, expected] of cases) {
    it(template, async () => {
      const cli = await filled();
      const result = await cli.runWords(['get', 'pool', 'main', '-o', `go-template=${template}`]);
      assert.equal(result.err, '');
      assert.equal(result.out, expected);
    });
  }

  it('reads lists through .Items, and templates from files', async () => {
    const cli = await filled();
    cli.files.set('t.tmpl', '{{range .}}{{range .Items}}{{.ObjectMeta.Name}}\n{{end}}{{end}}');
    assert.equal((await cli.run('get pools -o go-template-file=t.tmpl')).out, 'main\n');
  });

  const lists: readonly (readonly [string, string])[] = [
    ['{{range .}}{{range .Items}}{{.ObjectMeta.Name}},{{end}}{{end}}', 'a,b,'],
    ['{{range .}}{{range .Items}}{{.Metadata.Name}} {{.Spec.Node}}{{"\\n"}}{{end}}{{end}}', 'a n1\nb n2\n'],
    [
      '{{range .}}{{range .Items}}{{range .Spec.ExpectedIPs}}{{printf "%v\\n" .}}{{end}}{{end}}{{end}}',
      '10.0.0.1\nfd00::1\n',
    ],
    [
      '{{range .}}{{range .Items}}{{.Spec.InterfaceName}}{{.Spec.ExpectedIPs}}{{end}}{{end}}',
      'eth0[][10.0.0.1 fd00::1]',
    ],
    ['{{range .}}{{range $i, $e := .Items}}{{if $i}}, {{end}}{{$e.Name}}{{end}}{{end}}', 'a, b'],
    ['{{range .items}}{{.metadata.name}} {{end}}', 'a b '],
    ['{{range .}}{{len .Items}} {{.Kind}}{{end}}', '2 HostEndpointList'],
  ];
  for (const [template, expected] of lists) {
    it(`of a list: ${template}`, async () => {
      const cli = await Cli.start();
      const specs = ['{node: n1, interfaceName: eth0}', '{node: n2, expectedIPs: [10.0.0.1, "fd00::1"]}'];
      const manifests = specs.map(
        (spec, i) =>
          `{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: ${'ab'[i]}}, spec: ${spec}}\n`,
      );
      assert.equal((await cli.run('apply -f -', manifests.join('---\n'))).code, 0);
      const result = await cli.runWords(['get', 'hostendpoints', '-o', `go-template=${template}`]);
      assert.equal(result.err, '');
      assert.equal(result.out, expected);
    });
  }

  it('says what is wrong with a template', async () => {
    const cli = await filled();
    for (const [template, message] of [
      ['{{.Name', /unclosed action/],
      ['{{if .}}', /{{end}} is missing/],
      ['{{nope .}}', /function "nope" is not defined/],
      ['{{$x}}', /undefined variable "\$x"/],
      ['{{range .}}{{.Items.Name}}{{end}}', /can't evaluate field Name in a list: write {{range …}} around it/],
    ] as const) {
      const result = await cli.runWords(['get', 'pools', '-o', `go-template=${template}`]);
      assert.match(result.err, message);
    }
  });
});
