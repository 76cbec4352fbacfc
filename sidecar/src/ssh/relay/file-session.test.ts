import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecordBody } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, it } from 'vitest';
import { systemClock } from '../../platform.ts';
import { ActionRecords } from '../../session/action-records.ts';
import { SFTP } from '../actions/index.ts';
import type { Channel } from '../wire/channel.ts';
import { string, uint32 } from '../wire/data.ts';
import { packet, TYPE } from '../wire/sftp.ts';
import type { Approved } from '../../session/approval.ts';
import { FileSession } from './file-session.ts';
import { accessOf, SFTP_SERVER } from './files.test-support.ts';
import type { ProgramContext } from './program-context.ts';
import { Shown } from '../../session/shown.ts';
import { Turns } from './turns.ts';

const channel = (write: (data: Buffer) => void): Channel =>
  ({ write, eof: () => undefined, close: () => undefined, consumed: () => undefined }) as unknown as Channel;

it.skipIf(!SFTP_SERVER)(
  'records what was released when its session was over, before whoever closes the record goes on',
  async () => {
    await using directory = await temporaryDirectory('sftp-');
    const root = await realpath(directory.path);
    writeFileSync(join(root, 'file'), 'content');
    const access = accessOf([['RequireApproval', ['delete'], [`${root}/**`]]]);
    const records: RecordBody[] = [];
    const append = (body: RecordBody): Promise<void> => {
      records.push(body);
      return Promise.resolve();
    };
    const [asked, answer] = [Promise.withResolvers<undefined>(), Promise.withResolvers<Approved>()];
    const [work, ends]: [Promise<unknown>[], [string, string][]] = [[], []];
    const server = spawn(SFTP_SERVER ?? '', { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
    const context = {
      session: 's-a',
      access: () => access,
      records: new ActionRecords(
        { session: 's-a', append, close: () => Promise.resolve() },
        () => access,
        () => undefined,
      ),
      approval: {
        ask: (_: unknown, __: unknown, onWaiting: (refusal: object) => void) => {
          onWaiting({ code: 'ApprovalPending' });
          asked.resolve(undefined);
          return answer.promise;
        },
      },
      shown: new Shown(() => access),
      track: (each: Promise<unknown>) => void work.push(each),
      turns: new Turns(),
      hostIdent: () => 'SSH-2.0-OpenSSH_9.2',
      clock: systemClock,
      onActivity: () => undefined,
    } as unknown as ProgramContext;
    const session = new FileSession({
      context,
      action: 0,
      transfer: SFTP,
      agent: channel(() => undefined),
      server: channel((data) => void server.stdin.write(data)),
      gone: new Promise(() => undefined),
      onBroken: (error) => {
        throw error;
      },
    });
    server.stdout.on('data', (data: Buffer) => session.fromServer(data));
    session.fromAgent(packet(TYPE.init, uint32(3)));
    session.fromAgent(packet(TYPE.remove, uint32(1), string('file')));
    await asked.promise;
    session.close();
    answer.resolve({ kind: 'released', ended: (state, result) => void ends.push([state, result]), isCurrent: () => true });
    await Promise.all(work);
    const outcome = 'the agent was gone; it did not run';
    expect(records.at(-1)).toMatchObject({ type: 'file', operation: 'delete', path: `${root}/file`, outcome });
    expect(ends).toEqual([['Failed', outcome]]);
    expect(existsSync(join(root, 'file'))).toBe(true);
    server.kill();
  },
);
