export { AnswerMask, type Shape } from './answer.ts';
export { DiscoveryMask } from './discovery.ts';
export { AnswerError, type AnswerFault, FieldError } from './errors.ts';
export { lookingAtHidden, namesKindAnew, type Peek, selectsHidden } from './oracles.ts';
export { type Asked, Plan } from './plan.ts';
export { Plans } from './plans.ts';
export { BOUNDS, type Bounds, type Operation, shownChange, shownPatch, shownValue } from './shown.ts';
export { quotesValue } from './text.ts';
export { maskWrittenBack, WRITE_BACK_HINT } from './written.ts';
