import type { Unit } from '@chaperone/api';
import type { Action, Effect } from '@chaperone/policy';
import { type Exec, execAction, readExec, type Unknown } from '../actions/index.ts';
import { encode, parse } from '../wire/channel-messages.ts';

/** What an agent asks to run on a channel, and what of it goes upstream once it may. */
export interface Asking {
  readonly unit: Unit;
  /** As it is recorded and shown. */
  readonly text: string;
  readonly bytes: number;
  readonly action: Action;
  /** Why it cannot be told what a command runs. */
  readonly unknown?: Unknown;
  /** What runs, as people approve it. */
  readonly send: string;
  /** The request that goes upstream. */
  readonly request: 'exec' | 'shell' | 'subsystem';
  readonly payload: Buffer;
  /** Whether what it prints is text, in which detectors look; files are passed as they are. */
  readonly isText: boolean;
  /** SFTP is spoken on the channel. */
  readonly isSftp: boolean;
}

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
        isSftp: subsystem === 'sftp',
      } as const;
      return { ...shared, action: { effects: [effect] }, request: 'subsystem', payload: encode.subsystem(subsystem) };
    }
    default: {
      parse.shell(payload);
      const effect: Effect = { verb: 'shell', object: '', via: 'direct', kind: 'shell' };
      const shared = { unit: 'shell', text: 'shell', send: 'shell', bytes: payload.length, isText: true, isSftp: false } as const;
      return { ...shared, action: { effects: [effect] }, request: 'shell', payload: encode.shell() };
    }
  }
}

function readCommand(command: Buffer): Asking {
  const exec = readExec(command);
  const send = exec.kind === 'unknown' ? command : Buffer.from(exec.send);
  return {
    unit: 'command',
    text: command.toString(),
    bytes: command.length,
    action: isOldScp(exec)
      ? { effects: [], notAnalysable: 'it copies by the old protocol of scp; leave -O out' }
      : execAction(exec, command),
    ...(exec.kind === 'unknown' && { unknown: exec }),
    send: send.toString(),
    request: 'exec',
    payload: encode.exec(send),
    isText: exec.kind !== 'transfer',
    isSftp: exec.kind === 'transfer' && exec.transfer.protocol === 'sftp',
  };
}

/** It names files within its stream, where nobody reads them here. */
function isOldScp(exec: Exec): boolean {
  return exec.kind === 'transfer' && exec.transfer.protocol === 'scp';
}

/** A command with a terminal is as little to be seen through as a shell. */
export function withTerminal(action: Action): Action {
  return { ...action, effects: [...action.effects, { verb: 'shell', object: '', via: 'direct', kind: 'shell' }] };
}
