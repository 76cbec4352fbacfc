import type { AccessRequest, RequestState } from '@chaperone/api';
import { clockTime, shortDigest, stateOf } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { age, type Io, table, writeLine } from '../io.ts';
import { type DocumentOutput, isStream, writeDocument, writeNext } from '../output.ts';
import type { Paint, Style } from '../paint.ts';
import { fits, type RequestDesk, type RequestFilter } from '../requests/desk.ts';
import { effectCell, wholeLines } from '../requests/text.ts';

export type RequestsOutput = 'table' | 'wide' | 'json' | 'jsonl' | 'yaml' | 'name';

export interface ListOptions {
  readonly output: RequestsOutput;
  /** Infinity: all. */
  readonly limit: number;
  readonly namespaces: boolean;
  readonly paint: Paint;
}

/** `requests ls`: the newest first. */
export async function listRequests(desk: RequestDesk, filter: RequestFilter, options: ListOptions, io: Io): Promise<void> {
  const { output, limit } = options;
  const all = await desk.list(filter);
  const items = all.slice(0, limit);
  if (output === 'json' || output === 'yaml') await writeDocument(io, output, { apiVersion: 'v1', kind: 'List', items });
  else if (output === 'jsonl') for (const item of items) await writeNext(io, output, item);
  else if (output === 'name') for (const item of items) await writeLine(io.out, visible(item.metadata.name));
  else if (items.length === 0) io.err.write('No requests found.\n');
  else await writeLine(io.out, requestTable(items, options, io.now()));
  if (items.length < all.length)
    io.err.write(`${items.length} of ${all.length.toLocaleString('en-US')} shown; --limit 0 for all\n`);
}

/** `requests ls --watch`: what there is, then each change as another row, until it is interrupted. */
export async function watchRequests(desk: RequestDesk, filter: RequestFilter, options: ListOptions, io: Io): Promise<void> {
  const news = new News(filter, isStream(options.output));
  const rows = new Rows(options);
  for await (const request of desk.watch(filter, new AbortController().signal)) {
    if (!news.isNews(request)) continue;
    if (options.output === 'name') await writeLine(io.out, visible(request.metadata.name));
    else if (isStream(options.output)) await writeNext(io, options.output, request);
    else for (const line of rows.lines(request, io.now())) await writeLine(io.out, line);
  }
}

/** Keeps what is told twice from being shown twice. */
class News {
  readonly #filter: RequestFilter;
  readonly #isWhole: boolean;
  readonly #told = new Map<string, string>();

  /** @param isWhole - whether what it meets is told too: a row has no room for it */
  constructor(filter: RequestFilter, isWhole: boolean) {
    this.#filter = filter;
    this.#isWhole = isWhole;
  }

  /** One that leaves the states that are asked for is news a last time. */
  isNews(request: AccessRequest): boolean {
    const key = `${request.metadata.namespace ?? ''}/${request.metadata.name}`;
    const { preview, ...status } = request.status ?? {};
    const version = JSON.stringify([request.metadata.uid, status, this.#isWhole && preview]);
    const before = this.#told.get(key);
    const isWanted = fits(request, this.#filter);
    if (isWanted) this.#told.set(key, version);
    else this.#told.delete(key);
    return before !== version && (isWanted || before !== undefined);
  }
}

/** Rows of a table whose end is not known. */
class Rows {
  readonly #o: ListOptions;
  #widths: number[];
  #isBegun = false;

  constructor(options: ListOptions) {
    this.#o = options;
    this.#widths = headOf(options).map((column) => USUAL[column] ?? 0);
  }

  lines(request: AccessRequest, now: number): string[] {
    const [head = '', row = ''] = requestTable([request], this.#o, now, this.#widths).split('\n');
    this.#widths = columnsOf(head);
    const isFirst = !this.#isBegun;
    this.#isBegun = true;
    return isFirst ? [head, row] : [row];
  }
}

/** Where the columns of a printed head begin decides how wide later rows are. */
function columnsOf(head: string): number[] {
  const starts = [...head.matchAll(/\S+/g)].map(({ index }) => index);
  return starts.map((start, at) => (starts[at + 1] ?? start + 2) - start - 2);
}

const COLUMNS = ['NAME', 'AGENT', 'RESOURCE', 'EFFECT', 'STATE', 'VOTES', 'EXPIRES', 'AGE'];
/** How wide a column gets as a rule: the rows that follow are not known. */
const USUAL: Readonly<Record<string, number>> = { NAME: 19, EFFECT: 24, STATE: 9, EXPIRES: 9 };
/** After the others, so that scripts that count columns go on working; the purpose has blanks, and is the last. */
const WIDE_COLUMNS = ['RULE', 'DIGEST', 'PURPOSE'];
const STYLES = new Map<string, Style>(
  Object.entries({ Pending: 'warn', Ran: 'good', Denied: 'bad', Failed: 'bad' } satisfies Partial<Record<RequestState, Style>>),
);

function headOf({ namespaces, output }: ListOptions): string[] {
  return [...(namespaces ? ['NAMESPACE'] : []), ...COLUMNS, ...(output === 'wide' ? WIDE_COLUMNS : [])];
}

function requestTable(items: readonly AccessRequest[], options: ListOptions, now: number, widths?: readonly number[]): string {
  const { paint } = options;
  return table(
    headOf(options),
    items.map((request) => rowOf(request, options, now)),
    (cell, head) => paint(head === 'STATE' ? STYLES.get(cell) : undefined, cell),
    widths,
  );
}

function rowOf(request: AccessRequest, { namespaces, output }: ListOptions, now: number): string[] {
  const { metadata, spec, status } = request;
  const { agent, resource, rules } = spec;
  return [
    ...(namespaces ? [metadata.namespace ?? ''] : []),
    metadata.name,
    agent.pod ?? agent.serviceAccount,
    `${resource.namespace}/${resource.name}`,
    effectCell(request),
    stateOf(request),
    status?.votes ?? '',
    clockTime(spec.expiresAt),
    age(Date.parse(metadata.creationTimestamp ?? ''), now),
    ...(output === 'wide' ? [rules.map(({ rule }) => rule).join(','), shortDigest(spec.digest), agent.purpose] : []),
  ];
}

/** `requests show`: one request in sentences. */
export async function showRequest(
  desk: RequestDesk,
  name: string,
  { output, namespace }: { output: 'table' | DocumentOutput; namespace?: string | undefined },
  io: Io,
): Promise<void> {
  const request = await desk.get(name, namespace);
  if (output !== 'table') return writeDocument(io, output, request);
  for (const line of wholeLines(request, await desk.content(request), io.now())) await writeLine(io.out, line);
}
