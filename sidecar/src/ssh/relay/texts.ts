import { type SshText, sshText, type Unit } from '@chaperone/api';
import { type Access, allowedHere, type Verdict } from '@chaperone/policy';
import { type Refusal, refusalOf } from '../../session/refusal.ts';
import type { Unknown } from '../actions/index.ts';
import type { Side } from './file-record.ts';

/** As {@link refusalOf}, of what may be refused for no more than that it cannot be told what runs. */
export function refusalOfText(verdict: Verdict, unknown: Unknown | undefined): Refusal {
  // Of what can be read nothing else is so: the host did not say where a path leads.
  const told =
    verdict.code === 'NotAnalysable' && unknown === undefined ? { ...verdict, message: 'copy by sftp or scp instead.' } : verdict;
  return { ...(unknown !== undefined && { reason: untold(unknown) }), ...refusalOf(told) };
}

export function untold({ why }: Unknown): string {
  return `what it runs cannot be told, since ${why}`;
}

/** What people are told of what they cannot see in a text. */
export const OPEN_ENDED =
  'what it is sent once it runs may be anything, and is not judged; it is recorded, and its time is limited';

/** What an agent is told where a protocol of files was broken: never that it did what the host has done. */
export function brokenBy(by: Side, message: string): Refusal {
  if (by === 'agent') return { code: 'ProtocolViolation', reason: message };
  return { code: 'ResourceNotReady', reason: `the host broke the protocol: ${message}` };
}

export interface Said {
  readonly unit: Unit;
  /** Names the record. */
  readonly reference: string;
  /** The connection ends with it. Default: false */
  readonly isOver?: boolean;
}

/** All that this proxy itself says to an agent of one session. */
export function textOf(access: Access, refusal: Refusal, { unit, reference, isOver = false }: Said): SshText {
  const { code, reason, verdict, approval } = refusal;
  const effect = verdict?.effects.find((each) => each.verdict !== 'allow');
  const isFull = access.disclosure === 'full';
  const policy = isFull ? access.policies.map(({ namespace, name }) => `${namespace}/${name}`).join(', ') : '';
  return sshText({
    code,
    unit,
    ...(effect !== undefined && { verb: effect.verb, object: effect.object }),
    ...(isFull && verdict?.rule !== undefined && { rule: verdict.rule }),
    ...(reason !== undefined && { reason }),
    ...(verdict?.message !== undefined && { message: verdict.message }),
    ...(policy !== '' && { policy }),
    ...(reference !== '' && { reference }),
    isOver,
    allowedHere: isFull && !isOver ? allowedHere(access) : [],
    ...(approval !== undefined && { approval }),
  });
}
