export * from './config.ts';
export { buildProfile } from './injection/profile.ts';
export { startOperator, type Operator, type OperatorOptions } from './operator.ts';
