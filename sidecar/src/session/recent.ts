import type { Question } from '@chaperone/policy';
import { describeEffect } from '@chaperone/policy';
import { visible } from '@chaperone/api';
import type { RecordBody } from '@chaperone/evidence';
import type { SessionRecorder } from '../recording/recorder.ts';
import type { Clock } from '../platform.ts';

/** Actions that are remembered, told, and for how long. */
const KEPT = 16;
const SHOWN = 8;
const TOLD_MS = 5 * 60_000;
const MAX_SENTENCE = 160;
const MAX_RESULT = 64;

type Told = NonNullable<Question['recent']>[number];
type Action = Extract<RecordBody, { type: 'action' }>;

interface Past {
  readonly session: string;
  readonly at: number;
  readonly action: Action;
  /** What the protocol said in the end; what people said of it, where it was held. */
  result: string | undefined;
}

/**
 * What an agent did in the last minutes, in all its sessions here, for whoever decides on what it wants now. Kept as what the record
 * has, and put into words only when somebody is asked.
 */
export class Recent {
  readonly #clock: Clock;
  readonly #past: (Past | undefined)[] = Array.from({ length: KEPT });
  #next = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A recorder that remembers what it records. */
  watched(recorder: SessionRecorder): SessionRecorder {
    const { session } = recorder;
    return {
      session,
      append: (record, durability) => {
        this.#note(session, record);
        return recorder.append(record, durability);
      },
      close: () => recorder.close(),
      ...(recorder.link && { link: (traceparent) => recorder.link?.(traceparent) }),
    };
  }

  /** The last actions but this one, the newest last. */
  before(session: string, action: number): Told[] {
    const since = this.#clock.now() - TOLD_MS;
    return [...this.#past.slice(this.#next), ...this.#past.slice(0, this.#next)]
      .filter((each) => each !== undefined)
      .filter((each) => each.at >= since && !(each.session === session && each.action.action === action))
      .slice(-SHOWN)
      .map(told);
  }

  #note(session: string, record: RecordBody): void {
    if (record.type === 'action' && isDiscovery(record)) return;
    if (record.type === 'action') {
      this.#past[this.#next] = { session, at: this.#clock.now(), action: record, result: undefined };
      this.#next = (this.#next + 1) % KEPT;
    } else if (record.type === 'done') this.#ended(session, record.action, record.error?.code ?? record.tag);
    else if (record.type === 'approval' && record.state !== 'Released') this.#ended(session, record.action, record.state);
  }

  #ended(session: string, action: number, result: string | undefined): void {
    const past = this.#past.find((each) => each?.action.action === action && each.session === session);
    if (past !== undefined) past.result = result;
  }
}

/** A client of the Kubernetes API asks which kinds there are before each of its requests; people would read nothing else. */
function isDiscovery({ verdict, effects, text = '' }: Action): boolean {
  return verdict === 'allow' && effects.length === 0 && text.startsWith('GET /');
}

/** What touches nothing is called by its first word. */
function verbOf({ text = '' }: Action): string {
  return /^\s*([a-z]{1,20})(?![\w.])/i.exec(text)?.[1]?.toUpperCase() ?? 'a statement';
}

/** In words: the effects for which the rules said what they did. */
function told({ at, action, result }: Past): Told {
  const decisive = action.effects.filter(({ verdict }) => verdict === action.verdict);
  const named = [...new Set(decisive.map(describeEffect))].join(', ');
  return {
    at: new Date(at).toISOString(),
    sentence: visible(named === '' ? verbOf(action) : named, MAX_SENTENCE),
    verdict: action.verdict,
    ...(result !== undefined && { result: visible(result, MAX_RESULT) }),
  };
}
