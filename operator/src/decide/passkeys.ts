import { createHash } from 'node:crypto';
import { generateRegistrationOptions, verifyRegistrationResponse } from '@simplewebauthn/server';
import { z } from 'zod';
import { getObject, isConflict, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import { AttestError, isPasskeyKey, type Terms } from '@chaperone/policy/attest';

const MAX_PASSKEYS = 8;
const TIMEOUT_MS = 5_000;
/** COSE: EdDSA, ES256, RS256. What else a browser might offer has keys for which a decision has no room. */
const ALGORITHMS = [-8, -7, -257];

const Passkey = z.object({
  id: z.string().max(1400),
  publicKey: z.string().max(1024),
  counter: z.int().min(0),
  registeredAt: z.string().max(64),
});
export type Passkey = z.infer<typeof Passkey>;
const Kept = z.object({ user: z.string().max(256), passkeys: z.array(Passkey).max(MAX_PASSKEYS) });

/** What the browser answered to a registration (WebAuthn Level 3 §5.1.9.1), as far as we read it. */
const Registration = z.object({
  id: z.string().max(1400),
  rawId: z.string().max(1400),
  type: z.literal('public-key'),
  response: z.object({ clientDataJSON: z.string().max(4096), attestationObject: z.string().max(16_384) }),
});

export interface PasskeysOptions {
  readonly kube: Kube;
  /** The operator's own, whose Secrets are nobody else's. */
  readonly namespace: string;
  readonly site: Terms['site'];
  readonly now: () => number;
}

/**
 * Passkeys of people, one Secret each in the operator's own namespace. Their public parts are no secret: what matters is that nobody
 * else writes them. Writes are over exactly the version that was read.
 */
export class Passkeys {
  readonly #o: PasskeysOptions;

  constructor(options: PasskeysOptions) {
    this.#o = options;
  }

  async of(user: string): Promise<readonly Passkey[]> {
    return (await this.#read(user)).passkeys;
  }

  /** What the browser is asked to make, as JSON. */
  async options(user: string): Promise<{ readonly challenge: string }> {
    const known = await this.of(user);
    if (known.length >= MAX_PASSKEYS)
      throw new AttestError('PasskeyRefused', `you have ${MAX_PASSKEYS} passkeys already; remove one`);
    return await generateRegistrationOptions({
      rpName: 'Chaperone',
      rpID: this.#o.site.rpId,
      userName: user,
      userID: new Uint8Array(createHash('sha256').update(user).digest()),
      attestationType: 'none',
      supportedAlgorithmIDs: ALGORITHMS,
      excludeCredentials: known.map(({ id }) => ({ id })),
      authenticatorSelection: { residentKey: 'discouraged', userVerification: 'required' },
    });
  }

  /** Keeps a passkey that answered the challenge on this page. @throws AttestError PasskeyRefused */
  async register(user: string, registration: string, challenge: string): Promise<Passkey> {
    const { publicKey, id, counter } = await this.#verified(registration, challenge);
    const passkey = {
      id,
      publicKey: Buffer.from(publicKey).toString('base64url'),
      counter,
      registeredAt: new Date(this.#o.now()).toISOString(),
    };
    const { version, passkeys } = await this.#read(user);
    const isKnown = passkeys.some((each) => each.id === id);
    // What could not be read back would lock its person out.
    if (passkeys.length >= MAX_PASSKEYS || isKnown || !isPasskeyKey(passkey.publicKey) || !Passkey.safeParse(passkey).success)
      throw refused();
    await this.#write(user, [...passkeys, passkey], version);
    return passkey;
  }

  /** Keeps one passkey less. @throws AttestError PasskeyRefused */
  async remove(user: string, id: string): Promise<void> {
    const { version, passkeys } = await this.#read(user);
    const left = passkeys.filter((each) => each.id !== id);
    if (left.length === passkeys.length) throw notRegistered();
    await this.#write(user, left, version);
  }

  /**
   * Notes how far a passkey has counted, before its answer is taken: of two answers at once, one is refused.
   * @throws AttestError PasskeyRefused
   */
  async count(user: string, id: string, judge: (passkey: Passkey) => Promise<number>): Promise<void> {
    const { version, passkeys } = await this.#read(user);
    const passkey = passkeys.find((each) => each.id === id);
    if (passkey === undefined) throw notRegistered();
    const counter = await judge(passkey);
    if (counter === passkey.counter) return;
    await this.#write(
      user,
      passkeys.map((each) => (each === passkey ? { ...each, counter } : each)),
      version,
    );
  }

  async #verified(registration: string, expectedChallenge: string) {
    try {
      const response = Registration.parse(JSON.parse(registration));
      const { origin, rpId } = this.#o.site;
      const { verified, registrationInfo } = await verifyRegistrationResponse({
        response: { ...response, clientExtensionResults: {} },
        expectedChallenge,
        expectedOrigin: origin,
        expectedRPID: rpId,
        requireUserVerification: true,
        supportedAlgorithmIDs: ALGORITHMS,
      });
      if (verified) return registrationInfo.credential;
    } catch {
      // Errors of the library may quote what they read.
    }
    throw refused();
  }

  async #read(user: string): Promise<{ readonly version: string | undefined; readonly passkeys: readonly Passkey[] }> {
    const object = await getObject(this.#o.kube, KINDS.secrets, this.#at(user), { timeoutMs: TIMEOUT_MS });
    if (object === undefined) return { version: undefined, passkeys: [] };
    const kept = keptIn(object);
    // Never somebody else's, whatever a name collides with.
    if (kept?.user !== user) throw new AttestError('PasskeyRefused', 'your passkeys cannot be read');
    return { version: object.metadata.resourceVersion, passkeys: kept.passkeys };
  }

  async #write(user: string, passkeys: readonly Passkey[], resourceVersion: string | undefined): Promise<void> {
    const { namespace, name } = this.#at(user);
    const body = {
      apiVersion: KINDS.secrets.apiVersion,
      kind: KINDS.secrets.kind,
      metadata: { namespace, name, ...(resourceVersion !== undefined && { resourceVersion }) },
      data: { passkeys: Buffer.from(JSON.stringify({ user, passkeys })).toString('base64') },
    };
    try {
      await this.#o.kube.request({
        ...(resourceVersion === undefined
          ? { method: 'POST' as const, path: pathOf(KINDS.secrets, { namespace }) }
          : { method: 'PUT' as const, path: pathOf(KINDS.secrets, { namespace, name }) }),
        body,
        timeoutMs: TIMEOUT_MS,
      });
    } catch (error) {
      if (isConflict(error)) throw new AttestError('PasskeyRefused', 'your passkeys changed meanwhile; try again');
      throw error;
    }
  }

  /** Of the Secret with somebody's passkeys. */
  nameOf(user: string): string {
    return `chaperone-passkeys-${createHash('sha256').update(user).digest('hex').slice(0, 40)}`;
  }

  #at(user: string): { readonly namespace: string; readonly name: string } {
    return { namespace: this.#o.namespace, name: this.nameOf(user) };
  }
}

function keptIn({ data }: KubeObject): z.infer<typeof Kept> | undefined {
  try {
    const text = (data as Record<string, string> | undefined)?.['passkeys'] ?? '';
    return Kept.safeParse(JSON.parse(Buffer.from(text, 'base64').toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

function notRegistered(): AttestError {
  return new AttestError('PasskeyRefused', 'this passkey is not registered for you');
}

function refused(): AttestError {
  return new AttestError('PasskeyRefused', 'the passkey could not be registered');
}
