export * from './access.ts';
export * from './action.ts';
export * from './control.ts';
