import { type Access, type Action, judge, type Verdict } from '@chaperone/policy';
import { type FileVerb, fileEffect, isResolved, pathText } from '../actions/files.ts';
import type { Unknown } from '../actions/index.ts';
import { encode } from '../wire/channel-messages.ts';
import { SshError } from '../wire/error.ts';
import { type Asking, readAsking, withTerminal } from './asking.ts';
import { addressOf, PROTECTED } from './forward.ts';
import { isProtectedByName, type Surroundings } from './protected.ts';
import { refusalOfSsh } from './texts.ts';

/** What an agent may ask for over SSH, as `chaperone policy check` reads it. */
export type SshRequest =
  | { readonly command: string; readonly terminal?: boolean | undefined }
  | { readonly file: { readonly operation: FileVerb; readonly path: string } }
  /** host:port */
  | { readonly forward: string }
  | { readonly subsystem: string }
  | { readonly shell: true };

export interface SshAnswer {
  readonly verdict: Verdict;
  /** Why it cannot be told what a command runs. */
  readonly unknown?: Unknown;
  /** Of a denial, where its code says too little: what stood in the way, a clause, and what an agent may write instead. */
  readonly why?: string;
  readonly instead?: string;
  /** The command as the host's shell would get it, where anything may go there. */
  readonly upstream?: string;
}

/**
 * Judges a request of SSH by itself, by the same reading as a session does. What only a server can tell is NotAnalysable: where a path
 * leads that is relative or has `.` and `..` in it. Links are taken for what they are called.
 * @param surroundings - all resources, to none of which a forward leads, and where the host is
 */
export function checkSshOffline(request: SshRequest, access: Access, surroundings: Surroundings): SshAnswer {
  try {
    return check(request, access, surroundings);
  } catch (error) {
    if (!(error instanceof SshError)) throw error;
    return { verdict: { verdict: 'deny', code: 'ProtocolViolation', reason: `It is no request: ${error.message}`, effects: [] } };
  }
}

function check(request: SshRequest, access: Access, surroundings: Surroundings): SshAnswer {
  if ('command' in request) return checkCommand(request.command, request.terminal ?? false, access);
  if ('file' in request) return { verdict: judge(access, fileAction(request.file)) };
  if ('forward' in request) return { verdict: checkForward(request.forward, access, surroundings) };
  const asking =
    'subsystem' in request ? readAsking('subsystem', encode.subsystem(request.subsystem)) : readAsking('shell', encode.shell());
  return explained(access, asking.action, asking);
}

function explained(access: Access, action: Action, asking: Asking): SshAnswer {
  const verdict = judge(access, action);
  if (verdict.verdict !== 'deny') return { verdict };
  const { reason, instead } = refusalOfSsh(access, action, verdict, asking);
  return { verdict, ...(reason !== undefined && { why: reason }), ...(instead !== undefined && { instead }) };
}

function checkCommand(command: string, hasTerminal: boolean, access: Access): SshAnswer {
  const asking = readAsking('exec', encode.exec(Buffer.from(command)));
  const { action, send, unknown } = asking;
  const answer = explained(access, hasTerminal ? withTerminal(action) : action, asking);
  return { ...answer, ...(unknown && { unknown }), ...(answer.verdict.verdict !== 'deny' && { upstream: send }) };
}

function fileAction({ operation, path }: { readonly operation: FileVerb; readonly path: string }): Action {
  if (pathText(Buffer.from(path)) === undefined) return { effects: [], notAnalysable: 'its path is too long or no text' };
  if (!isResolved(path)) return { effects: [], notAnalysable: 'where its path leads is told by the host alone' };
  return { effects: [fileEffect(operation, path)] };
}

function checkForward(address: string, access: Access, surroundings: Surroundings): Verdict {
  const [, bracketed, plain = '', digits = ''] = /^(?:\[(.*)\]|([^:]*)):([0-9]{1,5})$/s.exec(address) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  const object = port > 0 && port < 65_536 ? addressOf({ host, port }) : undefined;
  if (object === undefined) return judge(access, { effects: [], notAnalysable: 'it is no address; write host:port' });
  const verdict = judge(access, { effects: [{ verb: 'forward', object, via: 'direct', kind: 'address' }] });
  const isTaken = isProtectedByName({ host, port }, surroundings);
  return verdict.verdict !== 'deny' && isTaken ? PROTECTED : verdict;
}
