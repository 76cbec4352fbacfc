export * from './recorded.ts';
export * from './states.ts';
