import type { Catalog } from '../masking/index.ts';
import type { Prepared } from './steps.ts';

/** Templates of one database that are remembered; the least recently used goes. */
const MAX_FORETOLD = 200;
/** Statements whose tree and text are longer than this are not remembered: both are kept. */
const MAX_KEPT = 64 * 1024;

/**
 * What repeated statements were judged as, by whichever session of one database judged them last. It only foretells what the server
 * is going to print for another instance: that one's own tree decides before anything of it is shown.
 */
export class Foretold {
  readonly #known = new Map<string, Prepared>();
  #catalog: Catalog | undefined;

  /** What an instance of a template was judged as by this catalogue. */
  get(template: string, catalog: Catalog): Prepared | undefined {
    return this.#catalog === catalog ? this.#known.get(template) : undefined;
  }

  set(template: string, judged: Prepared, catalog: Catalog): void {
    const { statement, basis } = judged.judgement;
    if (statement.text.length + (basis.tree?.length ?? 0) > MAX_KEPT) return;
    if (this.#catalog !== catalog) this.#known.clear();
    this.#catalog = catalog;
    this.#known.delete(template);
    this.#known.set(template, judged);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_FORETOLD) break;
      this.#known.delete(oldest);
    }
  }
}
