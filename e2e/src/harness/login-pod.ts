import { readFileSync } from 'node:fs';
import { startProvider } from '../../../testing/src/provider.ts';

/** What the pod is given, as JSON. */
export interface LoginPodConfig {
  readonly name: string;
  readonly tls: { readonly ca: string; readonly certified: { readonly certificate: string; readonly key: string } };
  /** The console's client, and where it takes people back. */
  readonly client: { readonly id: string; readonly callback: string };
  /** Where the signing page takes people back. */
  readonly pages: readonly string[];
  /** Groups of people; everybody may sign in, with any password. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

const config = JSON.parse(readFileSync('/etc/login/config.json', 'utf8')) as LoginPodConfig;
await startProvider({
  tls: { ...config.tls, name: config.name },
  port: 8443,
  client: config.client,
  pages: config.pages,
  claims: (login) => ({ email: `${login}@corp`, email_verified: true, groups: config.groups[login] ?? [] }),
});
