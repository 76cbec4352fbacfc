import type { Access } from '@chaperone/policy';
import { blankLiterals } from '../actions/index.ts';
import { type Catalog, treeKey, TreeError, treeShape } from '../masking/index.ts';
import type { FieldDescription } from '../wire/index.ts';
import { type Held, type JudgeContext, type Judgement, judgeTree } from './judgement.ts';

/** Judgements kept for one database; the least recently used goes. One holds about 10 KiB. */
const MAX_JUDGEMENTS = 500;
/** Statements whose tree and text are longer than this are judged each time: their keys are dear, both are kept, and they are rare. */
const MAX_KEPT = 64 * 1024;

/**
 * Judgements by what the server printed, without constants and positions: equal trees touch the same things, so they are judged
 * alike under one policy and one catalogue. Names of the result's columns make no difference where they are the only ones. What depends
 * on the text alone (what evidence keeps of it, masked text in it, those names) is looked at each time.
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
    const key = keyOf(statement, trees, fields, described);
    if (key === undefined) return judgeTree(statement, trees, fields, context);
    this.#under(context);
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return again(known, statement, { tree: trees.at(-1), fields });
    }
    const judgement = judgeTree(statement, trees, fields, context);
    if (judgement.unknownObjects || !isNamed(judgement)) return judgement;
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

/** Whether its columns have the names that the server describes: then others can take their place. */
function isNamed({ basis: { analysis, fields } }: Judgement): boolean {
  if (analysis === undefined) return true;
  return analysis.columns.length === fields.length && analysis.columns.every(({ name }, at) => name === fields[at]?.name);
}

/** The same judgement of another text, whose columns may have other names. */
function again(known: Judgement, statement: Held, { tree, fields }: Pick<Judgement['basis'], 'tree' | 'fields'>): Judgement {
  const { basis, plan } = known;
  const isSame = fields.every(({ name }, at) => name === basis.fields[at]?.name);
  const nameOf = (column: number): string => fields[column]?.name ?? '';
  const analysis = basis.analysis && {
    ...basis.analysis,
    columns: basis.analysis.columns.map((column, at) => ({ ...column, name: nameOf(at) })),
  };
  return {
    ...known,
    statement,
    text: known.blank ? blankLiterals(statement.text) : statement.text,
    basis: isSame ? { ...basis, tree } : { ...basis, tree, fields, analysis },
    plan: isSame ? plan : plan && { ...plan, notes: plan.notes.map((note) => ({ ...note, name: nameOf(note.column) })) },
    approved: known.approved && again(known.approved, statement, { tree, fields }),
  };
}

/** Undefined: it is judged by itself. So is what holds masked text, which may not be written, be it in a part of a query. */
function keyOf(
  statement: Held,
  trees: readonly string[],
  fields: readonly FieldDescription[],
  described: Buffer | undefined,
): string | undefined {
  const tree = trees.at(-1);
  if (statement.kind !== 'query' || statement.command !== 'select') return undefined;
  if (statement.mentionsSetConfig || statement.maskSentinel) return undefined;
  if (tree === undefined || tree.length + statement.text.length > MAX_KEPT) return undefined;
  const names = fields.map(({ name }) => name);
  const shape = treeShape(tree, names);
  if (shape !== undefined) return shape + fields.map(withoutName).join();
  try {
    return treeKey(tree) + (described?.toString('latin1') ?? '');
  } catch (error) {
    if (error instanceof TreeError) return undefined;
    throw error;
  }
}

function withoutName({ name: _name, ...field }: FieldDescription): string {
  return Object.values(field).join(' ');
}
