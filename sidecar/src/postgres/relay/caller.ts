import type { Access } from '@chaperone/policy';
import { isLoopback } from '../../capture/guard.ts';
import { MAX_TOKEN_BYTES, TokenError, type Verified } from '../../identity/index.ts';
import type { Ending, SessionContext } from '../../session/index.ts';
import {
  decodePassword,
  encodeAuthenticationCleartextPassword,
  FRONTEND,
  HEADER_BYTES,
  MAX_SMALL_BYTES,
  MessageReader,
  ProtocolError,
} from '../wire/index.ts';
import type { AcceptedSession } from './accept.ts';
import { nextBytes } from './next-bytes.ts';

/** For a program that holds its token already; whoever asks a person first asks before it connects. */
const PASSWORD_TIMEOUT_MS = 15_000;
/** Header, token and the zero byte after it. */
const MAX_PASSWORD_BYTES = HEADER_BYTES + MAX_TOKEN_BYTES + 1;

export type Identified =
  | { readonly ok: true; readonly verified: Verified | undefined; readonly rest: Buffer }
  | { readonly ok: false; readonly ending: Ending };

/**
 * Finds out on whose behalf an agent connects: asks for a password in the clear where its access demands a token, and takes it as
 * the token. Never asks outside of TLS, but on loopback of the machine that agent and proxy share.
 * @returns Whom it names (undefined: no token is demanded, none was asked for) and what came after it; or why there is no session.
 */
export async function identifyCaller(
  { identity }: Access,
  accepted: AcceptedSession,
  context: Pick<SessionContext, 'socket' | 'verify' | 'local' | 'logger'>,
): Promise<Identified> {
  if (identity === undefined) return { ok: true, verified: undefined, rest: accepted.rest };
  const secured = accepted.socket !== context.socket;
  if (!secured && !(context.local && isLoopback(context.socket.remoteAddress ?? '')))
    return refused('TokenRequired', 'the token is the password, which is taken within TLS alone; connect with sslmode=require');
  const { socket } = accepted;
  socket.write(encodeAuthenticationCleartextPassword());
  const answer = await readPassword(accepted);
  if (!('token' in answer)) return { ok: false, ending: answer };
  if (answer.token === '') return refused('TokenRequired', 'the password is empty');
  try {
    return { ok: true, verified: await context.verify(answer.token, identity), rest: answer.rest };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    context.logger.warn('a token was not accepted', { code: error.code });
    // The issuer's fault, which no other token mends.
    return refused(error.code === 'IssuerUnavailable' ? 'ResourceNotReady' : 'TokenRejected', error.message);
  }
}

function refused(code: Ending['code'], reason: string): Identified {
  return { ok: false, ending: { code, reason } };
}

type Answer = { readonly token: string; readonly rest: Buffer } | Ending;

async function readPassword({ socket, rest }: AcceptedSession): Promise<Answer> {
  const reader = new MessageReader({
    decide: (type, length) => {
      if (type !== FRONTEND.Password || length > MAX_SMALL_BYTES) return 'refuse';
      return length > MAX_PASSWORD_BYTES ? 'skip' : 'whole';
    },
  });
  reader.push(rest);
  // Ends the wait below: nobody may hold a place by saying nothing.
  const timer = setTimeout(() => socket.destroy(), PASSWORD_TIMEOUT_MS);
  try {
    for (;;) {
      const piece = reader.next();
      if (piece?.kind === 'skipped') return { code: 'TokenRejected', reason: 'it is longer than 16 KiB' };
      if (piece?.kind === 'message') return { token: decodePassword(piece.bytes), rest: reader.takeRest() };
      const bytes = await nextBytes(socket);
      if (bytes === undefined) return { code: 'AgentClosed', reason: '' };
      reader.push(bytes);
    }
  } catch (error) {
    if (error instanceof ProtocolError) return { code: 'ProtocolViolation', reason: 'a password was expected' };
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
