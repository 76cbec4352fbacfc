export { type Member } from './archive.ts';
export { type PodCount } from './claims.ts';
export * from './layout.ts';
export * from './read-file.ts';
export * from './verify-file.ts';
export * from './words.ts';
