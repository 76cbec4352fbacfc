import { generateKeyPairSync } from 'node:crypto';
import { Agent, request, type RequestOptions } from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeNkey, generateSigner } from '@chaperone/evidence';
import { CONTROL_PATHS, CONTROL_PROTOCOLS, enrolmentProof, StreamLine } from '@chaperone/policy';

/** Where the operator serves sidecars. */
export interface Operator {
  readonly port: number;
  readonly ca: string;
}

/** Whose key it is matters to nobody here, and a P-256 key takes longer than an enrolment. */
const tlsPublicKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' });
/** As many addresses as a fleet would have nodes: the operator bounds what comes from one. */
const ADDRESSES = 200;
const RETRY_MS = 250;

/**
 * A sidecar as the operator sees it: enrols with a key of its own and its pod's token, holds its stream, and says of each snapshot that it
 * has it. Connects again for ever once it is lost.
 */
export class FleetPod {
  readonly #token: string;
  readonly #nkey = generateSigner();
  readonly #agent: Agent;
  readonly #operator: () => Operator;
  #isStopped = false;
  /** Snapshots that it confirmed, and when it did so last, by `performance.now()`. */
  confirmed = 0;
  confirmedAt = 0;
  isConnected = false;
  /** Why it lost the operator last. */
  problem = '';

  constructor(token: string, number: number, operator: () => Operator) {
    this.#token = token;
    this.#operator = operator;
    this.#agent = new Agent({ keepAlive: true, localAddress: `127.0.1.${1 + (number % ADDRESSES)}` });
  }

  async run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#live().catch((error: unknown) => {
        this.problem = error instanceof Error ? error.message : 'unknown';
      });
      this.isConnected = false;
      if (!this.#isStopped) await sleep(RETRY_MS * (1 + Math.random()));
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#agent.destroy();
  }

  async #live(): Promise<void> {
    const nkeyProof = this.#nkey.sign(enrolmentProof(this.#token, tlsPublicKey)).toString('base64');
    const nkey = encodeNkey(this.#nkey.publicKey);
    const enrolled = await this.#post(CONTROL_PATHS.enrol, {
      protocol: CONTROL_PROTOCOLS.at(-1),
      version: '0.1.0',
      tlsPublicKey,
      nkey,
      nkeyProof,
    });
    await this.#confirm((enrolled as { snapshot: { revision: string } }).snapshot.revision);
    const response = await this.#send({ method: 'GET', path: CONTROL_PATHS.stream });
    if (response.statusCode !== 200) throw new Error(`the stream says ${response.statusCode}`);
    this.isConnected = true;
    for await (const text of createInterface({ input: response })) {
      const line = StreamLine.parse(JSON.parse(text));
      if (line.type === 'snapshot') await this.#confirm(line.snapshot.revision);
    }
  }

  async #confirm(revision: string): Promise<void> {
    await this.#post(CONTROL_PATHS.ack, { revision });
    this.confirmed++;
    this.confirmedAt = performance.now();
  }

  async #post(path: string, body: object): Promise<unknown> {
    const response = await this.#send({ method: 'POST', path }, body);
    let text = '';
    for await (const piece of response.setEncoding('utf8')) text += piece as string;
    if (response.statusCode !== 200 && response.statusCode !== 204) throw new Error(`${path}: ${response.statusCode} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  #send(options: RequestOptions, body?: object): Promise<import('node:http').IncomingMessage> {
    const { port, ca } = this.#operator();
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' };
    const to = {
      host: '127.0.0.1',
      servername: 'chaperone-operator.chaperone-system.svc',
      port,
      ca,
      headers,
      agent: this.#agent,
    };
    return new Promise((resolve, reject) => {
      const sent = request({ ...to, ...options }, resolve).on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
