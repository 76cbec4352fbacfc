import type { Access } from '@chaperone/policy';
import { blankLiterals } from '../actions/index.ts';
import { type Catalog, treeKey, TreeError } from '../masking/index.ts';
import type { FieldDescription } from '../wire/index.ts';
import { type Held, type JudgeContext, type Judgement, judgeTree } from './judgement.ts';

/** Judgements kept for one database; the least recently used goes. One holds about 10 KiB. */
const MAX_JUDGEMENTS = 500;
/** Statements whose tree and text are longer than this are judged each time: their keys are dear, both are kept, and they are rare. */
const MAX_KEPT = 64 * 1024;

/**
 * Judgements by what the server printed, without constants and positions: equal trees touch the same things, so they are judged
 * alike under one policy and one catalogue. What depends on the text alone (what evidence keeps of it, masked text in it) is
 * looked at each time.
 */
export class Judgements {
  #context: JudgeContext | undefined;
  readonly #known = new Map<string, Judgement>();
  /** Of what was only looked through, by what is held of it: what its tree says, and by which catalogue. */
  readonly #read = new WeakMap<Judgement, { readonly judgement: Judgement; readonly catalog: Catalog }>();

  /** As {@link judgeTree}. */
  judge(
    statement: Held,
    trees: readonly string[],
    fields: readonly FieldDescription[],
    described: Buffer | undefined,
    context: JudgeContext,
  ): Judgement {
    const key = keyOf(statement, trees, described);
    if (key === undefined) return judgeTree(statement, trees, fields, context);
    this.#under(context);
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return again(known, statement, trees.at(-1));
    }
    const judgement = judgeTree(statement, trees, fields, context);
    if (judgement.unknownObjects) return judgement;
    this.#known.set(key, judgement);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_JUDGEMENTS) break;
      this.#known.delete(oldest);
    }
    return judgement;
  }

  /**
   * The verdict under another policy on what was judged by its text: now its tree is read. It is asked for at each execution, so it is
   * read once for each policy and catalogue.
   */
  read(byText: Judgement, tree: string, fields: readonly FieldDescription[], context: JudgeContext): Judgement {
    const { access, catalog } = context;
    const known = this.#read.get(byText);
    if (known?.catalog === catalog && known.judgement.basis.policy === access.digest) return known.judgement;
    const judgement = judgeTree(byText.statement, [tree], fields, context);
    this.#read.set(byText, { judgement, catalog });
    return judgement;
  }

  /** Another policy or catalogue makes all that is known void. */
  #under(context: JudgeContext): void {
    const before = this.#context;
    this.#context = context;
    if (before?.catalog === context.catalog && sameAccess(before.access, context.access)) return;
    this.#known.clear();
  }
}

/** Keys of hashes are no part of the digest. */
function sameAccess(a: Access, b: Access): boolean {
  return a === b || (a.digest === b.digest && JSON.stringify(a.hashKeys) === JSON.stringify(b.hashKeys));
}

/** The same judgement of another text. */
function again(known: Judgement, statement: Held, tree: string | undefined): Judgement {
  return {
    ...known,
    statement,
    text: known.blank ? blankLiterals(statement.text) : statement.text,
    basis: { ...known.basis, tree },
    approved: known.approved && again(known.approved, statement, tree),
  };
}

/** Undefined: it is judged by itself. So is what holds masked text, which may not be written, be it in a part of a query. */
function keyOf(statement: Held, trees: readonly string[], described: Buffer | undefined): string | undefined {
  const tree = trees.at(-1);
  if (statement.kind !== 'query' || statement.command !== 'select') return undefined;
  if (statement.mentionsSetConfig || statement.maskSentinel) return undefined;
  if (tree === undefined || tree.length + statement.text.length > MAX_KEPT) return undefined;
  try {
    return treeKey(tree) + (described?.toString('latin1') ?? '');
  } catch (error) {
    if (error instanceof TreeError) return undefined;
    throw error;
  }
}
