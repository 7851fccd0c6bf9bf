// The profile that is there without being stored: listed, shown, applied as it is, and otherwise left alone.

import assert from 'node:assert/strict';
import { Cli } from './harness.ts';

const name = 'projectcalico-default-allow';
const profile = (called: string) => `
kind: Profile
apiVersion: projectcalico.org/v3
metadata: {name: ${called}}
spec: {}
`;

describe(`twillctl and ${name}`, () => {
  it('lists it in order, in every format, with and without others', async () => {
    const cli = await Cli.start();
    assert.equal((await cli.run('get profiles')).out, `NAME\n${name}\n\n`);
    await cli.run('apply -f -', [profile('kns.a'), profile('zone')].join('---'));
    assert.equal((await cli.run('get profiles')).out, `NAME\nkns.a\n${name}\nzone\n\n`);
    const { items } = JSON.parse((await cli.run('get profiles -o json')).out);
    assert.deepEqual(
      items.map((item: { metadata: { name: string } }) => item.metadata.name),
      ['kns.a', name, 'zone'],
    );
    const { spec } = JSON.parse((await cli.run(`get profile ${name} -o json`)).out);
    assert.deepEqual(spec, { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] });
  });

  it('takes back what get shows, and stores nothing of it', async () => {
    const cli = await Cli.start();
    await cli.run('apply -f -', profile('kns.a'));
    for (const verb of ['apply', 'replace', 'validate']) {
      const shown = await cli.run('get profiles -o yaml');
      const { code, err } = await cli.run(`${verb} -f -`, shown.out);
      assert.equal(code, 0, err);
    }
    const keys = (await cli.store.list('/calico/resources/v3/projectcalico.org/profiles/')).entries.map(
      ({ key }) => key,
    );
    assert.deepEqual(keys, ['/calico/resources/v3/projectcalico.org/profiles/kns.a']);
  });

  it('refuses to change, to make and to delete it', async () => {
    const cli = await Cli.start();
    const shown = await cli.run(`get profile ${name} -o yaml`);
    assert.match((await cli.run('apply -f -', profile(name))).err, /metadata.name: is built in/);
    assert.match((await cli.run('create -f -', shown.out)).err, /resource already exists/);
    assert.match((await cli.run(`delete profile ${name}`)).err, /is built in and cannot be deleted/);
    assert.match((await cli.run(`label profile ${name} a=b`)).err, /is built in and cannot be changed/);
    assert.match((await cli.runWords(['patch', 'profile', name, '-p', '{"spec":{"egress":[]}}'])).err, /is built in/);
  });
});
