import { CODE_GROUPS, RETRY_ADVICE } from './codes.ts';
import type { CodeEntry } from './codes/entry.ts';
import { type CustomResourceDefinition, customResourceDefinitions, type StructuralSchema } from './crd.ts';
import { GLOB_SYNTAX } from './fields.ts';

const WRITTEN = '<!-- Written by npm run generate from api/src; do not edit. -->';

/** docs/reference/codes.md: every code with all its columns, for `DOCS/e/CODE`. */
export function codesReference(): string {
  const groups = CODE_GROUPS.map(({ title, codes }) =>
    [`## ${title}`, ...Object.entries<CodeEntry>(codes).map(([code, entry]) => codeSection(code, entry))].join('\n\n'),
  );
  const intro = [
    '# Codes',
    WRITTEN,
    'One word per situation. The same word stands in conditions, events, errors, what agents are told and metrics; `chaperone explain CODE` says what this page says. Codes are only ever added.',
  ];
  return `${[...intro, ...groups].join('\n\n')}\n`;
}

function codeSection(code: string, entry: CodeEntry): string {
  const { postgres } = entry;
  const lines = [
    `### ${code}`,
    '',
    entry.what,
    '',
    `- **Why**: ${entry.why}`,
    `- **Fix**: ${entry.fix}`,
    `- **Retry**: ${RETRY_ADVICE[entry.retry]}`,
    `- **For**: ${entry.audience.join(', ')}`,
    ...(postgres === undefined ? [] : [`- **PostgreSQL**: ${postgres.severity} ${postgres.sqlstate}`]),
    '',
    '```text',
    entry.example,
    '```',
  ];
  return lines.join('\n');
}

/** docs/reference/api.md: every field of every kind, as `kubectl explain` tells it. */
export function apiReference(): string {
  const intro = ['# API kinds', WRITTEN, 'Group `chaperone.dev`, version `v1alpha1`. `kubectl explain KIND.spec` says the same.'];
  const globs = ['## Globs', GLOB_SYNTAX.replace('Globs: ', 'Where a field takes globs, '), globTable()];
  return `${[...intro, ...customResourceDefinitions().map(kindSection), ...globs].join('\n\n')}\n`;
}

function globTable(): string {
  const rows = [
    ['`public.tickets`', 'that relation'],
    ['`public.*`', 'every relation of schema `public`'],
    ['`public.audit_*`', 'those whose name begins with `audit_`'],
    ['`**`', 'everything'],
    ['`**.ssn`', 'a column `ssn` anywhere'],
    ['`"odd.name".items`', 'relation `items` of the schema `odd.name`'],
  ];
  return ['| pattern | stands for |', '|---|---|', ...rows.map((cells) => `| ${cells.join(' | ')} |`)].join('\n');
}

function kindSection({ spec }: CustomResourceDefinition): string {
  const schema = spec.versions[0]?.schema.openAPIV3Schema;
  if (schema === undefined) throw new Error(`${spec.names.kind} has no version`);
  const short = spec.names.shortNames === undefined ? '' : `, short name \`${spec.names.shortNames.join('`, `')}\``;
  const scope = spec.scope === 'Namespaced' ? 'In a namespace' : 'Cluster-wide';
  const fields = ['spec', 'status'].flatMap((name) => {
    const child = schema.properties?.[name];
    return child === undefined ? [] : fieldRows(child, name, schema.required?.includes(name) ?? false);
  });
  return [
    `## ${spec.names.kind}`,
    schema.description ?? '',
    `${scope}${short}.`,
    ['| field | type | meaning |', '|---|---|---|', ...fields].join('\n'),
  ].join('\n\n');
}

function fieldRows(schema: StructuralSchema, path: string, required: boolean): string[] {
  const row = fieldRow(schema, path, required);
  if (schema.items === undefined) return [row, ...rowsWithin(schema, path)];
  const item = `${path}[]`;
  const own = rulesOf(schema.items).length > 0 ? [fieldRow(schema.items, item, false)] : [];
  return [row, ...own, ...rowsWithin(schema.items, item)];
}

function rowsWithin({ properties = {}, required = [] }: StructuralSchema, path: string): string[] {
  return Object.entries(properties).flatMap(([name, child]) => fieldRows(child, `${path}.${name}`, required.includes(name)));
}

function fieldRow(schema: StructuralSchema, path: string, required: boolean): string {
  const said = schema.description === undefined ? [] : [schema.description];
  const meaning = [...said, ...rulesOf(schema).map(({ message }) => `*Checked*: ${message}.`)].join('<br>');
  return `| \`${path}\`${required ? ' (required)' : ''} | ${typeOf(schema)} | ${cell(meaning)} |`;
}

const rulesOf = (schema: StructuralSchema) => schema['x-kubernetes-validations'] ?? [];

function typeOf(schema: StructuralSchema): string {
  if (schema.items !== undefined) return `list of ${typeOf(schema.items)}`;
  if (schema.enum !== undefined) return schema.enum.map((word) => `\`${word}\``).join(' ');
  if (schema.additionalProperties !== undefined) return `map of ${typeOf(schema.additionalProperties)}`;
  return schema.type;
}

/** Markdown tables end a cell at a bar, and read stars and angle brackets as their own. */
function cell(text: string): string {
  return text
    .replaceAll('|', '\\|')
    .replaceAll('**', '\\*\\*')
    .replaceAll(/(?<![*\\])\*(?= stands)/g, '\\*')
    .replaceAll(/<(?!br>)/g, '&lt;');
}
