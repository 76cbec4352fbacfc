/**
 * One object, row or event of an answer, bytes of JSON. etcd takes 1.5 MiB of a write by default (its --max-request-bytes), and
 * protobuf grows less than fivefold as JSON.
 */
export const MAX_ELEMENT_BYTES = 8 * 1024 * 1024;
/** Levels of objects and lists within each other. Schemas of CustomResourceDefinitions, the deepest in use, stay below 100. */
export const MAX_DEPTH = 256;
/** JSON in a text in JSON, levels. kubectl leaves the last applied object out of the next one. */
export const MAX_TEXT_DEPTH = 3;
/** A key above this, bytes, is not remembered; the API server's are below 320 (a name and a DNS prefix). */
export const MAX_REMEMBERED_KEY = 320;
