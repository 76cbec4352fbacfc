import { type Access, type Verdict } from '@chaperone/policy';
import { maskedFinds } from '../masking/labels.ts';
import { maskedText } from '../masking/stream.ts';

/** How evidence and people see what was judged as it is. */
export class Shown {
  readonly #access: () => Access;

  constructor(access: () => Access) {
    this.#access = access;
  }

  /** A text in which what detectors find is hidden. */
  text(text: string): string {
    return maskedText(text, maskedFinds(this.#access()));
  }

  /** A verdict with its texts so; where the policy keeps metadata alone, of a command nothing but its program. */
  verdict(verdict: Verdict): Verdict {
    const isBare = this.#access().recording.content === 'metadata';
    const object = (verb: string, text: string): string =>
      isBare && verb === 'exec' ? (/^[\w./+-]{1,64}/.exec(text)?.[0] ?? 'a command') : this.text(text);
    return {
      ...verdict,
      reason: isBare ? verdict.code : this.text(verdict.reason),
      effects: verdict.effects.map((effect) => ({ ...effect, object: object(effect.verb, effect.object) })),
    };
  }
}
