import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { customResourceDefinitions, type StructuralSchema, structuralSchema } from './crd.ts';
import { generatedFiles } from './generate.ts';

const root = join(import.meta.dirname, '../..');

describe('generated files', () => {
  test.each(generatedFiles())('$path is what npm run generate writes', ({ path, text }) => {
    expect(readFileSync(join(root, path), 'utf8')).toBe(text);
  });

  test('crds/ holds nothing else', () => {
    const generated = generatedFiles().flatMap(({ path }) => (path.startsWith('crds/') ? [path.slice('crds/'.length)] : []));
    expect(readdirSync(join(root, 'crds')).toSorted()).toEqual(generated.toSorted());
  });
});

interface Field {
  readonly path: string;
  readonly schema: StructuralSchema;
}

function fields(schema: StructuralSchema, path: string): Field[] {
  const children: [string, StructuralSchema | undefined][] = [
    ...Object.entries(schema.properties ?? {}),
    ['[]', schema.items],
    ['{}', schema.additionalProperties],
  ];
  return [
    { path, schema },
    ...children.flatMap(([name, child]) => (child === undefined ? [] : fields(child, `${path}.${name}`))),
  ];
}

const definitions = customResourceDefinitions().map((crd) => {
  const version = crd.spec.versions[0];
  if (version === undefined) throw new Error('no version');
  return { kind: crd.spec.names.kind, crd, version, schema: version.schema.openAPIV3Schema };
});

describe.each(definitions)('the definition of $kind', ({ crd, version, schema }) => {
  const written = fields(schema, '').filter(({ path }) => /^[.](spec|status)/.test(path));

  test('explains every field', () => {
    const named = written.filter(({ path }) => !path.endsWith('[]') && !path.endsWith('{}'));
    expect(
      named.filter(
        ({ schema: field }) => !field.description?.endsWith('.') && !/(Default|Example): /.test(field.description ?? ''),
      ),
    ).toEqual([]);
  });

  test('bounds every string, list, map and number', () => {
    const unbounded = written.filter(({ schema: field }) => {
      if (field.type === 'string') return field.enum === undefined && field['maxLength'] === undefined;
      if (field.type === 'array') return field['maxItems'] === undefined;
      if (field.type === 'integer') return field['minimum'] === undefined || field['maximum'] === undefined;
      return field.additionalProperties !== undefined && field['maxProperties'] === undefined;
    });
    expect(unbounded.map(({ path }) => path)).toEqual([]);
  });

  test('gives each rule a message of one line', () => {
    for (const { schema: field } of written)
      for (const { message } of field['x-kubernetes-validations'] ?? []) expect(message).toMatch(/^[^\n]{10,160}$/);
  });

  test('has no pattern, whose message nobody could read', () => {
    expect(written.filter(({ schema: field }) => 'pattern' in field)).toEqual([]);
  });

  test('prints scalars only, name first and age last, the rest with -o wide', () => {
    const columns = version.additionalPrinterColumns;
    const narrow = columns.filter(({ priority }) => priority === undefined);
    expect(narrow.at(-1)?.name).toBe('Age');
    expect(columns.slice(narrow.length).every(({ priority }) => priority === 1)).toBe(true);
    for (const { jsonPath, type } of columns) {
      const found = written.find(({ path }) => path === jsonPath.replace(/\[(0|[?][^\]]*)\]/g, '.[]'));
      if (!jsonPath.startsWith('.metadata')) expect(found?.schema.type, jsonPath).toBe(type);
    }
  });

  test('is named by its plural and its group', () => {
    expect(crd.metadata.name).toBe(`${crd.spec.names.plural}.chaperone.dev`);
  });
});

test('people find what they write under one category, by short names', () => {
  const found = definitions.map(({ crd }) => [crd.spec.names.shortNames, crd.spec.names.categories, crd.spec.scope]);
  expect(found).toEqual([
    [['protres'], ['chaperone'], 'Namespaced'],
    [['accpol'], ['chaperone'], 'Namespaced'],
    [['accreq'], ['chaperone'], 'Namespaced'],
    [['appdec'], ['chaperone'], 'Namespaced'],
    [undefined, undefined, 'Namespaced'],
    [undefined, undefined, 'Cluster'],
    [undefined, undefined, 'Cluster'],
  ]);
});

describe('a schema that Kubernetes would refuse fails here', () => {
  test.each([
    ['a union', z.object({ a: z.union([z.string(), z.int()]) })],
    ['null', z.object({ a: z.string().nullable() })],
    ['a strict object', z.object({ a: z.strictObject({ b: z.string() }) })],
    ['anything', z.object({ a: z.unknown() })],
    ['a fraction', z.object({ a: z.number() })],
  ])('%s', (_, schema) => {
    expect(() => structuralSchema(schema)).toThrow(/structural schema|no single type/);
  });
});
