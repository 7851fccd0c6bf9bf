// A flow that goes on: two processes that talk to each other until they are ended.

import { type ChildProcess, spawn } from 'node:child_process';
import { until } from './node.ts';

/** A network namespace by its name. */
export interface Place {
  readonly netns: string;
}

/** Both ends send a line every 20 ms and print what they get. */
const talker = (protocol: 'tcp' | 'udp'): Record<'server' | 'client', string> =>
  protocol === 'tcp'
    ? {
        server: `require('net').createServer(s=>{setInterval(()=>s.write('s\\n'),20);s.on('data',()=>console.log('got'));s.on('error',()=>{})}).listen(PORT)`,
        // The server may still be starting.
        client: `(function go(){const s=require('net').connect(PORT,HOST);const t=setInterval(()=>s.write('c\\n'),20);s.on('data',()=>console.log('got'));s.on('error',e=>{clearInterval(t);if(e.code==='ECONNREFUSED')setTimeout(go,50)})})()`,
      }
    : {
        server: `const d=require('dgram').createSocket('udp6');let to;d.on('message',(m,r)=>{to=r;console.log('got')});d.bind(PORT);setInterval(()=>to&&d.send('s',to.port,to.address),20)`,
        client: `const d=require('dgram').createSocket(HOST.includes(':')?'udp6':'udp4');d.on('message',()=>console.log('got'));setInterval(()=>d.send('c',PORT,HOST),20)`,
      };

export class Flow {
  private readonly ends: readonly ChildProcess[];
  private readonly heard = [0, 0];

  constructor(client: Place, server: Place, address: string, number: number, protocol: 'tcp' | 'udp') {
    const program = talker(protocol);
    const run = ({ netns }: Place, text: string): ChildProcess => {
      const script = text.replaceAll('PORT', `${number}`).replaceAll('HOST', `'${address}'`);
      return spawn('ip', ['netns', 'exec', netns, process.execPath, '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    };
    const listening = run(server, program.server);
    this.ends = [listening, run(client, `setTimeout(()=>{${program.client}},150)`)];
    for (const [i, end] of this.ends.entries()) {
      end.stdout?.on('data', () => {
        this.heard[i] = (this.heard[i] ?? 0) + 1;
      });
    }
  }

  private mark(): number[] {
    return [...this.heard];
  }

  /** Both ends hear each other. */
  async lives(): Promise<void> {
    const before = this.mark();
    await until(
      'both ends hear each other',
      () => this.heard.every((count, i) => count > (before[i] ?? 0) + 2),
      15_000,
    );
  }

  /** Neither end hears the other: for 300 ms on end. */
  async dies(): Promise<void> {
    let last = this.mark();
    let since = performance.now();
    await until(
      'silence in both directions',
      () => {
        const now = this.mark();
        if (now.join() !== last.join()) since = performance.now();
        last = now;
        return performance.now() - since > 300;
      },
      3000,
    );
  }

  end(): void {
    for (const end of this.ends) end.kill('SIGKILL');
  }
}
