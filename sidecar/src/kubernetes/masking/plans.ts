import type { Access } from '@chaperone/policy';
import { Plan } from './plan.ts';

/** Plans by what they are made of, with all that they have learnt: those of one policy are one, for all sessions of a sidecar. */
export class Plans {
  readonly #known = new WeakMap<Access, Plan>();

  /** @throws FieldError where a labelled field cannot be read */
  of(access: Access): Plan {
    const known = this.#known.get(access);
    if (known !== undefined) return known;
    const plan = new Plan(access);
    this.#known.set(access, plan);
    return plan;
  }
}
