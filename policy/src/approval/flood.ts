/** New requests of one agent in {@link WINDOW_MS}; each wants a person's attention. */
export const MAX_ASKED = 10;
export const WINDOW_MS = 60_000;
/** Requests of one agent that wait at once. */
export const MAX_OPEN = 20;

/** Bounds how often one agent may ask people, in memory: who asks too often is told so and asks nobody. */
export class AskLimit {
  readonly #asked = new Map<string, number[]>();

  /** Why this agent may not ask now; undefined: it may, and that counts. */
  spend(agent: string, open: number, now: number): string | undefined {
    const recent = (this.#asked.get(agent) ?? []).filter((at) => now - at < WINDOW_MS);
    if (open >= MAX_OPEN) return `${open} of its requests wait for people already`;
    if (recent.length >= MAX_ASKED) return `it asked people ${recent.length} times within a minute`;
    this.#asked.set(agent, [...recent, now]);
    if (this.#asked.size > MAX_AGENTS) this.#forget(now);
    return undefined;
  }

  #forget(now: number): void {
    for (const [agent, times] of this.#asked) if (times.every((at) => now - at >= WINDOW_MS)) this.#asked.delete(agent);
  }
}
const MAX_AGENTS = 4096;
