import type { Access } from '@chaperone/policy';
import type { Catalog } from '../masking/index.ts';
import { type ByText, type ByTextJudgement, confirmed } from './by-text.ts';
import type { Foretold } from './foretold.ts';
import { type Held, isNoWorse, type Judgement, judgeTree } from './judgement.ts';
import type { Judgements } from './judgements.ts';
import type { Statements } from './statements.ts';
import type { Prepared, PrepareOutcome } from './steps.ts';

export interface ForetellingOptions {
  readonly statements: Statements;
  readonly access: () => Access;
  readonly catalog: () => Catalog;
  readonly stale: () => boolean;
  readonly refresh: () => Promise<Catalog>;
  readonly major: number;
  readonly judgements: Judgements;
  /** Both are shared with other sessions of the database. */
  readonly byText: ByText;
  readonly foretold: Foretold;
}

/** What a statement is going to be judged as, said before the server has parsed it. */
export type Foretelling = ByTextJudgement | Pick<ByTextJudgement, 'judgement'>;

/** Foretells what statements are judged as, so that they need not be held, and tells whether it came true. */
export class Foreteller {
  readonly #o: ForetellingOptions;

  constructor(options: ForetellingOptions) {
    this.#o = options;
  }

  /** Of a query of tables and nothing else, by its text. */
  ofText(statement: Held): ByTextJudgement | undefined {
    const { access, catalog, stale, byText } = this.#o;
    return stale() ? undefined : byText.judge(statement, { access: access(), catalog: catalog() });
  }

  /** As {@link ofText}; where the text does not tell all, as what any session of the database had it judged. */
  ofRepeated(statement: Held, parameterTypes: readonly number[]): Foretelling | undefined {
    const { stale, foretold, catalog } = this.#o;
    const byText = this.ofText(statement);
    const known = byText || stale() ? undefined : foretold.get(keyOf(statement.text, parameterTypes), catalog());
    const judgement = known && this.#again(known, statement);
    return judgement === undefined ? byText : { judgement };
  }

  /** Takes note of what was judged, for who asks the same again. */
  remember({ judgement, fields, ...prepared }: Prepared): void {
    const { foretold, catalog } = this.#o;
    if (judgement.refusal !== undefined || judgement.writes || !this.readsTables(judgement)) return;
    foretold.set(keyOf(judgement.statement.text, prepared.parameterTypes), { ...prepared, judgement, fields }, catalog());
  }

  #again({ judgement: known, fields }: Prepared, statement: Held): Judgement | undefined {
    const { statements } = this.#o;
    const judgement = { ...statements.current(known, fields), statement };
    if (judgement.refusal !== undefined || judgement.also.length > 0 || judgement.guesses > 0) return undefined;
    return statements.barred(judgement) === undefined && this.readsTables(judgement) ? judgement : undefined;
  }

  /** Whether it reads tables and nothing else, as far as anybody knows: then there is nothing of it that would have to be undone. */
  readsTables({ statement }: Judgement): boolean {
    const { access, catalog, byText } = this.#o;
    return byText.readsTables(statement, { access: access(), catalog: catalog() });
  }

  /**
   * What holds for a statement that was sent by {@link Statements.stream}, and whether that is what was foretold. If not it may be
   * running.
   */
  cameTrue(
    foretelling: Foretelling,
    outcome: Extract<PrepareOutcome, { kind: 'prepared' }>,
  ): { readonly judgement: Judgement; readonly asForetold: boolean } {
    const { access, catalog, major, byText, judgements, statements } = this.#o;
    const { trees, fields, rowDescription } = outcome;
    const { statement } = foretelling.judgement;
    const context = { access: access(), catalog: catalog(), major };
    // Where something is hidden, no look through a tree takes the place of reading it.
    const isLookedThrough = context.access.sensitive.length === 0;
    const judgement =
      (isLookedThrough && 'relations' in foretelling ? confirmed(foretelling, outcome, context) : undefined) ??
      judgements.judge(statement, trees, fields, rowDescription, context);
    const asForetold = isNoWorse(judgement, foretelling.judgement) && statements.barred(judgement) === undefined;
    if (asForetold) statements.mayRun(judgement.ownersCode);
    else if ('relations' in foretelling) byText.distrust(foretelling.relations);
    return { judgement, asForetold };
  }

  /** What holds for a statement that names what is newer than the catalogue. Rejects where that can not be read. */
  async anew(statement: Held, { trees, fields }: Extract<PrepareOutcome, { kind: 'prepared' }>): Promise<Judgement> {
    const { access, refresh, major } = this.#o;
    const catalog = await refresh();
    return judgeTree(statement, trees, fields, { access: access(), catalog, major });
  }
}

/** No template begins like this. */
const keyOf = (text: string, parameterTypes: readonly number[]): string => `\0${parameterTypes.join()}\0${text}`;
