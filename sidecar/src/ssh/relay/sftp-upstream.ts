import { uint32 } from '../wire/data.ts';
import { SshError } from '../wire/error.ts';
import { packet, type PacketStream, STATUS } from '../wire/sftp.ts';
import { parseResponse, type SftpResponse } from '../wire/sftp-response.ts';

type Kind = SftpResponse['kind'];
type OnAnswer = (response: SftpResponse) => void;

/** Requests that a server has not answered yet, by numbers of our own. */
export class SftpUpstream {
  readonly #send: (bytes: Buffer) => void;
  readonly #asked = new Map<number, { readonly expected: Kind; readonly onAnswer: OnAnswer }>();
  #number = 0;

  /** @param send - gets every packet whole; it is gone when that returns */
  constructor(send: (bytes: Buffer) => void) {
    this.#send = send;
  }

  /** How many are under way. */
  get size(): number {
    return this.#asked.size;
  }

  /** @param expected - what the answer is when it is no failure; `status` where it says nothing more */
  send(type: number, expected: Kind, fields: readonly Buffer[], onAnswer: OnAnswer): void {
    this.#send(packet(type, uint32(this.#ask(expected, onAnswer)), ...fields));
  }

  /** Sends a WRITE as the agent has written it: the packet that `agent` gave last. */
  forward(agent: PacketStream, onAnswer: OnAnswer): void {
    this.#send(agent.renumbered(this.#ask('status', onAnswer)));
  }

  /** As {@link send}. It stays open when the session ends first. */
  ask(type: number, expected: Kind, ...fields: readonly Buffer[]): Promise<SftpResponse> {
    return new Promise((resolve) => this.send(type, expected, fields, resolve));
  }

  /** @throws SshError when it answers nothing that was asked, or with what is no answer to it */
  receive(bytes: Buffer): void {
    const response = parseResponse(bytes);
    const asked = this.#asked.get(response.id);
    if (!asked) throw new SshError('an SFTP server answered what was not asked');
    const isFailure = response.kind === 'status' && response.code !== STATUS.ok;
    if (response.kind !== asked.expected && !isFailure) throw new SshError('an SFTP server answered with what is no answer');
    this.#asked.delete(response.id);
    asked.onAnswer(response);
  }

  #ask(expected: Kind, onAnswer: OnAnswer): number {
    do this.#number = (this.#number + 1) >>> 0;
    while (this.#asked.has(this.#number));
    this.#asked.set(this.#number, { expected, onAnswer });
    return this.#number;
  }
}
