// A cluster of three real etcd members loses one, also the leader and also one that only hangs; and a cluster is restored
// from a backup, so that revisions go back and its id changes. Followers lose nothing and end up equal to the store.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { openStore } from '../../../datastore/etcd.ts';
import { KvError, type KvStore } from '../../../datastore/kv.ts';
import { Follower } from '../../datastore/follower.ts';
import { until } from '../../datastore/until.ts';
import { type Daemon, freePort, startEtcd, temporaryDirectory } from './processes.ts';

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  daemon: Daemon;
}

describe('datastore/etcd with a cluster', function () {
  this.timeout(90_000);

  describe('of three members', () => {
    const directory = temporaryDirectory();
    const members: Member[] = [];
    let store: KvStore;
    let follower: Follower;
    let acknowledged = 0;

    const endpoint = (member: Member): string => `http://127.0.0.1:${member.clientPort}`;
    const start = (member: Omit<Member, 'daemon'>, cluster: string): Daemon =>
      startEtcd({
        ...member,
        dataDir: `${directory.path}/${member.name}`,
        cluster,
        extra: ['--initial-cluster-token', directory.path],
      });
    let cluster = '';

    before(async () => {
      const planned = [];
      for (const name of ['a', 'b', 'c'])
        planned.push({ name, clientPort: await freePort(), peerPort: await freePort() });
      cluster = planned.map(({ name, peerPort }) => `${name}=http://127.0.0.1:${peerPort}`).join(',');
      for (const member of planned) members.push({ ...member, daemon: start(member, cluster) });
      for (const member of members) await member.daemon.answers({ port: member.clientPort });
      store = await openStore({
        etcdEndpoints: members.map(endpoint).join(','),
        requestTimeoutMs: 2000,
        keepaliveMs: 1000,
        keepaliveTimeoutMs: 1000,
      });
      await until(async () => (await store.status().catch(() => undefined)) !== undefined, 'a leader', 20_000);
      await write('start');
      follower = new Follower(store, ['/cluster/'], 50);
      await follower.inSync();
    });
    after(async () => {
      follower?.syncer.close();
      await store?.close();
      for (const { daemon } of members) await daemon.stop('SIGKILL');
      directory.remove();
    });

    /** As a careful caller does: a create, repeated until it is known to have happened. */
    const write = async (key: string): Promise<void> => {
      const deadline = Date.now() + 30_000;
      for (;;) {
        try {
          await store.transact({
            compare: [{ key: `/cluster/${key}`, target: 'version', is: 0 }],
            then: [{ kind: 'put', key: `/cluster/${key}`, value: key }],
          });
          acknowledged++;
          return;
        } catch (error) {
          if (!(error instanceof KvError && error.retryable) || Date.now() > deadline) throw error;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    const writeMany = async (label: string): Promise<void> => {
      for (let i = 0; i < 50; i++) await write(`${label}-${i}`);
    };
    const settled = async (): Promise<void> => {
      await follower.equals(store, ['/cluster/'], 20_000);
      await follower.inSync(20_000);
      assert.equal(follower.twin.size, acknowledged, 'each acknowledged key, once');
      const revisions = follower.updates.map((update) => update.revision);
      assert.deepEqual(
        revisions,
        [...revisions].sort((a, b) => a - b),
      );
    };
    const served = async (): Promise<Member> => {
      const { member: id } = await store.status();
      for (const member of members) {
        if (!member.daemon.running) continue;
        const one = await openStore({ etcdEndpoints: endpoint(member) });
        const status = await one.status().catch(() => undefined);
        await one.close();
        if (status?.member === id) return member;
      }
      throw new Error('no member serves us');
    };
    const leader = async (): Promise<Member> => {
      const { leader: id } = await store.status();
      for (const member of members) {
        const one = await openStore({ etcdEndpoints: endpoint(member) });
        const status = await one.status();
        await one.close();
        if (status.member === id) return member;
      }
      throw new Error('the cluster has no leader');
    };

    it('goes on when the member that serves it is killed, and when it is back', async () => {
      const member = await served();
      const writing = writeMany('killed');
      await until(() => acknowledged > 10, 'some writes');
      await member.daemon.stop('SIGKILL');
      await writing;
      await settled();
      member.daemon = start(member, cluster);
      await member.daemon.answers({ port: member.clientPort });
      await writeMany('back');
      await settled();
    });

    it('goes on when the leader is killed', async () => {
      const member = await leader();
      const writing = writeMany('leader');
      await member.daemon.stop('SIGKILL');
      await writing;
      await settled();
      member.daemon = start(member, cluster);
      await member.daemon.answers({ port: member.clientPort });
    });

    it('goes on when the member that serves it hangs without closing a connection', async () => {
      const member = await served();
      const serving = async () => (await store.status()).member;
      const stopped = await serving();
      member.daemon.child.kill('SIGSTOP');
      try {
        await writeMany('hanging');
        assert.notEqual(await serving(), stopped, 'another member serves now');
        await settled();
      } finally {
        member.daemon.child.kill('SIGCONT');
      }
      await writeMany('awake');
      await settled();
    });
  });

  describe('restored from a backup', () => {
    const directory = temporaryDirectory();
    let ports: { readonly clientPort: number; readonly peerPort: number };
    let etcd: Daemon;
    let store: KvStore;

    const start = async (dataDir: string): Promise<void> => {
      etcd = startEtcd({ dataDir, ...ports });
      await etcd.answers({ port: ports.clientPort });
      // It takes connections before it has elected itself, and answers nothing until then.
      etcdctl('--endpoints', `http://127.0.0.1:${ports.clientPort}`, 'endpoint', 'health');
    };
    const etcdctl = (...args: string[]): void => {
      execFileSync('etcdctl', args, { env: { ...process.env, ETCDCTL_API: '3' }, stdio: 'pipe' });
    };
    const put = (key: string, value: string) =>
      store.transact({ compare: [], then: [{ kind: 'put', key: `/restored/${key}`, value }] });

    before(async () => {
      ports = { clientPort: await freePort(), peerPort: await freePort() };
      await start(`${directory.path}/data`);
      store = await openStore({ etcdEndpoints: `http://127.0.0.1:${ports.clientPort}`, requestTimeoutMs: 1000 });
    });
    after(async () => {
      await store.close();
      await etcd.stop();
      directory.remove();
    });

    it('is noticed, and the difference is delivered: what the backup had not goes, what it had comes back', async () => {
      await put('same', '1');
      await put('changed', 'old');
      await put('deleted', '1');
      const endpoint = `http://127.0.0.1:${ports.clientPort}`;
      etcdctl('--endpoints', endpoint, 'snapshot', 'save', `${directory.path}/backup`);
      await put('changed', 'new');
      await put('added', '1');
      await store.transact({ compare: [], then: [{ kind: 'delete', key: '/restored/deleted' }] });
      for (let i = 0; i < 20; i++) await put('added', String(i));
      const follower = new Follower(store, ['/restored/'], 2);
      await follower.inSync();
      follower.take();
      const before = (await store.status()).clusterId;

      await etcd.stop();
      rmSync(`${directory.path}/data`, { recursive: true });
      const peer = `http://127.0.0.1:${ports.peerPort}`;
      etcdctl(
        ...['snapshot', 'restore', `${directory.path}/backup`, '--data-dir', `${directory.path}/data`, '--name', 'one'],
        ...['--initial-cluster', `one=${peer}`, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster-token', 'restored'],
      );
      await start(`${directory.path}/data`);
      await follower.equals(store, ['/restored/'], 20_000);
      await follower.inSync(20_000);
      assert.notEqual((await store.status()).clusterId, before);
      assert.deepEqual(follower.take().sort(), ['-/restored/added', '/restored/changed=old', '/restored/deleted=1']);
      assert.ok(follower.errors.includes('rewound'), `errors: ${follower.errors.join(' ')}`);
      await put('after', '1');
      await follower.equals(store, ['/restored/']);
      follower.syncer.close();
    });
  });
});
