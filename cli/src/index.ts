export { CliError } from './errors.ts';
export type { ClusterFlags } from './program.ts';
