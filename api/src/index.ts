export * from './meta.ts';
export * from './policy.ts';
export * from './resource.ts';
