import type { Exception } from './expected.ts';

/** What came out of the runs of one client against one PostgreSQL. */
export interface Result {
  readonly equal: number;
  readonly refused: number;
  readonly different: number;
  /** Steps that showed masks. */
  readonly masked: readonly string[];
}
/** By client: its version, and results by major version of PostgreSQL. */
export type Results = Readonly<Record<string, { readonly version: string; readonly majors: Readonly<Record<string, Result>> }>>;

const INTRODUCTION = `# PostgreSQL clients

<!-- Written by npm run golden:update from sidecar/test/clients; do not edit. -->

Each of these clients takes the same steps twice, as the same role of the same database: once with PostgreSQL itself, once through
Chaperone. A step is **equal** when result, types, formats and errors are the same; **masked** when the labelled columns, and nothing
else, are masked; **refused** when Chaperone answers with a code. The policy allows all that the role may do, so what is refused here is
refused whatever rules say. All clients but psql and pg_dump (whose pinned builds know no TLS) check the certificate.

The test is \`sidecar/test/clients/clients.test.ts\`; the steps are in \`sidecar/test/clients/programs\`.
`;

const row = (...cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
/** A step as code; PostgreSQL's own bars would end the cell. */
const code = (step: string): string => `\`${step.replaceAll('|', '\\|')}\``;

/** The page of the results, as Markdown. */
export function renderPage(results: Results, expected: Readonly<Record<string, Readonly<Record<string, Exception>>>>): string {
  const counts = Object.entries(results).flatMap(([client, { version, majors }]) => {
    const alike = Map.groupBy(Object.keys(majors), (major) => JSON.stringify(majors[major]));
    return [...alike].map(([text, same]) => {
      const { equal, masked, refused, different } = JSON.parse(text) as Result;
      const steps = equal + masked.length + refused + different;
      return row(client, version, same.join(', '), steps, equal, masked.length, refused, different);
    });
  });
  const exceptions = Object.entries(expected).flatMap(([client, steps]) =>
    Object.entries(steps).map(([step, exception]) => ({ client, step, ...exception })),
  );
  const refusals = exceptions.filter((each) => each.code !== undefined);
  const others = exceptions.filter((each) => each.code === undefined);
  const masks = Object.entries(results).map(([client, { majors }]) =>
    row(client, Object.values(majors).at(-1)?.masked.map(code).join(', ') ?? ''),
  );
  return `${[
    INTRODUCTION,
    row('client', 'version', 'PostgreSQL', 'steps', 'equal', 'masked', 'refused', 'different'),
    '|---|---|---|---|---|---|---|---|',
    ...counts,
    '\n## What is refused\n',
    row('client', 'step', 'PostgreSQL', 'code', 'why'),
    '|---|---|---|---|---|',
    ...refusals.map(({ client, step, majors, code: refusal = '', why }) =>
      row(client, code(step), majors?.join(', ') ?? 'all', `\`${refusal}\``, why),
    ),
    '\n## What differs\n',
    row('client', 'step', 'why'),
    '|---|---|---|',
    ...others.map(({ client, step, why }) => row(client, code(step), why)),
    '\n## What is masked\n',
    row('client', 'steps'),
    '|---|---|',
    ...masks,
  ].join('\n')}\n`;
}
