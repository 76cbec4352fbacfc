import { z } from 'zod';
import { type StructuralSchema, structuralSchema } from '../crd.ts';
import { nearest, visible } from '../text.ts';
import type { Path } from './documents.ts';

/** Something wrong at a field, as a sentence that begins with the field. */
export interface FieldProblem {
  readonly path: Path;
  /** Whether the key itself is the problem, rather than its value. */
  readonly part: 'key' | 'value';
  readonly message: string;
}

export type Validation<T> = { readonly value: T } | { readonly problems: readonly FieldProblem[] };

/** A reader of one kind: parses a value by the schema, and finds the fields that the schema does not know, at any depth. */
export function validator<S extends z.ZodType>(schema: S): (value: unknown) => Validation<z.output<S>> {
  const structure = structuralSchema(schema);
  return (value) => {
    const result = schema.safeParse(value);
    const issues = result.success ? [] : result.error.issues.map((issue) => problemOf(issue, value));
    const problems = [...unknownFields(structure, value, []), ...firstPerField(issues)];
    return result.success && problems.length === 0 ? { value: result.data } : { problems };
  };
}

/** `rules[1].sql.statements`, as people write it: without the `spec.` that everything is in. */
export function fieldName(path: Path): string {
  const shown = path[0] === 'spec' && path.length > 1 ? path.slice(1) : path;
  let name = '';
  for (const segment of shown) {
    if (typeof segment === 'number') name += `[${segment}]`;
    else name += `${name === '' ? '' : '.'}${visible(segment, MAX_SHOWN)}`;
  }
  return name;
}

const MAX_SHOWN = 64;

function unknownFields(schema: StructuralSchema, value: unknown, path: Path): FieldProblem[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? [] : value.flatMap((item, index) => unknownFields(items, item, [...path, index]));
  }
  if (!isObject(value)) return [];
  const { properties = {}, additionalProperties } = schema;
  const open = schema['x-kubernetes-preserve-unknown-fields'] === true;
  return Object.entries(value).flatMap(([key, child]) => {
    const known = Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
    if (known !== undefined) return unknownFields(known, child, [...path, key]);
    return open || schema.type !== 'object' ? [] : [unknownField(key, Object.keys(properties), path)];
  });
}

function unknownField(key: string, known: readonly string[], parent: Path): FieldProblem {
  const path = [...parent, key];
  if (key === '') {
    const message = `${fieldName(parent)} has a key that YAML reads as nothing; write it in quotes: "null"`;
    return { path, part: 'key', message };
  }
  const meant = nearest(key, known);
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  return { path, part: 'key', message: `${fieldName(path)} is unknown${hint}` };
}

/** The first thing said about a field is the most basic one; the others follow from it. */
function firstPerField(problems: readonly FieldProblem[]): FieldProblem[] {
  const seen = new Set<string>();
  return problems.filter(({ path }) => {
    const key = JSON.stringify(path);
    const first = !seen.has(key);
    seen.add(key);
    return first;
  });
}

function problemOf(issue: z.core.$ZodIssue, root: unknown): FieldProblem {
  const path = issue.path.map((segment) => (typeof segment === 'number' ? segment : String(segment)));
  const field = fieldName(path);
  const phrase = phraseOf(issue, valueAt(root, path));
  const message = issue.code === 'custom' ? `${field}: ${phrase}` : `${field} ${phrase}`;
  return { path, part: 'value', message: message.replace(/^:? /, '') };
}

/** No phrase repeats a value, apart from a short word where one of a list is expected. */
function phraseOf(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case 'custom':
      return issue.message;
    case 'invalid_type':
      return value === undefined ? 'is required' : `must be ${aOrAn(issue.expected)}, not ${nameOf(value)}`;
    case 'invalid_value':
      return value === undefined ? 'is required' : listed(issue.values, value);
    case 'too_big':
      return `must ${bound(issue.origin, 'at most', Number(issue.maximum))}`;
    case 'too_small':
      return `must ${bound(issue.origin, 'at least', Number(issue.minimum))}`;
    case 'invalid_key':
      return `is not a valid key: ${issue.issues[0]?.message ?? 'mend it'}`;
    default:
      return 'is invalid';
  }
}

function listed(values: readonly unknown[], value: unknown): string {
  const words = values.map(String);
  const meant = typeof value === 'string' ? nearest(value, words) : undefined;
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  return `has an unsupported value; supported values: ${words.map((word) => `"${word}"`).join(', ')}${hint}`;
}

function bound(origin: string, which: 'at most' | 'at least', limit: number): string {
  if (origin === 'string') return `have ${which} ${limit} character${limit === 1 ? '' : 's'}`;
  if (origin === 'array') return `have ${which} ${limit} item${limit === 1 ? '' : 's'}`;
  return `be ${which} ${limit}`;
}

function aOrAn(type: string): string {
  if (type === 'record') return 'a mapping';
  if (type === 'object') return 'a mapping';
  if (type === 'array') return 'a list';
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function nameOf(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : `a ${typeof value}`;
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const segment of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, segment)) return undefined;
    value = (value as Record<string | number, unknown>)[segment];
  }
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
