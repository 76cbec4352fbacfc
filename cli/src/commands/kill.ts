import { visible } from '@chaperone/api/text';
import { CliError, EXIT } from '../errors.ts';
import { type Io, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { RequestDesk, SessionEnd } from '../requests/desk.ts';

export interface KillOptions {
  readonly session: string;
  /** Its agent reads it. */
  readonly reason: string;
  readonly output: 'text' | DocumentOutput;
}

/** `sessions kill`: ends a session, and says whether it is over. @throws CliError NotEndedYet where nobody has said so */
export async function killSession(desk: RequestDesk, { session, reason, output }: KillOptions, io: Io): Promise<void> {
  const began = performance.now();
  const { ended, kill } = await desk.endSession(session, reason);
  const tookMs = Math.round(performance.now() - began);
  if (output !== 'text') await writeDocument(io, output, { session, ended, tookMs, ...(kill !== undefined && { kill }) });
  else if (ended) await writeLine(io.out, `session/${session} ended, ${(tookMs / 1000).toFixed(1)} s after it was asked for`);
  if (!ended) throw notYet(session, kill);
}

function notYet(session: string, kill: SessionEnd['kill']): CliError {
  const { namespace = '', name = '' } = kill?.metadata ?? {};
  const none = kill?.status?.sent === 0 ? ', where no sidecar is connected' : '';
  const where = kill === undefined ? '' : ` by sessionkill/${visible(name)} in namespace ${visible(namespace)}${none}`;
  return new CliError('NotEndedYet', `${session} is told to end${where}, and nobody has said yet that it has`, {
    exit: EXIT.unreachable,
    fix: [`its state: chaperone sessions show ${session}`],
  });
}
