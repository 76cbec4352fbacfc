import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Agent } from '../harness/agent.ts';

/** One statement as the agent's pod saw it, ms since 1970 by the clock of its node. */
export interface Statement {
  readonly sentAt: number;
  readonly answeredAt: number;
  /** What psql printed. */
  readonly said: string;
}

const NS_PER_MS = 1e6;

/**
 * One session of stock psql in an agent's pod. It takes the time itself, by `date` right before a statement and right after its answer: what
 * that takes counts for the statement, and the way from here to the pod does not.
 */
export class OpenPsql implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: NodeJS.AsyncIterator<string>;
  readonly #reader: Interface;
  #stderr = '';

  constructor(agent: Agent) {
    this.#child = agent.startPsql();
    this.#child.stdin.on('error', () => undefined);
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-2_000);
    });
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async run(sql: string): Promise<Statement> {
    this.#child.stdin.write(`\\! date +sent=%s%N\n${sql};\n\\! date +answered=%s%N\n`);
    const said: string[] = [];
    let sentAt = Number.NaN;
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`psql ended: ${this.#stderr}`);
      const [, what, time] = /^(sent|answered)=(\d+)$/.exec(value) ?? [];
      if (what === undefined) said.push(value);
      else if (what === 'sent') sentAt = Number(time) / NS_PER_MS;
      else return { sentAt, answeredAt: Number(time) / NS_PER_MS, said: said.join('\n') };
    }
  }

  [Symbol.dispose](): void {
    this.#child.stdin.end();
    this.#reader.close();
    this.#child.kill();
  }
}
