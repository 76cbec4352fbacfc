export { Cluster, GOVERNED, ROOT } from './harness/cluster.ts';
export { demand, type Result, run } from './harness/run.ts';
