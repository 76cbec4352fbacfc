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
  readonly grants: readonly number[];
}
interface Sheet {
  readonly view: string;
  readonly challenge: string;
  readonly state: string;
  readonly votes: string;
  readonly expiresInMs: number;
  readonly lookingMs: number;
  readonly grantedMs?: number;
  readonly person: string;
  readonly assurance: 'kubernetes' | 'signed' | 'passkey';
  readonly asked: boolean;
  readonly reason: boolean;
  readonly passkeys: readonly { readonly id: string; readonly registeredAt: string }[];
  readonly rpId: string;
}
/** What is shown beside it, and no answer signs. */
interface Content {
  readonly columns: readonly Drawn[];
  readonly rows: readonly (readonly (Drawn | null)[])[];
  readonly change?: Drawn;
  readonly text?: Drawn;
}
/** What the page shows now, which is what an answer signs. */
interface Shown {
  sheet: Sheet;
  view: View;
}
class Refused extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const [, , namespace = '', name = ''] = location.pathname.split('/');
/** How soon it is asked again for what is about to be known. */
const LOOK_MS = 500;
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

function drawRequest({ view, sheet }: Shown): void {
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

/** A value; NULL and nothing are structure, which no value can imitate. */
function cell(tag: 'td' | 'th', value: Drawn | null): HTMLElement {
  const made = document.createElement(tag);
  if (value !== null && value.length > 0) draw(made, value);
  else {
    made.className = 'none';
    made.textContent = value === null ? 'NULL' : 'empty';
  }
  return made;
}

function row(tag: 'td' | 'th', values: readonly (Drawn | null)[]): HTMLElement {
  const made = document.createElement('tr');
  made.replaceChildren(...values.map((value) => cell(tag, value)));
  return made;
}

/** Draws what is not kept with the request, or why it cannot be seen: whoever decides without it should know. */
async function drawContent(): Promise<void> {
  const note = element('content-note');
  show('content', true);
  try {
    const { columns, rows, change, text } = (await ask(`/decide/api/${namespace}/${name}/content`)) as Content;
    const isMet = rows.length > 0;
    if (isMet) note.textContent = `${rows.length} of the rows that it meets, as they are before it, masked; stored nowhere`;
    else note.textContent = change === undefined ? '' : 'What it changes, tried as a dry run when it was asked for, masked';
    if (change !== undefined) draw(element('change'), change);
    show('change', change !== undefined);
    element('met').replaceChildren(...(isMet ? [row('th', columns), ...rows.map((each) => row('td', each))] : []));
    if (text !== undefined) draw(element('whole'), text);
    show('whole', text !== undefined);
    show('content', isMet || change !== undefined || text !== undefined || element('content').className === 'awaited');
  } catch (error) {
    note.textContent = error instanceof Refused ? `${error.message} (${error.code})` : 'what it meets could not be loaded';
  }
}

/** Counts down by a clock that nobody sets. */
function countDown(id: string, before: string, leftMs: number): void {
  const end = performance.now() + leftMs;
  const tick = (): void => {
    const seconds = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    const minutes = Math.floor(seconds / 60);
    element(id).textContent = `${before}${minutes}:${String(seconds % 60).padStart(2, '0')} left`;
  };
  tick();
  setInterval(tick, 1000);
}

/** 30 min, 1 h 30 min: what a person agrees to is said by this page, of the number that is signed. */
function timeText(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  return parts.flatMap(([count, unit]) => (count > 0 ? [`${count} ${unit}`] : [])).join(' ');
}

/** The choice of a time; the first is once, and chosen. */
function drawGrants(grants: readonly number[], onChoose: (seconds: number) => void): void {
  if (grants.length === 0) return;
  for (const seconds of [0, ...grants]) {
    const [label, radio] = [document.createElement('label'), document.createElement('input')];
    radio.type = 'radio';
    radio.name = 'grant';
    radio.value = String(seconds);
    radio.checked = seconds === 0;
    radio.addEventListener('change', () => onChoose(seconds));
    label.append(radio, seconds === 0 ? 'only this once' : `for ${timeText(seconds)}`);
    element('grant').append(label);
  }
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

async function send(decision: 'Approve' | 'Deny', grantFor: number | undefined, { sheet, view }: Shown, key: Key): Promise<void> {
  const reason = reasonGiven();
  const shown = hex(await sha256(sheet.view));
  const { uid, digest } = view;
  const { challenge } = sheet;
  // What is signed names the request of this page's address, whatever the operator was heard to say.
  const answer = {
    challenge,
    decision,
    digest,
    ...(grantFor !== undefined && { grantFor }),
    name,
    namespace,
    reason,
    shown,
    uid,
  };
  const message = `chaperone.dev/decision/v1\n${JSON.stringify(answer)}`;
  const proof = await signed(message, key);
  const passkey = decision === 'Approve' && sheet.assurance === 'passkey' ? { assertion: await assertion(message, sheet) } : {};
  const { name: _name, namespace: _namespace, ...given } = answer;
  await ask(`/decide/api/${namespace}/${name}`, { ...given, ...proof, ...passkey });
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

const isOpen = ({ state }: Pick<Sheet, 'state'>): boolean => state === 'Pending' || state === 'Approved';

/** What became of an answer is the cluster's to say; it is asked for some seconds. */
async function follow(revokes: boolean): Promise<void> {
  for (let asked = 0; asked < 10; asked += 1) {
    const { state, votes, grantedMs } = (await ask(`/decide/api/${namespace}/${name}`)) as Sheet;
    if (revokes) {
      if (grantedMs === undefined) return say('your answer is recorded; nothing is granted any more');
      say('your answer is recorded, and not counted yet');
    } else {
      say(`your answer is recorded; the request is ${state}, ${votes} approvals`);
      if (!isOpen({ state })) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** What it meets may be known only now: it is drawn in its place, until an answer is on its way. */
async function follows(shown: Shown): Promise<void> {
  while (shown.sheet.lookingMs > 0) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const next = await load();
    if ((element('send') as HTMLButtonElement).disabled) return;
    Object.assign(shown, next);
    drawRequest(shown);
    if (next.sheet.lookingMs === 0) await drawContent();
  }
}

function offer(shown: Shown, key: Key): void {
  const { sheet, view } = shown;
  let act: 'Approve' | 'Deny' | 'Revoke' = 'Deny';
  let seconds = 0;
  const first = isOpen(sheet) ? 'first' : 'granted';
  const rename = (): void => {
    const time = act === 'Approve' && seconds > 0 ? `, and the same for ${timeText(seconds)}` : '';
    const how = act === 'Approve' && sheet.assurance === 'passkey' ? ' with your passkey' : '';
    element('send').textContent = `${act} ${view.short}${time}${how}`;
  };
  const choose = (chosen: typeof act) => (): void => {
    act = chosen;
    rename();
    show(first, false);
    show('grant', act === 'Approve' && view.grants.length > 0);
    show('panel', true);
    element('reason').focus();
  };
  drawGrants(view.grants, (chosen) => {
    seconds = chosen;
    rename();
  });
  onPress('approve', choose('Approve'));
  onPress('deny', choose('Deny'));
  onPress('revoke', choose('Revoke'));
  onPress('back', () => {
    show('panel', false);
    show(first, true);
  });
  onPress('send', async () => {
    if (sheet.reason && reasonGiven() === '') return say('the rule wants a reason');
    const wantsPasskey = act === 'Approve' && sheet.assurance === 'passkey';
    if (wantsPasskey && sheet.passkeys.length === 0) return say('to approve this you need a passkey; go back and add one');
    (element('send') as HTMLButtonElement).disabled = true;
    const grantFor = act === 'Approve' && seconds > 0 ? seconds : undefined;
    await send(act === 'Approve' ? act : 'Deny', grantFor, shown, key);
    show('panel', false);
    await follow(act === 'Revoke');
  });
  onPress('passkey', () => soonAfterSignIn(() => addPasskey(key)));
}

async function load(): Promise<Shown> {
  const sheet = (await ask(`/decide/api/${namespace}/${name}`)) as Sheet;
  const view = JSON.parse(sheet.view) as View;
  if (view.namespace !== namespace || view.name !== name) throw new Refused('RequestChanged', 'this is another request');
  return { sheet, view };
}

async function open(): Promise<void> {
  onPress('sign-in', () => signIn(false));
  const key = (await stored('readonly', (store) => store.get('key'))) as Key | undefined;
  if (key === undefined) throw new Refused('SignInNeeded', 'sign in to decide');
  const shown = await load();
  const { sheet } = shown;
  drawRequest(shown);
  // Room is kept for what is about to be known, so that no button moves.
  if (sheet.lookingMs > 0) element('content').className = 'awaited';
  show('content', sheet.lookingMs > 0);
  if (sheet.lookingMs === 0 && isOpen(sheet)) await drawContent();
  show('request', true);
  drawPasskeys(sheet, key);
  if (!isOpen(sheet)) {
    show('first', false);
    say(`the request is over: ${sheet.state}`);
    if (sheet.grantedMs === undefined) return;
    countDown('granted-left', 'the same runs again, with other values, for ', sheet.grantedMs);
    show('granted', true);
    return offer(shown, key);
  }
  countDown('left', '', sheet.expiresInMs);
  show('passkey', 'PublicKeyCredential' in window);
  offer(shown, key);
  if (!sheet.asked) say('no rule of this request asks you; an answer of yours would not count');
  else if (sheet.assurance === 'passkey' && sheet.passkeys.length === 0) say('to approve this you need a passkey; add one below');
  await follows(shown);
}

open().catch(explain);
