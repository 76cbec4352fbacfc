import { randomBytes, randomInt } from 'node:crypto';
import type { OwnQuestion } from './deny.ts';
import { judgeCapture, probeCapture } from './probe.ts';

/** Between two looks; each wait is up to a fifth shorter or longer, so that pods do not look together and nobody knows when. */
export const LOOK_EVERY_MS = 30_000;
/** After a look that proved nothing; a busy node may be late once. */
export const LOOK_AGAIN_MS = 1_000;
/** Looks in a row that prove nothing before capture counts as lost: with the times above, 45 s after it went at most. */
export const FAILED_LOOKS = 3;
/** One attempt of a look. */
const ATTEMPT_MS = 2_000;

/** What the last looks said. `problem` is a sentence; undefined where capture holds. */
export interface CaptureState {
  readonly problem: string | undefined;
}

export interface CaptureWatch {
  /** Until the first look is over nothing is proven. */
  readonly state: CaptureState;
  stop(): Promise<void>;
}

export interface WatchOptions {
  /** One look. @returns what is not proven, a sentence; undefined where capture holds. A throw proves nothing. */
  readonly look: () => Promise<string | undefined>;
  /** Called when capture is proven, and when {@link FAILED_LOOKS} looks in a row proved nothing. */
  readonly onChange: (state: CaptureState) => void;
  /** Resolves after this time, or when `signal` aborts. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** 0 to 1. */
  readonly random?: () => number;
}

/** Looks at the capture of this pod for as long as the sidecar runs. It takes one proof to hold and {@link FAILED_LOOKS} failures to be lost. */
export function watchCapture({ look, onChange, wait, random = Math.random }: WatchOptions): CaptureWatch {
  const stopping = new AbortController();
  let state: CaptureState = { problem: 'the sidecar has not looked at its capture yet' };
  let failed = 0;
  const judge = (problem: string | undefined): void => {
    failed = problem === undefined ? 0 : failed + 1;
    const changes = problem === undefined ? state.problem !== undefined : failed === FAILED_LOOKS;
    if (!changes) return;
    state = { problem };
    onChange(state);
  };
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      judge(await look().catch(() => 'the look at it failed'));
      await wait(failed > 0 ? LOOK_AGAIN_MS : LOOK_EVERY_MS * (0.8 + random() * 0.4), stopping.signal);
    }
  };
  const running = run();
  return {
    get state() {
      return state;
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

/**
 * How the sidecar sees what an agent would see. Its rules exempt no packet from `port`, so a probe from there meets what an agent's
 * meets: TCP to an address that belongs to nobody has to arrive at our own deny listener, and UDP has to be refused by the kernel.
 * Nobody can stand in for both: the nonce of a look is made for it and has to arrive in this process, and EPERM comes from the
 * kernel of this very pod. Address and ports are other ones every time, so neither what conntrack remembers
 * nor somebody who waits there answers. Input rules are in the same table, which goes as a whole; nothing in the pod can try them.
 */
export class OwnLook {
  readonly #port: number;
  readonly #reserved: string;
  #question: OwnQuestion | undefined;

  constructor({ port, reserved }: { readonly port: number; readonly reserved: string }) {
    this.#port = port;
    this.#reserved = reserved;
  }

  /** For the deny listeners. */
  readonly question = (): OwnQuestion | undefined => this.#question;

  readonly look = async (): Promise<string | undefined> => {
    const nonce = randomBytes(16).toString('hex');
    let arrived = 0;
    this.#question = { nonce, arrived: () => (arrived += 1) };
    try {
      const by = { nonce, reserved: this.#reserved, from: this.#port, attemptMs: ATTEMPT_MS, literals: nobodys() };
      const results = await probeCapture(by);
      const problem = judgeCapture(results);
      if (problem !== undefined) return problem;
      if (arrived < results.filter(({ outcome }) => outcome === 'captured').length) return 'somebody else answered a probe';
      return results.some(({ detail }) => detail === 'EPERM') ? undefined : 'no packet of UDP was refused';
    } finally {
      this.#question = undefined;
    }
  };
}

/** Addresses for documentation (RFC 5737, RFC 3849), and ports that nothing is usual on. */
function nobodys(): NonNullable<Parameters<typeof probeCapture>[0]['literals']> {
  return {
    ipv4: `192.0.2.${randomInt(1, 255)}`,
    ipv6: `2001:db8::${randomInt(1, 65_536).toString(16)}`,
    tcpPort: randomInt(1_024, 65_536),
    udpPort: randomInt(1_024, 65_536),
  };
}
