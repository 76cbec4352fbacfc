import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AccessPolicy } from './policy.ts';
import { ProtectedResource } from './resource.ts';

/**
 * Objects as API servers stored them under the CRDs of their day, defaults and all. What a later schema refuses would take part in
 * nothing, a Deny included: so the file is only ever added to, and each of its objects is read as it was.
 */
type Stored = Pick<AccessPolicy | ProtectedResource, 'kind' | 'metadata'> & { readonly spec: Readonly<Record<string, unknown>> };
const objects = JSON.parse(readFileSync(join(import.meta.dirname, 'testdata/stored-1.json'), 'utf8')) as Stored[];
const schemas = { AccessPolicy, ProtectedResource };

describe.each(objects.map((object) => [object.kind, object.metadata.name, object] as const))('%s %s', (kind, _name, object) => {
  test('is read as it was stored, with nothing left out and no other default', () => {
    expect(schemas[kind].parse(object)).toEqual(object);
  });

  test('is read without what another release may have added to it', () => {
    const spec = Object.fromEntries(
      Object.entries(object.spec).map(([field, value]) => [field, Array.isArray(value) ? value.map(withMore) : value]),
    );
    expect(schemas[kind].parse({ ...object, spec: { ...spec, addedLater: [{ a: 1 }] } })).toEqual(object);
  });
});

const withMore = (value: unknown): unknown =>
  typeof value === 'object' && value !== null ? { ...value, addedLater: { deny: true } } : value;
