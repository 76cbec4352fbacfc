import { readdirSync, readFileSync } from 'node:fs';
import { BACKEND, dataRowCells, decodeErrorResponse, encodeBind, MessageReader } from '../wire/index.ts';
import { canaryIn, showsCanary } from '../masking/canary.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

/** One attack of testdata/attacks: a sentence, and what is sent, one message after the other. */
export interface Attack {
  readonly channel: string;
  readonly name: string;
  readonly messages: readonly string[];
}

const FOLDER = new URL('./testdata/attacks/', import.meta.url);

/** `# NAME`, then one message a line; a line that begins with white space goes on with the message before. `[17]` is the least major. */
export function attacks(major: number): Attack[] {
  return readdirSync(FOLDER)
    .toSorted()
    .flatMap((file) =>
      readFileSync(new URL(file, FOLDER), 'utf8')
        .split(/^# /m)
        .slice(1)
        .map((block) => {
          const [title = '', ...lines] = block.trimEnd().split('\n');
          const [, since = '0', name = ''] = /^(?:\[(\d+)\] )?(.*)$/.exec(title) ?? [];
          const messages = lines.join('\n').split(/\n(?![ \t])/);
          return { channel: file.replace(/\.sql$/, ''), name, messages, since: Number(since) };
        }),
    )
    .filter(({ since }) => since <= major);
}

/** The statements of masking/testdata, which are named by themselves. */
export function expressions(major: number): Attack[] {
  return readFileSync(new URL('../masking/testdata/exfiltration.sql', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && Number(/^\/\*(\d+)\*\//.exec(line)?.[1] ?? 0) <= major)
    .map((line) => ({ channel: 'expressions', name: line, messages: [line] }));
}

/** How one statement is said to the server. */
export type Way = 'simple' | 'repeated' | 'extended' | 'copy' | 'explain';
export const WAYS: readonly Way[] = ['simple', 'repeated', 'extended', 'copy', 'explain'];

/** What an agent was sent, and what became of the attack. */
export interface Answer {
  readonly leak: string | undefined;
  /** The first error: SQLSTATE, or the code of a refusal; what came otherwise. */
  readonly outcome: string;
}

const begin = say.query('begin');
const rollback = say.query('rollback');
const COPY_FAIL = Buffer.from([0x66, 0, 0, 0, 6, 0x78, 0]);

function inBinary(statement: string, portal: string): Buffer {
  return encodeBind({ portal, statement, parameterFormats: [], parameters: [], resultFormats: [1] });
}

/** The bytes of one statement; all but reads that are repeated stand between BEGIN and ROLLBACK. */
function spoken(sql: string, way: Way): Buffer[] {
  switch (way) {
    case 'simple':
      return [begin, say.query(sql), rollback];
    case 'repeated':
      return [say.query(sql), say.query(sql), say.query(sql)];
    case 'extended':
      // Named, described once, run by parts, then once more in text and binary without being described.
      return [
        begin,
        say.parse(sql, 'a'),
        say.bind('a', 'p'),
        say.describe('portal', 'p'),
        say.execute('p', 1),
        say.execute('p'),
        say.close('portal', 'p'),
        say.sync(),
        rollback,
        begin,
        say.bind('a'),
        say.execute(),
        say.sync(),
        rollback,
        begin,
        inBinary('a', ''),
        say.execute(),
        say.sync(),
        rollback,
        say.close('statement', 'a'),
        say.sync(),
      ];
    case 'copy':
      return [begin, say.query(`copy (${sql}) to stdout`), rollback];
    default:
      return [begin, say.query(`explain (verbose, costs off) ${sql}`), rollback];
  }
}

const isCopyIn = (sql: string): boolean => /^\s*copy\b.*\bfrom\b(?!.*\bto stdout)/i.test(sql);
/** What EXPLAIN and COPY can be put around. */
const QUERY = /^\s*(?:select|with|values|table|insert|update|delete|merge|\()/i;
const READ = /^\s*(?:select|values|table)/i;

/** Whether an attack makes sense in a way; attacks of several messages are said once, as they are. */
export function fits({ channel, messages }: Attack, way: Way): boolean {
  if (way === 'simple') return true;
  const [only = '', ...more] = messages;
  if (more.length > 0 || channel === 'messages' || isCopyIn(only)) return false;
  if (way === 'extended') return true;
  if (way === 'repeated') return READ.test(only);
  // A plan repeats the text's own literals, which the agent knew before.
  return QUERY.test(only) && !(way === 'explain' && showsCanary(only));
}

/** Connections that are opened anew whenever one was ended. */
export class Speaker implements AsyncDisposable {
  readonly #open: () => Promise<RawClient>;
  #client: RawClient | undefined;

  constructor(open: () => Promise<RawClient>) {
    this.#open = open;
  }

  async attack({ channel, messages }: Attack, way: Way): Promise<Answer> {
    const alone = messages.length > 1 || channel === 'messages';
    if (alone) await this[Symbol.asyncDispose]();
    this.#client = this.#client?.closed === false ? this.#client : await this.#open();
    const client = this.#client;
    client.bytes.splice(0);
    client.heard.splice(0);
    if (alone || isCopyIn(messages[0] ?? '')) for (const sql of messages) await exchange(client, [say.query(sql)]);
    else await exchange(client, spoken(messages[0] ?? '', way));
    const answer = read(Buffer.concat(client.bytes));
    if (alone) await this[Symbol.asyncDispose]();
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.[Symbol.asyncDispose]();
    this.#client = undefined;
  }
}

async function exchange(client: RawClient, messages: readonly Buffer[]): Promise<void> {
  if (client.closed) return;
  const ends = messages.filter((message) => message[0] === 0x53 || message[0] === 0x51).length;
  client.send(...messages);
  for (let heard = 0; heard < ends && !client.closed; ) {
    const part = await client.until(
      (all) => all.some(([type]) => type === 'G') || all.filter(([type]) => type === 'Z').length >= ends - heard,
    );
    heard += part.filter(([type]) => type === 'Z').length;
    if (part.some(([type]) => type === 'G')) client.send(COPY_FAIL);
  }
}

/** Looks through every byte that came, and through the parts that values can be put together from. */
function read(bytes: Buffer): Answer {
  const reader = new MessageReader({ decide: () => 'whole' });
  reader.push(bytes);
  const errors: string[] = [];
  const columns: string[][] = [];
  let error: string | undefined;
  let last = 'silence';
  for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
    if (piece.kind !== 'message') continue;
    if (piece.type === BACKEND.DataRow) {
      [...dataRowCells(piece.bytes)].forEach((cell, at) => (columns[at] ??= []).push(cell?.toString('latin1') ?? ''));
    } else if (piece.type === BACKEND.ErrorResponse || piece.type === BACKEND.NoticeResponse) {
      const fields = decodeErrorResponse(piece.bytes);
      errors.push(...textsOf(fields));
      if (piece.type === BACKEND.ErrorResponse && fields.C !== '25P02') error ??= outcomeOf(fields.C ?? '', fields.M ?? '');
    }
    last = answered(piece.type) ?? (last === 'silence' ? 'done' : last);
  }
  return { leak: canaryIn(bytes, { errors, columns }), outcome: error ?? last };
}

function answered(type: number): 'rows' | 'copy' | undefined {
  if (type === BACKEND.DataRow) return 'rows';
  return type === BACKEND.CopyData ? 'copy' : undefined;
}

/** The position, the line of the server's source, and our own number of the action hold any digits. */
function textsOf(fields: ReturnType<typeof decodeErrorResponse>): string[] {
  return Object.entries(fields)
    .filter(([letter]) => !'PpL'.includes(letter))
    .flatMap(([, text]) => (text === undefined ? [] : [text.replace(/Reference s-\S+/, '')]));
}

function outcomeOf(state: string, message: string): string {
  const [, code] = message.startsWith('chaperone:') ? (/\(([A-Z][A-Za-z]+)\)/.exec(message) ?? []) : [];
  return code === undefined ? `error ${state}` : `refused ${code}`;
}
