import { type AgentCode, agentText, type ApprovalNews, type Detector } from '@chaperone/api';
import { type Access, allowedHere, describeEffect, type Verdict } from '@chaperone/policy';
import { filterError } from '../masking/index.ts';
import { encodeErrorResponse, encodeNoticeResponse, type ServerMessageFields, type TransactionStatus } from '../wire/index.ts';
import type { Ending } from '../../session/index.ts';
import { delayOf, type Repeats } from './repeats.ts';

/** Why we did not run something. */
export interface Refusal {
  readonly code: AgentCode;
  /** What happened, for the agent: names, no literals. */
  readonly reason: string;
  /** The policy's own message of the rule that decided. */
  readonly message?: string;
  /** Character of the statement, from 1, that the error is at. */
  readonly position?: number;
  readonly verdict?: Verdict;
  /** The request by which people were asked. */
  readonly approval?: ApprovalNews;
}

/** Codes that cover several situations: the reason says which one it is. */
const BY_REASON: ReadonlySet<AgentCode> = new Set([
  'ApprovalUnavailable',
  'NotAnalysable',
  'StatementSyntax',
  'SettingPinned',
  'InferenceLimited',
  'LabelledValueWrite',
  'LimitReached',
  'ResourceNotReady',
  'SessionEnded',
  'DatabaseNotServed',
  'StatementTooLarge',
  'ProtocolViolation',
] as const);
/** https://www.postgresql.org/docs/18/errcodes-appendix.html */
const QUERY_CANCELED = '57014';
const INSUFFICIENT_PRIVILEGE = '42501';
/** Of an error that names what a statement needs; the author of a longer one knows what is in it. */
const MAX_NEEDED = 5;

export interface TextsOptions {
  readonly access: () => Access;
  readonly session: string;
  /** Number of the next action: refusals name their record. */
  readonly actions: () => number;
  readonly repeats: Repeats;
  /** Why the database was told to cancel what it runs, or ran last; undefined: it was not. */
  readonly overdue: () => string | undefined;
  readonly monotonic: () => number;
}

/** All that this proxy itself says to an agent, and what it lets through of what the server says. */
export class Texts {
  readonly #o: TextsOptions;

  constructor(options: TextsOptions) {
    this.#o = options;
  }

  /** Refuses a statement: the ErrorResponse, and for how long it is held back from an agent that repeats itself. */
  refuse(refusal: Refusal, statement: string, transaction: TransactionStatus): { bytes: Buffer; delayMs: number } {
    const count = this.#o.repeats.count(refusal.code, refusal.reason, statement, this.#o.monotonic());
    return { bytes: this.refusal(refusal, transaction, count), delayMs: delayOf(count) };
  }

  /** An ErrorResponse for a refusal. */
  refusal(refusal: Refusal, transaction: TransactionStatus = 'I', repeated = 1): Buffer {
    return encodeErrorResponse(this.#fields(refusal, transaction, repeated));
  }

  /** A NoticeResponse: people are asked, and the connection waits. */
  waiting(refusal: Refusal): Buffer {
    return encodeNoticeResponse(this.#fields(refusal, 'I', 1));
  }

  #fields(refusal: Refusal, transaction: TransactionStatus, repeated: number): Record<string, string> {
    const effect = refusal.verdict?.effects.find((each) => each.verdict !== 'allow');
    const access = this.#o.access();
    const full = access.disclosure === 'full';
    const policy = full ? access.policies.map(({ namespace, name }) => `${namespace}/${name}`).join(', ') : '';
    const rule = full ? refusal.verdict?.rule : undefined;
    const text = agentText({
      code: refusal.code,
      ...(effect === undefined ? {} : { verb: effect.verb, object: effect.object }),
      ...(rule === undefined ? {} : { rule }),
      ...(BY_REASON.has(refusal.code) ? { reason: refusal.reason } : {}),
      ...(refusal.message === undefined ? {} : { message: refusal.message }),
      ...(policy === '' ? {} : { policy }),
      reference: `${this.#o.session}/${Math.max(0, this.#o.actions() - 1)}`,
      allowedHere: full ? allowedHere(access) : [],
      inTransaction: transaction !== 'I',
      repeated,
      ...(refusal.approval === undefined ? {} : { approval: refusal.approval }),
    });
    return {
      S: text.severity,
      V: text.severity,
      C: text.sqlstate,
      M: text.message,
      ...(text.detail === undefined ? {} : { D: text.detail }),
      ...(text.hint === undefined ? {} : { H: text.hint }),
      ...(refusal.position === undefined ? {} : { P: String(refusal.position) }),
    };
  }

  /** What the server itself would have said, where we already know its answer. */
  error(sqlstate: string, message: string): Buffer {
    return encodeErrorResponse({ S: 'ERROR', V: 'ERROR', C: sqlstate, M: message });
  }

  /**
   * The server's error as the agent may read it.
   * @param effects - of the statement that it is about, where that was judged
   */
  serverError(
    fields: ServerMessageFields,
    touchesLabelled: boolean,
    effects: Verdict['effects'] = [],
  ): { bytes: Buffer; message: string; code: string } {
    const reason = fields.C === QUERY_CANCELED ? this.#o.overdue() : undefined;
    if (reason !== undefined) {
      const bytes = this.refusal({ code: 'LimitReached', reason, message: 'make it cheaper, or split it.' });
      return { bytes, message: reason, code: 'LimitReached' };
    }
    const shown = filterError(fields, { touchesLabelled, detectors: this.#detectors() });
    const needed = touchesLabelled && fields.C === INSUFFICIENT_PRIVILEGE ? needs(effects) : '';
    return {
      bytes: encodeErrorResponse(needed === '' ? shown : { ...shown, M: `${shown['M'] ?? ''}${needed}` }),
      message: `the database refused it (${shown.C ?? 'XX000'})`,
      code: shown.C ?? 'XX000',
    };
  }

  /** The server's notice as the agent may read it: detectors look through it as through rows. */
  serverNotice(fields: ServerMessageFields): Buffer {
    return encodeNoticeResponse(filterError(fields, { touchesLabelled: false, detectors: this.#detectors() }));
  }

  #detectors(): ReadonlySet<Detector> {
    const { sensitive, reveal } = this.#o.access();
    return new Set(
      sensitive.flatMap(({ label, detector }) => (detector === undefined || reveal.includes(label) ? [] : [detector])),
    );
  }

  fatal(ending: Ending): Buffer {
    return fatalText(ending, this.#o.session);
  }
}

/**
 * What the statement itself asks for, in place of the server's text, which code of the database's owner can write. What is behind a
 * view is not told: the agent need not know of it.
 */
function needs(effects: Verdict['effects']): string {
  const named = [...new Set(effects.filter(({ via, object }) => via === 'direct' && object !== '').map(describeEffect))];
  if (named.length === 0) return '';
  const more = named.length > MAX_NEEDED ? ` and ${named.length - MAX_NEEDED} more` : '';
  return `; the statement needs ${named.slice(0, MAX_NEEDED).join(', ')}${more}`;
}

/** The last message of a session that ends, or of one that could not begin. */
export function fatalText(ending: Ending, session?: string): Buffer {
  const text = agentText({
    code: ending.code === 'AgentClosed' ? 'SessionEnded' : ending.code,
    ...(ending.reason === '' ? {} : { reason: ending.reason }),
    ...(session === undefined ? {} : { reference: session }),
  });
  return encodeErrorResponse({
    S: 'FATAL',
    V: 'FATAL',
    C: text.sqlstate,
    M: text.message,
    ...(text.detail === undefined ? {} : { D: text.detail }),
  });
}
