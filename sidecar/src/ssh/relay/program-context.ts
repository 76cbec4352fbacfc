import type { Access } from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import type { ActionRecords } from '../../session/action-records.ts';
import type { Approval } from '../../session/approval.ts';
import type { Shown } from '../../session/shown.ts';
import type { ChannelHandler } from '../wire/channel.ts';
import type { OpenResult } from '../wire/channels.ts';
import type { Turns } from './turns.ts';

/** Opens a channel upstream, as soon as it is there. */
export type OpenUpstream = (
  type: string,
  payload: Buffer,
  handler: ChannelHandler,
  onResult: (result: OpenResult) => void,
) => void;

export interface ProgramContext {
  readonly session: string;
  readonly access: () => Access;
  readonly records: ActionRecords;
  readonly approval: Approval;
  readonly openUpstream: OpenUpstream;
  /** Why nothing can be opened there, in our words; undefined: it can, or it was the host that would not. */
  readonly whyNot: () => string | undefined;
  readonly shown: Shown;
  /** What has to come to its end before the session's record does. */
  readonly track: (work: Promise<unknown>) => void;
  /** Of all sessions that the agent has with the host: none changes links under another one's feet. */
  readonly turns: Turns;
  /** What the host calls itself. */
  readonly hostIdent: () => string;
  readonly clock: Clock;
  /** As of the session. */
  readonly leftMs: () => number;
  /** Something that is not the agent's fault ended the session's right to go on. */
  readonly onFault: (error: unknown) => void;
  /** Resolves when the agent's connection is over. */
  readonly gone: Promise<unknown>;
  /** The agent did something, or something happened for it; `bytes` went either way. */
  readonly onActivity: (bytes?: number) => void;
}
