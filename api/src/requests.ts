// What is said of requests for approval, and who may decide on them: without schemas, so that the page can have it.
export * from './request-grants.ts';
export * from './request-people.ts';
export * from './request-words.ts';
export { clientText, objectText, resourceText } from './call-words.ts';
