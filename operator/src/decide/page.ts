import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { extname } from 'node:path';

export interface PageFile {
  readonly type: string;
  readonly body: string;
}
/** What browsers get, by its path; `/decide/` is the page of every request. */
export type Page = ReadonlyMap<string, PageFile>;

const HTML = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Decide · Chaperone</title>
<link rel="stylesheet" href="/decide/page.css">
<script type="module" src="/decide/page.js"></script>
<main>
  <p id="where"></p>
  <h1 id="sentence">Chaperone</h1>
  <p id="note" role="status" aria-live="polite"></p>
  <button id="sign-in" hidden>Sign in to decide</button>
  <section id="request" hidden>
    <p id="digest"></p>
    <p id="left"></p>
    <pre id="text" tabindex="0" aria-label="What would run"></pre>
    <dl id="rows"></dl>
    <section id="content" hidden aria-label="What it would meet">
      <p id="content-note"></p>
      <div tabindex="0" role="region" aria-label="Rows as they are before it"><table id="met"></table></div>
      <pre id="change" tabindex="0" aria-label="What it changes" hidden></pre>
      <pre id="whole" tabindex="0" aria-label="All of its text" hidden></pre>
    </section>
    <p id="first">
      <button id="deny">Deny…</button>
      <button id="approve">Approve…</button>
    </p>
    <p id="granted" hidden>
      <span id="granted-left"></span>
      <button id="revoke">Revoke…</button>
    </p>
    <section id="panel" hidden aria-label="Your answer">
      <label for="reason">Reason; the agent reads it</label>
      <input id="reason" maxlength="1024" autocomplete="off">
      <fieldset id="grant" hidden><legend>Approve it, and what “Again” says, without anybody being asked</legend></fieldset>
      <p id="second">
        <button id="back">Back</button>
        <button id="send"></button>
      </p>
    </section>
    <section id="own" hidden aria-labelledby="own-title">
      <h2 id="own-title">Your passkeys</h2>
      <ul id="known"></ul>
    </section>
    <p><button id="passkey" hidden>Add a passkey…</button></p>
  </section>
  <noscript>This page signs what you decide, which needs JavaScript.</noscript>
</main>
`;

const CSS = `:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 24rem; overflow: auto; padding: .75rem; border: 1px solid; unicode-bidi: isolate; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
#content div { overflow: auto; }
#content.awaited { min-height: 16rem; }
table { border-collapse: collapse; font: .9rem ui-monospace, monospace; }
th, td { border: 1px solid; padding: .25rem .5rem; text-align: start; max-width: 24rem; overflow-wrap: anywhere; }
.none { font-style: italic; opacity: .7; }
#digest { font: 1.4rem ui-monospace, monospace; }
#note { font-weight: 600; min-height: 1.5em; }
fieldset { margin: 1rem 0; padding: .5rem 1rem; border: 1px solid; }
fieldset label { display: flex; gap: .5rem; align-items: center; min-height: 44px; overflow-wrap: anywhere; }
#first, #second { display: flex; justify-content: space-between; }
#second { flex-direction: row-reverse; margin-top: 3rem; }
#known li { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; justify-content: space-between; }
h2 { font-size: 1.1rem; margin-top: 3rem; }
input { box-sizing: border-box; }
#reason { display: block; width: 100%; }
button, input { font: inherit; padding: .6rem 1rem; min-height: 44px; }
mark { background: Mark; color: MarkText; }
[hidden] { display: none !important; }
`;

/** The page's files; its script is the one beside this module, without its types where it still has them. */
export function loadPage(): Page {
  const kind = extname(import.meta.url);
  const source = readFileSync(new URL(`./page/main${kind}`, import.meta.url), 'utf8');
  return new Map([
    ['/decide/', { type: 'text/html; charset=utf-8', body: HTML }],
    ['/decide/page.css', { type: 'text/css; charset=utf-8', body: CSS }],
    ['/decide/page.js', { type: 'text/javascript; charset=utf-8', body: kind === '.ts' ? stripTypeScriptTypes(source) : source }],
  ]);
}
