import { createServer } from 'node:https';
import { aSamlProvider, type SamlStatement, type TestSamlProvider } from '@chaperone/testing';
import type { Browser, Page } from 'playwright-core';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { hasChromium, launch, leave, visit } from './browser.test-support.ts';
import { type ClusterSite, startClusterSite } from './cluster-site.test-support.ts';
import { aPlainSession, type Session } from './world.test-support.ts';

// The program of a cluster's collector, a SAML provider's page at another site that posts its answer, and a real browser between them.

let browser: Browser;
let site: ClusterSite;
let provider: TestSamlProvider;
let session: Session;
let statement: SamlStatement;
let host: string;

/** The page of the provider: it asks nobody and posts at once, as most do for whom they know. */
async function serve(): Promise<AsyncDisposable> {
  const server = createServer({ cert: site.tls.certified.certificate, key: site.tls.certified.key }, (request, response) => {
    const answer = provider.answer(`https://${host}${request.url ?? ''}`, statement);
    const fields = Object.entries(answer).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
    response.setHeader('content-type', 'text/html');
    response.end(
      `<form method="post" action="${site.url}/auth/saml/callback">${fields.join('')}</form><script>document.forms[0].submit()</script>`,
    );
  });
  await new Promise<void>((resolve) => server.listen(site.providerPort, '127.0.0.1', resolve));
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

beforeAll(async () => {
  if (!hasChromium) return undefined;
  session = aPlainSession();
  provider = await aSamlProvider();
  [browser, site] = await Promise.all([
    launch(),
    startClusterSite([session], ({ provider: at, file }) => ({
      CHAPERONE_SAML_ENTRY_POINT: `${at}/sso`,
      CHAPERONE_SAML_IDP_ISSUER: provider.entityId,
      CHAPERONE_SAML_IDP_CERTIFICATE_FILE: file('idp.crt', provider.certificate),
      CHAPERONE_SAML_USERNAME_PREFIX: 'saml:',
      CHAPERONE_SAML_GROUPS_ATTRIBUTE: 'groups',
      CHAPERONE_SAML_GROUPS_PREFIX: 'oidc:',
    })),
  ]);
  host = `localhost:${site.providerPort}`;
  const served = await serve();
  return async () => {
    await browser.close();
    await served[Symbol.asyncDispose]();
    await site[Symbol.asyncDispose]();
  };
});

async function come(): Promise<Page> {
  const visited = await visit(browser, site, { signedIn: false, elsewhere: `https://${host}/` });
  onTestFinished(async () => {
    await leave(visited.context);
    expect(visited.faults).toEqual([]);
  });
  return visited.page;
}

const link = (page: Page) => page.getByRole('link', { name: `Sign in with ${host}` });

describe.runIf(hasChromium)('signing in by SAML', { retry: { count: 3, condition: /ERR_NETWORK_CHANGED/ } }, () => {
  test('leads to the moment that was linked to, with a cookie for the way back alone', async () => {
    statement = { name: 'mira', attributes: { groups: ['support'] } };
    const deep = `/sessions/${session.name}?at=7`;
    const page = await come();
    await page.goto(`${site.url}${deep}`);
    await link(page).click();
    await page.waitForURL(`${site.url}${deep}`);
    await page.locator('#entry').getByText('RuleDenies').waitFor();
    expect(site.reviewed.at(-1)).toMatchObject({ user: 'saml:mira', groups: ['oidc:support', 'system:authenticated'] });
    expect(await page.context().cookies(site.url)).toMatchObject([{ name: '__Host-chaperone', sameSite: 'Strict' }]);
  });

  test('as one of the cluster’s own is refused', async () => {
    statement = { name: 'mira', attributes: { groups: ['system:masters'] } };
    const page = await come();
    await page.goto(`${site.url}/sessions`);
    await link(page).click();
    await page.getByRole('alert').getByText('NameReserved').waitFor();
  });
});
