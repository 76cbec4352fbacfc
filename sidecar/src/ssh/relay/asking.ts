import type { Unit } from '@chaperone/api';
import type { Action, Effect } from '@chaperone/policy';
import { execAction, readExec, SFTP, type Transfer, type Unknown, unplaced } from '../actions/index.ts';
import { encode, parse } from '../wire/channel-messages.ts';
import { kept } from '../../lent.ts';

/** What an agent asks to run on a channel, and what of it goes upstream once it may. */
export interface Asking {
  readonly unit: Unit;
  /** As it is recorded and shown. */
  readonly text: string;
  readonly bytes: number;
  readonly action: Action;
  /** Why it cannot be told what a command runs. */
  readonly unknown?: Unknown;
  /** Why it cannot be told which files it means, a clause. */
  readonly unplaced?: string;
  /** What runs, as people approve it. */
  readonly send: string;
  /** The request that goes upstream. */
  readonly request: 'exec' | 'shell' | 'subsystem';
  readonly payload: Buffer;
  /** Whether what it prints is text, in which detectors look; files are passed as they are. */
  readonly isText: boolean;
  /** Files go through the channel that are judged one by one; absent: whatever goes through it was judged as it started. */
  readonly files?: Transfer;
  /** As of {@link Transfer.rules}. */
  readonly rules?: Transfer['rules'];
}

const ONE_BY_ONE: ReadonlySet<Transfer['protocol']> = new Set(['sftp', 'scp']);

/** Reads a request for something to run (RFC 4254, section 6.5). @throws SshError */
export function readAsking(name: string, payload: Buffer): Asking {
  switch (name) {
    case 'exec':
      return readCommand(parse.exec(payload));
    case 'subsystem': {
      const subsystem = parse.subsystem(payload);
      const effect: Effect = { verb: 'subsystem', object: subsystem, via: 'direct', kind: 'subsystem' };
      const shared = {
        unit: 'subsystem',
        text: subsystem,
        send: subsystem,
        bytes: payload.length,
        // One that is not known to carry files may carry text.
        isText: subsystem !== 'sftp',
        ...(subsystem === 'sftp' && { files: SFTP }),
      } as const;
      return { ...shared, action: { effects: [effect] }, request: 'subsystem', payload: encode.subsystem(subsystem) };
    }
    default: {
      parse.shell(payload);
      const effect: Effect = { verb: 'shell', object: '', via: 'direct', kind: 'shell' };
      const shared = {
        unit: 'shell',
        text: 'shell',
        send: 'shell',
        bytes: Buffer.byteLength('shell'),
        isText: true,
      } as const;
      return { ...shared, action: { effects: [effect] }, request: 'shell', payload: encode.shell() };
    }
  }
}

function readCommand(command: Buffer): Asking {
  const exec = readExec(command);
  const where = unplaced(exec);
  const send = exec.kind === 'unknown' ? command : Buffer.from(exec.send);
  return {
    unit: 'command',
    text: command.toString(),
    bytes: command.length,
    action: execAction(exec, command),
    ...(exec.kind === 'unknown' && { unknown: exec }),
    ...(where !== undefined && { unplaced: where }),
    send: send.toString(),
    request: 'exec',
    payload: kept(encode.exec(send)),
    isText: exec.kind !== 'transfer',
    ...(exec.kind === 'transfer' && ONE_BY_ONE.has(exec.transfer.protocol) && { files: exec.transfer }),
    ...(exec.kind === 'transfer' && exec.transfer.rules !== undefined && { rules: exec.transfer.rules }),
  };
}

/** A command with a terminal is as little to be seen through as a shell. */
export function withTerminal(action: Action): Action {
  if (action.effects.some(({ kind }) => kind === 'shell')) return action;
  return { ...action, effects: [...action.effects, { verb: 'shell', object: '', via: 'direct', kind: 'shell' }] };
}
