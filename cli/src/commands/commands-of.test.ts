import type { SessionRecord } from '@chaperone/evidence';
import { describe, expect, test } from 'vitest';
import { Commands, commandTables } from './commands-of.ts';

type Body<T extends SessionRecord['type']> = Omit<Extract<SessionRecord, { type: T }>, 'type' | 'seq' | 'at' | 'mono'>;
type Effect = Body<'action'>['effects'][number];

let seq = 0;
const record = <T extends SessionRecord['type']>(type: T, body: Body<T>): SessionRecord =>
  ({ type, seq: seq++, at: 0, mono: 0, ...body }) as unknown as SessionRecord;

const use = (verb: string, object: string): Effect => ({ verb, object, via: 'direct', verdict: 'allow', rule: 'files' });
function asked(action: number, text: string, effects: Effect[], verdict: 'allow' | 'approve' | 'deny' = 'allow'): SessionRecord {
  const code = verdict === 'deny' ? 'NoRuleAllows' : 'Allowed';
  return record('action', { action, text, bytes: text.length, verdict, code, reason: '', effects });
}
const moved = (operation: Body<'file'>['operation'], path: string, bytes: number, outcome = 'ok', to?: string): SessionRecord =>
  record('file', { action: 0, operation, path, bytes, outcome, ...(to === undefined ? {} : { to }) });
const state = (action: number, word: Body<'approval'>['state']): SessionRecord =>
  record('approval', { action, digest: '', state: word, waitedMs: 1, decisions: [] });
const done = (action: number, tag: string): SessionRecord =>
  record('done', { action, tag, rows: 0, bytes: 7, digest: '', truncated: false, maskedValues: 0, durationMs: 1 });

/** The rows of the first table, by their cells. */
function rowsOf(...records: SessionRecord[]): string[][] {
  const commands = new Commands();
  for (const each of records) commands.take(each);
  const [table = ''] = commandTables(commands.list);
  return table.split('\n').map((line) => line.trimEnd().split(/ {2,}/));
}

const SFTP = asked(0, 'sftp', [use('subsystem', 'sftp')]);

describe('what ran in a session', () => {
  test('has the number that its agent was told, and an end for each file', () => {
    expect(
      rowsOf(
        SFTP,
        asked(1, 'list "/srv"', [use('list', '/srv')]),
        asked(2, 'read "/srv/a"', [use('read', '/srv/a')]),
        moved('list', '/srv', 0),
        // What is refused meanwhile ends nothing else.
        moved('read', '/srv/a', 0, 'denied'),
        moved('delete', '/srv/a', 0, 'failed'),
        moved('read', '/srv/a', 12),
        asked(3, 'delete "/srv/a"', [use('delete', '/srv/a')], 'deny'),
        moved('delete', '/srv/a', 0, 'denied'),
        asked(4, 'rename: delete "/srv/b", write "/srv/c"', [use('delete', '/srv/b'), use('write', '/srv/c')]),
        moved('rename', '/srv/b', 0, 'Failure', '/srv/c'),
        asked(5, 'read "/srv/a"', [use('read', '/srv/a')]),
        done(0, 'exit 0'),
      ),
    ).toEqual([
      ['ACTION', 'VERDICT', 'ENDED', 'BYTES', 'DECIDED', 'COMMAND'],
      ['0', 'allow', 'exit 0', '7', '-', 'sftp'],
      ['1', 'allow', 'ok', '-', '-', 'list "/srv"'],
      ['2', 'allow', 'ok', '12', '-', 'read "/srv/a"'],
      ['3', 'deny', 'NoRuleAllows', '-', '-', 'delete "/srv/a"'],
      ['4', 'allow', 'Failure', '-', '-', 'rename: delete "/srv/b", write "/srv/c"'],
      ['5', 'allow', '-', '-', '-', 'read "/srv/a"'],
    ]);
  });

  test('keeps the end of a copy that a command made by itself', () => {
    const rsync = asked(1, 'rsync --server . /srv/a', [use('write', '/srv/a')]);
    expect(rowsOf(SFTP, rsync, done(1, 'exit 23'), moved('write', '/srv/a', 3)).at(-1)).toEqual([
      '1',
      'allow',
      'exit 23',
      '7',
      '-',
      'rsync --server . /srv/a',
    ]);
  });

  test.each<[Body<'approval'>['state'] | undefined, string]>([
    ['Released', 'approved'],
    ['Denied', 'denied'],
    ['Expired', 'expired'],
    ['Withdrawn', 'withdrawn'],
    ['Voided', 'voided'],
    ['Pending', 'pending'],
    [undefined, 'held'],
  ])('that people were asked about says what they made of it: %s', (word, cell) => {
    const records = [asked(0, 'touch x', [use('exec', 'touch x')], 'approve'), ...(word === undefined ? [] : [state(0, word)])];
    expect(rowsOf(...records).at(-1)?.[1]).toBe(cell);
  });
});
