import { Refusal } from '../sidecars/refusal.ts';

/** Questions of one pod that wait for their turn; each holds a place among all that the server works on. */
const MAX_WAITING = 16;
/** Of one pod in {@link WINDOW_MS}: each costs the API server a read at least. A repeat of what is known is not among them. */
export const MAX_TURNS = 120;
const WINDOW_MS = 60_000;
const MAX_PODS = 4096;

interface Queue {
  last: Promise<unknown>;
  waiting: number;
  since: number;
  taken: number;
}

/** Works on one thing of a pod at a time, so that two questions at once are not two requests, and on so many in a minute. */
export class Turns {
  readonly #queues = new Map<string, Queue>();

  /** @throws Refusal Busy */
  async take<T>(pod: string, now: number, work: () => Promise<T>): Promise<T> {
    const queue = this.#queueOf(pod, now);
    if (queue.waiting >= MAX_WAITING || queue.taken >= MAX_TURNS) throw new Refusal('Busy', 'this pod asks too often');
    queue.taken += 1;
    queue.waiting += 1;
    const turn = queue.last.then(work);
    queue.last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      queue.waiting -= 1;
    }
  }

  #queueOf(pod: string, now: number): Queue {
    const queue = this.#queues.get(pod) ?? { last: Promise.resolve(), waiting: 0, since: now, taken: 0 };
    if (now - queue.since >= WINDOW_MS) Object.assign(queue, { since: now, taken: 0 });
    this.#queues.set(pod, queue);
    if (this.#queues.size > MAX_PODS) this.#forget(now);
    return queue;
  }

  #forget(now: number): void {
    for (const [pod, { waiting, since }] of this.#queues) if (waiting === 0 && now - since >= WINDOW_MS) this.#queues.delete(pod);
  }
}
