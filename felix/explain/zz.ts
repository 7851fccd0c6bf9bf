
import { Cluster, largeCluster } from '../../test/felix/calc/cluster.ts';
import { PolicyWorld } from './policy-world.ts';
import { explain } from './explain.ts';
import { lintPolicies } from './lint.ts';
const entries=[...new Cluster(largeCluster,1).pages()].flat();
(globalThis as any).gc?.();
const m0=process.memoryUsage().heapUsed;
let t=performance.now();
const w=new PolicyWorld(entries); console.log('open',performance.now()-t); t=performance.now();
const a=w.end('10.0.0.5'),b=w.end('10.3.0.7'); console.log('ends',performance.now()-t); t=performance.now();
if(a.kind==='found'&&b.kind==='found'){ const x=explain(w,a.end,b.end,{protocol:6,sourcePort:50000,destinationPort:8080}); console.log('explain',performance.now()-t, typeof x==='string'?x:x.ingress.because); }
(globalThis as any).gc?.(); console.log('MiB',(process.memoryUsage().heapUsed-m0)/2**20, 'entries', entries.length);
t=performance.now(); console.log(lintPolicies(w).length, 'lint', performance.now()-t);
