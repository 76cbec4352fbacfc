/**
 * The page on which a person decides: makes a key, has the sign-in bound to it, draws what the operator gave it, and signs the answer.
 * It loads nothing else, and draws foreign text as text only.
 */

interface Key {
  readonly pair: CryptoKeyPair;
  readonly jwk: { readonly kty: 'EC'; readonly crv: 'P-256'; readonly x: string; readonly y: string };
  readonly opening: string;
}
type Drawn = readonly (readonly [kind: string, text: string])[];
interface View {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly digest: string;
  readonly short: string;
  readonly sentence: Drawn;
  readonly text: Drawn;
  readonly rows: readonly (readonly [label: string, value: Drawn])[];
}
interface Sheet {
  readonly view: string;
  readonly challenge: string;
  readonly state: string;
  readonly votes: string;
  readonly expiresInMs: number;
  readonly person: string;
  readonly assurance: 'kubernetes' | 'signed' | 'passkey';
  readonly asked: boolean;
  readonly reason: boolean;
  readonly passkeys: readonly { readonly id: string; readonly registeredAt: string }[];
  readonly rpId: string;
}
class Refused extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const [, , namespace = '', name = ''] = location.pathname.split('/');
const utf8 = new TextEncoder();
const element = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;
const reasonGiven = (): string => (element('reason') as HTMLInputElement).value.trim();
const say = (text: string): void => void (element('note').textContent = text);
const show = (id: string, shown: boolean): void => void (element(id).hidden = !shown);

function base64url(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): string {
  const view = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  return btoa(String.fromCharCode(...view))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}
const sha256 = (text: string): Promise<ArrayBuffer> => crypto.subtle.digest('SHA-256', utf8.encode(text));
const hex = (bytes: ArrayBuffer): string => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** The store of this origin; what lies there is a key that no script can read, and its opening. */
function stored<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open('chaperone', 1);
    opening.addEventListener('upgradeneeded', () => opening.result.createObjectStore('keys'));
    opening.addEventListener('error', () => reject(opening.error ?? new Error('no store')));
    opening.addEventListener('success', () => {
      const request = use(opening.result.transaction('keys', mode).objectStore('keys'));
      request.addEventListener('success', () => {
        opening.result.close();
        resolve(request.result);
      });
      request.addEventListener('error', () => reject(request.error ?? new Error('no store')));
    });
  });
}

async function makeKey(): Promise<Key> {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const { x = '', y = '' } = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const opening = base64url(crypto.getRandomValues(new Uint8Array(32)));
  return { pair, jwk: { kty: 'EC', crv: 'P-256', x, y }, opening };
}

async function signed(text: string, { pair, jwk, opening }: Key): Promise<object> {
  const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, pair.privateKey, utf8.encode(text));
  return { key: jwk, opening, signature: base64url(signature) };
}

async function ask(path: string, body?: object): Promise<unknown> {
  const response = await fetch(path, {
    credentials: 'same-origin',
    redirect: 'error',
    ...(body !== undefined && {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  const text = await response.text();
  const parsed = (text === '' ? {} : JSON.parse(text)) as { code?: string; message?: string };
  if (!response.ok) throw new Refused(parsed.code ?? 'PageUnavailable', parsed.message ?? 'no answer');
  return parsed;
}

/** Names are in the order of the alphabet: canonical JSON. */
async function signIn(fresh: boolean): Promise<void> {
  const key = await makeKey();
  const { crv, kty, x, y } = key.jwk;
  const nonce = base64url(
    await sha256(`chaperone.dev/key/v1\n${JSON.stringify({ key: { crv, kty, x, y }, opening: key.opening })}`),
  );
  await stored('readwrite', (store) => store.put(key, 'key'));
  const { location: to } = (await ask('/decide/sign-in', { nonce, fresh, namespace, name })) as { location: string };
  const there = new URL(to);
  // Another nonce would have the issuer vouch for somebody else's key.
  if (!/^https?:$/.test(there.protocol) || there.searchParams.getAll('nonce').join() !== nonce)
    throw new Refused('SignInFailed', 'the sign-in was changed on its way');
  location.assign(to);
}

function draw(into: HTMLElement, drawn: Drawn): void {
  const tags: Readonly<Record<string, string>> = { rtl: 'bdi', mixed: 'u', escape: 'mark' };
  into.replaceChildren(
    ...drawn.map(([kind, text]) => {
      const tag = tags[kind];
      if (tag === undefined) return document.createTextNode(text);
      const made = document.createElement(tag);
      made.textContent = text;
      return made;
    }),
  );
}

function drawRequest(view: View, sheet: Sheet): void {
  element('where').textContent = `${view.namespace}/${view.name} · signed in as ${sheet.person}`;
  element('digest').textContent = view.short;
  draw(element('sentence'), view.sentence);
  draw(element('text'), view.text);
  const rows = view.rows.flatMap(([label, value]) => {
    const [term, detail] = [document.createElement('dt'), document.createElement('dd')];
    term.textContent = label;
    draw(detail, value);
    return [term, detail];
  });
  element('rows').replaceChildren(...rows);
}

/** Counts down by a clock that nobody sets. */
function countDown(leftMs: number): void {
  const end = performance.now() + leftMs;
  const tick = (): void => {
    const seconds = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    const minutes = Math.floor(seconds / 60);
    element('left').textContent = `${minutes}:${String(seconds % 60).padStart(2, '0')} left`;
  };
  tick();
  setInterval(tick, 1000);
}

async function assertion(message: string, { passkeys, rpId }: Sheet): Promise<object> {
  const challenge = base64url(await sha256(message));
  const allowCredentials = passkeys.map(({ id }) => ({ id, type: 'public-key' as const }));
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON({
    challenge,
    allowCredentials,
    rpId,
    userVerification: 'required',
    timeout: 120_000,
  });
  const made = (await navigator.credentials.get({ publicKey })) as PublicKeyCredential | null;
  const given = made?.response as AuthenticatorAssertionResponse;
  return {
    credential: made?.id,
    authenticatorData: base64url(given.authenticatorData),
    clientData: base64url(given.clientDataJSON),
    signature: base64url(given.signature),
  };
}

async function send(decision: 'Approve' | 'Deny', sheet: Sheet, key: Key): Promise<void> {
  const view = JSON.parse(sheet.view) as View;
  const reason = reasonGiven();
  const shown = hex(await sha256(sheet.view));
  const { uid, digest } = view;
  const { challenge } = sheet;
  // What is signed names the request of this page's address, whatever the operator was heard to say.
  const message = `chaperone.dev/decision/v1\n${JSON.stringify({ challenge, decision, digest, name, namespace, reason, shown, uid })}`;
  const proof = await signed(message, key);
  const passkey = decision === 'Approve' && sheet.assurance === 'passkey' ? { assertion: await assertion(message, sheet) } : {};
  await ask(`/decide/api/${namespace}/${name}`, { uid, digest, decision, reason, challenge, shown, ...proof, ...passkey });
}

async function addPasskey(key: Key): Promise<void> {
  const options = (await ask('/decide/passkeys/options', {})) as PublicKeyCredentialCreationOptionsJSON;
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const made = (await navigator.credentials.create({ publicKey })) as PublicKeyCredential | null;
  const given = made?.response as AuthenticatorAttestationResponse;
  const registration = JSON.stringify({
    id: made?.id,
    rawId: made?.id,
    type: 'public-key',
    response: { clientDataJSON: base64url(given.clientDataJSON), attestationObject: base64url(given.attestationObject) },
  });
  await ask('/decide/passkeys', { registration, ...(await signed(`chaperone.dev/passkey/v1\n${registration}`, key)) });
}

/** Own passkeys, by the end of their names and when they were added; one is given up by two presses. */
function drawPasskeys({ passkeys }: Sheet, key: Key): void {
  const items = passkeys.map(({ id, registeredAt }) => {
    const [item, text, button] = [document.createElement('li'), document.createElement('span'), document.createElement('button')];
    text.textContent = `Passkey …${id.slice(-6)}, added ${registeredAt.slice(0, 16).replace('T', ' ')} UTC`;
    button.textContent = 'Remove…';
    let isMeant = false;
    const press = async (): Promise<void> => {
      if (!isMeant) {
        isMeant = true;
        button.textContent = `Remove …${id.slice(-6)} for good`;
        return;
      }
      await soonAfterSignIn(() => removePasskey(id, key));
    };
    button.addEventListener('click', () => void press().catch(explain));
    item.append(text, button);
    return item;
  });
  element('known').replaceChildren(...items);
  show('own', items.length > 0);
}

async function removePasskey(credential: string, key: Key): Promise<void> {
  await ask('/decide/passkeys/remove', { credential, ...(await signed(`chaperone.dev/passkey-removal/v1\n${credential}`, key)) });
}

/** Who signed in a while ago proves once more who they are. */
async function soonAfterSignIn(act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (error instanceof Refused && error.code === 'SignInNeeded') return signIn(true);
    throw error;
  }
  location.reload();
}

function explain(error: unknown): void {
  if (!(error instanceof Refused)) return say('nothing was decided: your browser did not complete it');
  say(`${error.message} (${error.code})`);
  if (error.code === 'SignInNeeded' || error.code === 'SignInFailed') show('sign-in', true);
}

const onPress = (id: string, act: () => void | Promise<void>): void => {
  element(id).addEventListener('click', () => {
    const acted = act();
    acted?.catch(explain);
  });
};

/** What became of an answer is the cluster's to say; it is asked for some seconds. */
async function follow(): Promise<void> {
  for (let asked = 0; asked < 10; asked += 1) {
    const { state, votes } = (await ask(`/decide/api/${namespace}/${name}`)) as Sheet;
    say(`your answer is recorded; the request is ${state}, ${votes} approvals`);
    if (state !== 'Pending' && state !== 'Approved') return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function offer(sheet: Sheet, view: View, key: Key): void {
  let decision: 'Approve' | 'Deny' = 'Deny';
  const choose = (chosen: 'Approve' | 'Deny') => (): void => {
    decision = chosen;
    element('send').textContent =
      `${chosen} ${view.short}${chosen === 'Approve' && sheet.assurance === 'passkey' ? ' with your passkey' : ''}`;
    show('first', false);
    show('panel', true);
    element('reason').focus();
  };
  onPress('approve', choose('Approve'));
  onPress('deny', choose('Deny'));
  onPress('back', () => {
    show('panel', false);
    show('first', true);
  });
  onPress('send', async () => {
    if (sheet.reason && reasonGiven() === '') return say('the rule wants a reason');
    const wantsPasskey = decision === 'Approve' && sheet.assurance === 'passkey';
    if (wantsPasskey && sheet.passkeys.length === 0) return say('to approve this you need a passkey; go back and add one');
    (element('send') as HTMLButtonElement).disabled = true;
    await send(decision, sheet, key);
    show('panel', false);
    await follow();
  });
  onPress('passkey', () => soonAfterSignIn(() => addPasskey(key)));
}

async function open(): Promise<void> {
  onPress('sign-in', () => signIn(false));
  const key = (await stored('readonly', (store) => store.get('key'))) as Key | undefined;
  if (key === undefined) throw new Refused('SignInNeeded', 'sign in to decide');
  const sheet = (await ask(`/decide/api/${namespace}/${name}`)) as Sheet;
  const view = JSON.parse(sheet.view) as View;
  if (view.namespace !== namespace || view.name !== name) throw new Refused('RequestChanged', 'this is another request');
  drawRequest(view, sheet);
  countDown(sheet.expiresInMs);
  show('request', true);
  drawPasskeys(sheet, key);
  if (sheet.state !== 'Pending' && sheet.state !== 'Approved') {
    show('first', false);
    return say(`the request is over: ${sheet.state}`);
  }
  show('passkey', 'PublicKeyCredential' in window);
  offer(sheet, view, key);
  if (!sheet.asked) say('no rule of this request asks you; an answer of yours would not count');
  else if (sheet.assurance === 'passkey' && sheet.passkeys.length === 0) say('to approve this you need a passkey; add one below');
}

open().catch(explain);
