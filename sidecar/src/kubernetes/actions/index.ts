export type { BodyFormat, HeaderList, Upgrade } from './headers.ts';
export { mediaTypeOf } from './headers.ts';
export type { Parameters } from './query.ts';
export type { Refused, RefusalCode } from './refusal.ts';
export { MAX_TARGET_BYTES, type PathRequest, type RawRequest, readRequest, type ResourceRequest } from './request.ts';
export type { Verb } from './verb.ts';
