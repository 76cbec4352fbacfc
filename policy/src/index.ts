export * from './access.ts';
export * from './action.ts';
