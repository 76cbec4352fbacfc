import { AnswerMask, type Shape } from './answer.ts';
import type { Asked, Plan } from './plan.ts';

export const asked = (resource: string, group = ''): Asked => ({ resource, group });

/** What an agent gets of an answer that comes in these chunks. */
export function through(plan: Plan, what: Asked, shape: Shape, chunks: Iterable<Buffer>): Buffer {
  const mask = new AnswerMask(plan, what, shape);
  const shown: Buffer[] = [];
  for (const chunk of chunks) shown.push(Buffer.from(mask.push(Buffer.from(chunk))));
  return Buffer.concat([...shown, mask.end()]);
}

/** What it gets of a text or a value. */
export function shownOf(plan: Plan, what: Asked, answer: unknown, shape: Shape = 'object'): string {
  const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
  return through(plan, what, shape, [Buffer.from(text)]).toString();
}
