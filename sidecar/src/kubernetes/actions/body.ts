import type { BodyFormat } from './headers.ts';
import { isObject, type Json, JsonError, type JsonObject, readJson, writeJson } from './json.ts';
import { jsonOfProtobuf, ProtobufError } from '../wire/protobuf.ts';
import { Refusal, type Refused, refusable } from './refusal.ts';

/** One operation of a JSON Patch (RFC 6902). */
export interface PatchOperation {
  readonly op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test';
  /** Keys and indexes, unescaped. */
  readonly path: readonly string[];
  /** Of move and copy, likewise. */
  readonly from?: readonly string[];
  /** Of add, replace and test; of move and copy it is not known. */
  readonly value?: Json;
}

/** A body that was read. `send` goes upstream in place of what the client wrote, and is what was judged. */
export type Body = { readonly send: Buffer } & (
  | { readonly kind: 'object'; readonly value: JsonObject }
  | { readonly kind: 'operations'; readonly operations: readonly PatchOperation[] }
);

const OPS = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const;
const WITH_VALUE: ReadonlySet<string> = new Set(['add', 'replace', 'test']);
const WITH_FROM: ReadonlySet<string> = new Set(['move', 'copy']);
/** kube-apiserver takes no more in one patch (maxJSONPatchOperations). */
const MAX_OPERATIONS = 10_000;
/** A pointer names levels of an object. */
const MAX_POINTER = 4_096;

/**
 * Reads the body of a request. YAML is read where it is JSON too, as kubectl and clients of the API write it; it is written anew, since
 * YAML takes more characters for line breaks. Protobuf is read as the JSON that says the same, which goes upstream.
 *
 * @returns a refusal BodyTooLarge, BodyUnreadable, BodyAmbiguous, BodyShape
 */
export function readBody(bytes: Buffer, format: BodyFormat): Body | Refused {
  return refusable(() => {
    const text = format === 'protobuf' ? readProtobuf(bytes) : bytes;
    const value = read(text);
    if (format === 'json-patch') return { kind: 'operations', operations: operationsOf(value), send: text };
    if (!isObject(value)) throw new Refusal('BodyShape');
    return { kind: 'object', value, send: format === 'apply-patch' || format === 'yaml' ? writeJson(value) : text };
  });
}

function readProtobuf(bytes: Buffer): Buffer {
  try {
    return Buffer.from(jsonOfProtobuf(bytes));
  } catch (error) {
    throw error instanceof ProtobufError ? new Refusal('BodyUnreadable') : error;
  }
}

function read(bytes: Buffer): Json {
  try {
    return readJson(bytes);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const { fault } = error;
    if (fault === 'TooLarge' || fault === 'TooMany' || fault === 'TooDeep') throw new Refusal('BodyTooLarge');
    throw new Refusal(fault === 'Syntax' || fault === 'NotUtf8' ? 'BodyUnreadable' : 'BodyAmbiguous');
  }
}

function operationsOf(value: Json): PatchOperation[] {
  if (!Array.isArray(value) || value.length > MAX_OPERATIONS) throw new Refusal('BodyShape');
  return (value as readonly Json[]).map(operationOf);
}

/** Keys that no operation has are read by nobody; they are refused all the same. */
function operationOf(value: Json): PatchOperation {
  if (!isObject(value)) throw new Refusal('BodyShape');
  const op = OPS.find((known) => known === value['op']);
  if (op === undefined) throw new Refusal('BodyShape');
  const wanted = ['op', 'path', ...(WITH_VALUE.has(op) ? ['value'] : []), ...(WITH_FROM.has(op) ? ['from'] : [])];
  const keys = Object.keys(value);
  if (keys.length !== wanted.length || !wanted.every((key) => key in value)) throw new Refusal('BodyShape');
  const path = pointer(value['path']);
  const from = 'from' in value ? pointer(value['from']) : undefined;
  return { op, path, ...(from !== undefined && { from }), ...(value['value'] !== undefined && { value: value['value'] }) };
}

/** A JSON Pointer (RFC 6901). */
function pointer(value: Json | undefined): string[] {
  if (typeof value !== 'string' || value.length > MAX_POINTER || /~(?![01])/.test(value)) throw new Refusal('BodyShape');
  if (value === '') return [];
  if (!value.startsWith('/')) throw new Refusal('BodyShape');
  return value
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}
