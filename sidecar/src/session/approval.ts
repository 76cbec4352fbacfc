import { legible, legibleLines, MAX_REQUEST_TEXT, type Protocol, type Unit, visible, visibleLines } from '@chaperone/api';
import {
  type Access,
  describeEffect,
  MAX_CHANGE,
  type Preview,
  type SealedAction,
  sealAction,
  type Verdict,
} from '@chaperone/policy';
import type { Clock } from '../platform.ts';
import type { ActionRecords } from './action-records.ts';
import type { HeldAction, Holds } from './holds.ts';
import { approvalRecord, approvalRefusal } from './outcome.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import { wholeText } from './whole-text.ts';

const MAX_EFFECTS = 64;
const MAX_OBJECT = 400;
const MAX_SENTENCE = 512;
const MAX_WHY = 256;
/** Characters that people are shown in the whole of it. */
/** Characters that people are shown in the whole of it, of which a request holds the first {@link MAX_REQUEST_TEXT}. */
const MAX_READ = 128 * 1024;

/** What people are asked about, and what gives it another meaning elsewhere. */
export interface Asked {
  readonly action: number;
  readonly unit: Unit;
  readonly verdict: Verdict;
  /** What would go upstream, as people read it. */
  readonly text: string;
  /** All that it depends on beside, and its exact bytes where the text does not tell them. */
  readonly state: Readonly<Record<string, string>>;
  /** What people are told of what it would do, in place of looking. */
  readonly why?: string | undefined;
  /** Looks at what it would do, until the signal. Never rejects. Absent: nobody does. */
  readonly look?: (signal: AbortSignal) => Promise<Preview>;
  /** What people are told beside. */
  readonly note?: string | undefined;
  /** Why people cannot say that the very same may run again, a clause. Absent: they can. */
  readonly once?: string | undefined;
}

export type Approved =
  /** It runs now; say how it ended. */
  | {
      readonly kind: 'released';
      readonly ended: (state: 'Ran' | 'Failed', result: string) => void;
      /** Whether what was approved is still what would run. */
      readonly isCurrent: () => boolean;
    }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'gone' };

export interface ApprovalOptions {
  readonly protocol: Protocol;
  readonly session: string;
  readonly access: () => Access;
  readonly agent: SealedAction['agent'];
  readonly onBehalfOf: SealedAction['onBehalfOf'];
  /** The account that it would run as, and the host that it would run on. */
  readonly account: string;
  readonly upstream: string;
  /** A text as people may see it. */
  readonly masked: (text: string) => string;
  readonly holds: Holds;
  readonly records: ActionRecords;
  readonly clock: Clock;
  /** Characters that people are shown; what is longer nobody is asked about. Default: {@link MAX_READ} */
  readonly maxRead?: number;
}

/** A request is of lines, in which each says what it is; line feeds in commands are not to be mistaken for our own. */
const ofLines = ({ unit }: Asked): boolean => unit === 'request';

/** Holds what a rule wants people to approve. One for all channels of a session. */
export class Approval {
  readonly #o: ApprovalOptions;

  constructor(options: ApprovalOptions) {
    this.#o = options;
  }

  /**
   * Asks people, and waits for them until `gone`.
   * @param onWaiting - told once people are asked, with what the agent is told. @throws RecordingError
   */
  async ask(asked: Asked, gone: Promise<unknown>, onWaiting: (refusal: Refusal) => void): Promise<Approved> {
    const { holds, records, clock, maxRead = MAX_READ } = this.#o;
    const { action, verdict } = asked;
    const shown = (ofLines(asked) ? legibleLines : legible)(this.#o.masked(asked.text), maxRead + 1);
    // Nobody approves what they cannot read.
    if (verdict.effects.length > MAX_EFFECTS || shown.length > maxRead)
      return { kind: 'refused', refusal: { code: 'NotAnalysable', reason: 'it is too long for people to read' } };
    const seal = (): string => sealAction(this.#sealed(asked));
    const digest = seal();
    const since = clock.monotonic();
    let change: readonly string[] | undefined;
    const held: HeldAction = {
      question: this.#question(asked, shown),
      seal,
      look: async (signal) => {
        const preview = await this.#look(asked, signal);
        ({ change } = preview);
        return { preview, ...wholeText(shown, ofLines(asked) ? visibleLines : visible) };
      },
      waiting: ({ name, timeoutMs }) =>
        onWaiting({ ...refusalOf(verdict), code: 'ApprovalPending', approval: { request: name, timeoutMs } }),
      gone,
    };
    const outcome = await holds.hold(held);
    try {
      const waitedMs = Math.round(clock.monotonic() - since);
      await records.approval(approvalRecord(outcome, { action, digest, waitedMs, ...(change !== undefined && { change }) }));
    } catch (error) {
      if (outcome.kind === 'released') holds.ended(outcome.view.name, 'Failed', 'it could not be recorded, and did not run');
      throw error;
    }
    if (outcome.kind === 'gone') return { kind: 'gone' };
    if (outcome.kind !== 'released') return { kind: 'refused', refusal: { verdict, ...approvalRefusal(outcome) } };
    const { name } = outcome.view;
    return { kind: 'released', ended: (state, result) => holds.ended(name, state, result), isCurrent: () => seal() === digest };
  }

  /** What it would do, with what detectors find in it hidden. */
  async #look({ why, look }: Asked, signal: AbortSignal): Promise<Preview> {
    if (look === undefined) return { why: why ?? 'what it would do is not tried before it runs' };
    if (!this.#o.holds.mayPreview()) return { why: 'this agent asked too often' };
    const { change, why: missed, ...said } = await look(signal);
    const shown = (text: string, most: number): string => visible(this.#o.masked(text), most);
    return {
      ...said,
      ...(missed !== undefined && { why: shown(missed, MAX_WHY) }),
      ...(change !== undefined && { change: change.map((line) => shown(line, MAX_CHANGE.width)) }),
    };
  }

  /** What it is, what it does and whom that asks are sealed with its text: a text alone may be a command, a shell or a file. */
  #sealed({ text, state, unit, verdict }: Asked): SealedAction {
    const { protocol, access, agent, onBehalfOf, account, upstream } = this.#o;
    const { resource, digest } = access();
    return {
      agent,
      onBehalfOf,
      resource: { namespace: resource.namespace, name: resource.name, generation: resource.generation },
      access: digest,
      protocol,
      text,
      state: {
        account,
        upstream,
        ...state,
        unit,
        effects: JSON.stringify(verdict.effects),
        asks: JSON.stringify(verdict.asks ?? []),
      },
    };
  }

  #question(asked: Asked, whole: string): HeldAction['question'] {
    const { protocol, session, access, onBehalfOf } = this.#o;
    const { action, verdict, unit, once } = asked;
    const { resource } = access();
    const effects = [...verdict.effects].toSorted((a, b) => Number(a.verdict !== 'approve') - Number(b.verdict !== 'approve'));
    const shown = (ofLines(asked) ? visibleLines : visible)(whole, MAX_REQUEST_TEXT);
    const note = asked.note === undefined ? '' : `: ${asked.note}`;
    const held = effects.filter((effect) => effect.verdict === 'approve').map(describeEffect);
    return {
      session,
      action,
      resource: { namespace: resource.namespace, name: resource.name },
      protocol,
      asks: [...(verdict.asks ?? [])],
      sentence: `${legible([...new Set(held)].join(', ') || unit, MAX_SENTENCE - note.length)}${note}`,
      effects: effects.slice(0, MAX_EFFECTS).map((effect) => ({ ...effect, object: legible(effect.object, MAX_OBJECT) })),
      text: shown,
      textBytes: Buffer.byteLength(asked.text),
      transaction: false,
      ...(once === undefined
        ? { template: sealAction(this.#sealed({ ...asked, state: { ...asked.state, repeated: 'yes' } })), templateText: shown }
        : { once }),
      ...(onBehalfOf !== undefined && { onBehalfOf }),
    };
  }
}
